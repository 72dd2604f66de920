"""Segments: append-only JSON lines that survive being killed at any byte. Nothing here raises into the loop.

A stream (one run's, or the node's own) is a chain of segments. Each record is one write; a segment is closed
by its tail with a digest, synced, and renamed into `sealed/`. What a crash leaves open, `recover` closes;
what a full disk keeps open, the next `close` does.
"""

from __future__ import annotations

import errno
import os

from slurm_guard import __version__, wire
from slurm_guard.digest import sha256
from slurm_guard.light import Any, NamedTuple
from slurm_guard.sampler.chain import (
    CHAIN,
    SEALED,
    Chain,
    Closed,
    drop_chain,
    read_chain,
    save_chain,
    segment_path,
)
from slurm_guard.sampler.recover import OPEN, SEALS, recover_one, set_aside
from slurm_guard.sampler.whole import write_whole

COLLECTED = "collected"  # where a collector may say what it has (docs/transport.md)
_LEAST_FREE_TRIES_S = 5.0  # after a failed open the next try waits this long: judgement
# A seal is one line of at most wire.MAX_LINE bytes, an entry of its lists at most 82: the newest stand in it,
# those before them are held by the chain. 2,000 segments are 83 days of hours.
_MOST_LISTED, _MOST_LOST = 2000, 1000

__all__ = ["Instant", "Origin", "Stream", "prepare", "stream_name"]


class Origin(NamedTuple):
    """What every head repeats."""

    spool: str  # <spool_dir>/<node>
    node: str
    cluster: str
    boot_id: str
    window_s: float
    sample_interval_s: float


class Instant(NamedTuple):
    """One moment on both clocks."""

    at: float
    mono_s: float


def prepare(spool: str) -> None:
    """Make the spool's folders. Raises OSError: without a spool the sampler cannot work."""
    for name in (OPEN, SEALED, SEALS, CHAIN, COLLECTED):
        os.makedirs(os.path.join(spool, name), mode=0o750, exist_ok=True)


def stream_name(run: str | None, boot_id: str) -> str:
    """A stream's name in file names."""
    return f"node_{boot_id.replace('-', '')[:8]}" if run is None else wire.stem(run)


class Stream:
    """One chain of segments. `size`: bytes of the open one; `dropped`: records that the disk did not take
    since the last word of it.
    """

    def __init__(self, origin: Origin, run: str | None) -> None:
        self.origin = origin
        self.run = run
        self.name = stream_name(run, origin.boot_id)
        self.closed: list[Closed] = []
        self.lost: list[list[Any]] = []
        self.dropped = 0
        self.opened_mono_s: float | None = None
        self._known = False  # whether the chain on the disk could be read
        self._fd: int | None = None
        self._tail: Closed | None = None  # the open segment has its tail, but not its place in sealed/
        self._tried_s: float | None = None
        self.size = self._n = self._n_windows = 0
        self._digest = sha256()
        self._learn()

    @property
    def seq(self) -> int:
        """Number of the segment that is open or comes next."""
        return self.closed[-1].seq + 1 if self.closed else 0

    @property
    def open_path(self) -> str:
        """Where the open segment stands, or the next one will."""
        return os.path.join(self.origin.spool, OPEN, f"{self.name}.{self.seq:06d}.jsonl")

    def _learn(self) -> bool:
        """Know the chain that the disk has; false: not now. A number given twice would hide a segment."""
        if not self._known:
            try:
                chain = read_chain(self.origin.spool, self.name)
            except OSError:
                return False
            self.closed, self.lost, self._known = [*chain.closed], [*chain.lost], True
        return True

    def write(self, record: Any, now: Instant) -> bool:
        """Append one record; false: it was dropped and counted."""
        try:
            line = wire.encode(record).encode("ascii")
        except (ValueError, KeyError, TypeError):
            self.dropped += 1
            return False
        if len(line) > wire.MAX_LINE or not self._ready(now) or not self._append(line):
            self.dropped += 1
            return False
        self._n += 1
        self._n_windows += isinstance(record, wire.Window)
        self._tell_dropped(now)
        return True

    def _tell_dropped(self, now: Instant) -> None:
        """After the disk took a record again: say how many it had not."""
        if self.dropped == 0:
            return
        word = wire.Event(now.at, self.run, "records-dropped", {"n": self.dropped}, now.mono_s)
        if self._append(wire.encode(word).encode("ascii")):
            self._n += 1
            self.dropped = 0

    def _ready(self, now: Instant) -> bool:
        """Open the next segment if none is."""
        if self._fd is not None and self._tail is None:
            return True
        if self._tried_s is not None and now.mono_s - self._tried_s < _LEAST_FREE_TRIES_S:
            return False
        self._tried_s = now.mono_s
        if (self._tail is not None and not self._put_away()) or not self._learn():
            return False
        try:
            if os.path.lexists(segment_path(self.origin.spool, self.name, self.seq)):
                self._known = False  # the chain on the disk is longer than we knew
                return False
            self._fd = os.open(
                self.open_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640
            )
        except FileExistsError:
            self._take_over()
            return self._tried_s is None and self._ready(now)
        except OSError:
            return False
        self.size = self._n = self._n_windows = 0
        self._digest = sha256()
        if not self._append(wire.encode(self._head(now)).encode("ascii")):
            self.abandon()
            return False
        self.opened_mono_s = now.mono_s
        self._tried_s = None
        return True

    def _take_over(self) -> None:
        """An older segment of this number is still open: close it, so that the next number is tried."""
        entry = os.path.basename(self.open_path)
        try:
            try:
                recover_one(self.origin.spool, entry, None)
            except OSError as error:
                if error.errno != errno.EIO:
                    return
                set_aside(self.origin.spool, entry, "the disk refuses its end")
        except OSError:
            return
        self._known = False
        if self._learn():
            self._tried_s = None

    def _head(self, now: Instant) -> wire.SegmentHead:
        return wire.SegmentHead(
            format=wire.FORMAT,
            node=self.origin.node,
            cluster=self.origin.cluster,
            boot_id=self.origin.boot_id,
            run=self.run,
            seq=self.seq,
            prev_sha256=(self.closed[-1].sha256 or None) if self.closed else None,
            opened_at=now.at,
            opened_mono_s=now.mono_s,
            sampler=__version__,
            window_s=self.origin.window_s,
            sample_interval_s=self.origin.sample_interval_s,
        )

    def _append(self, line: bytes) -> bool:
        """All of the line or none of it: a torn write is cut off again."""
        if self._fd is None:
            return False
        try:
            if os.write(self._fd, line) == len(line):
                self.size += len(line)
                self._digest.update(line)
                return True
            os.ftruncate(self._fd, self.size)
        except OSError:
            try:
                os.ftruncate(self._fd, self.size)
            except OSError:
                self.abandon()  # taken over before the next one, up to the last whole line
        return False

    def abandon(self) -> None:
        """Let go of a segment that cannot go on; an empty one is removed so that its number is free."""
        if self._fd is None:
            return
        self._let_go()
        try:
            if self.size == 0:
                os.unlink(self.open_path)
        except OSError:
            pass

    def _let_go(self) -> None:
        if self._fd is not None:
            try:
                os.close(self._fd)
            except OSError:
                pass  # the descriptor is gone all the same
        self._fd = self.opened_mono_s = None

    def sync(self) -> None:
        """Push what was written to the disk."""
        if self._fd is not None:
            try:
                os.fdatasync(self._fd)
            except OSError:
                pass

    def close(self, reason: str, now: Instant) -> bool:
        """Seal the open segment; false: the disk refused, ask again. Nothing open, nothing owed: closed."""
        if self._fd is None and self._tail is None and not self._owes(now):
            return self._known and self.dropped == 0 and not os.path.lexists(self.open_path)
        if self._tail is None:
            self._tell_dropped(now)
            tail = Closed(self.seq, self._n, self._digest.hexdigest(), self._n_windows)
            record = wire.SegmentTail(tail.n, tail.sha256, now.at, reason)
            if self.dropped or not self._append(wire.encode(record).encode("ascii")):
                return False
            self._tail = tail
        return self._put_away()

    def _owes(self, now: Instant) -> bool:
        """With no segment open: take over one that was let go; open one if dropped records are to be told."""
        if self._learn() and os.path.lexists(self.open_path):
            self._take_over()
        return self.dropped > 0 and self._ready(now)

    def _put_away(self) -> bool:
        """The segment with its tail into `sealed/`; false: not now."""
        assert self._tail is not None
        try:
            if self._fd is not None:
                os.fsync(self._fd)
            os.rename(self.open_path, segment_path(self.origin.spool, self.name, self._tail.seq))
        except OSError:
            return False
        self._let_go()
        self.closed.append(self._tail)
        self._tail = None
        self._keep(durable=False)
        return True

    def _keep(self, *, durable: bool) -> bool:
        return save_chain(self.origin.spool, self.name, Chain(self.closed, self.lost), durable=durable)

    def lose(self, part: list[Any]) -> bool:
        """Before a segment [seq, n, sha256] is given up: note it for the seal; false: the disk refused."""
        if not self._learn():
            return False
        if part not in self.lost:
            self.lost.append(part)
        return self.keep()

    def keep(self) -> bool:
        """Before a segment is removed: the chain is on the disk without it; false: the disk refused."""
        return self._learn() and self._keep(durable=True)

    def seal(self, ended_by: str, now: Instant) -> bool:
        """Write the run's seal, after `close`; false: the disk refused."""
        if self.run is None or not self._known:
            return False
        record = wire.Seal(
            run=self.run,
            node=self.origin.node,
            cluster=self.origin.cluster,
            at=now.at,
            ended_by=ended_by,
            segments=[[part.seq, part.n, part.sha256] for part in self.closed[-_MOST_LISTED:]],
            n_windows=sum(part.n_windows for part in self.closed),
            mono_s=now.mono_s,
            lost=self.lost[-_MOST_LOST:] or None,
        )
        path = os.path.join(self.origin.spool, SEALS, f"{self.name}.json")
        if not write_whole(path, wire.encode(record).encode("ascii")):
            return False
        drop_chain(self.origin.spool, self.name)
        return True

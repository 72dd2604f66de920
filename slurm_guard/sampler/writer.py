"""Segments: append-only JSON lines that survive being killed at any byte. Nothing here raises into the loop.

A stream (one run's, or the node's own) is a chain of segments. Each record is one write; a segment is closed
by its tail with a digest, synced, and renamed into `sealed/`. What a crash leaves open, `recover` closes.
"""

import hashlib
import os
from typing import Any, NamedTuple

from slurm_guard import __version__, wire
from slurm_guard.sampler.recover import OPEN, SEALED, SEALS, Closed, read_chain, recover_one

_LEAST_FREE_TRIES_S = 5.0  # after a failed open the next try waits this long: judgement


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
    for name in (OPEN, SEALED, SEALS):
        os.makedirs(os.path.join(spool, name), mode=0o750, exist_ok=True)


def stream_name(run: str | None, boot_id: str) -> str:
    """A stream's name in file names."""
    return f"node_{boot_id.replace('-', '')[:8]}" if run is None else wire.stem(run)


class Stream:
    """One chain of segments. `dropped`: records that the disk did not take since the last word of it."""

    def __init__(self, origin: Origin, run: str | None) -> None:
        self.origin = origin
        self.run = run
        self.name = stream_name(run, origin.boot_id)
        self.closed = read_chain(origin.spool, self.name)
        self.dropped = 0
        self.opened_mono_s: float | None = None
        self._fd: int | None = None
        self._tried_s: float | None = None
        self._size = self._n = self._n_windows = 0
        self._digest = hashlib.sha256()

    @property
    def seq(self) -> int:
        """Number of the segment that is open or comes next."""
        return self.closed[-1].seq + 1 if self.closed else 0

    def _path(self, folder: str) -> str:
        return os.path.join(self.origin.spool, folder, f"{self.name}.{self.seq:06d}.jsonl")

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
        word = wire.Event(now.at, self.run, "records-dropped", {"n": self.dropped})
        if self._append(wire.encode(word).encode("ascii")):
            self._n += 1
            self.dropped = 0

    def _ready(self, now: Instant) -> bool:
        """Open the next segment if none is."""
        if self._fd is not None:
            return True
        if self._tried_s is not None and now.mono_s - self._tried_s < _LEAST_FREE_TRIES_S:
            return False
        self._tried_s = now.mono_s
        try:
            self._fd = os.open(
                self._path(OPEN), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640
            )
        except FileExistsError:
            self._take_over()
            return False
        except OSError:
            return False
        self._size = self._n = self._n_windows = 0
        self._digest = hashlib.sha256()
        if not self._append(wire.encode(self._head(now)).encode("ascii")):
            self._abandon()
            return False
        self.opened_mono_s = now.mono_s
        self._tried_s = None
        return True

    def _take_over(self) -> None:
        """An older segment of this number is still open: close it, so that the next number is tried."""
        try:
            recover_one(self.origin.spool, os.path.basename(self._path(OPEN)), None)
        except OSError:
            return
        self.closed = read_chain(self.origin.spool, self.name)
        self._tried_s = None

    def _head(self, now: Instant) -> wire.SegmentHead:
        return wire.SegmentHead(
            format=wire.FORMAT,
            node=self.origin.node,
            cluster=self.origin.cluster,
            boot_id=self.origin.boot_id,
            run=self.run,
            seq=self.seq,
            prev_sha256=self.closed[-1].sha256 if self.closed else None,
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
                self._size += len(line)
                self._digest.update(line)
                return True
            os.ftruncate(self._fd, self._size)
        except OSError:
            try:
                os.ftruncate(self._fd, self._size)
            except OSError:
                self._abandon()  # recovered at the next start, up to the last whole line
        return False

    def _abandon(self) -> None:
        """Let go of a segment that cannot go on; an empty one is removed so that its number is free."""
        if self._fd is None:
            return
        os.close(self._fd)
        self._fd = None
        try:
            if self._size == 0:
                os.unlink(self._path(OPEN))
        except OSError:
            pass

    def sync(self) -> None:
        """Push what was written to the disk."""
        if self._fd is not None:
            try:
                os.fdatasync(self._fd)
            except OSError:
                pass

    def close(self, reason: str, now: Instant) -> bool:
        """Seal the open segment; false: the disk refused and it stays open. An absent segment is closed."""
        if self._fd is None:
            return True
        sha256 = self._digest.hexdigest()
        n = self._n
        if not self._append(wire.encode(wire.SegmentTail(n, sha256, now.at, reason)).encode("ascii")):
            return False
        try:
            os.fsync(self._fd)
            os.rename(self._path(OPEN), self._path(SEALED))
        except OSError:
            pass  # the tail is in place; recovery finishes the rename
        os.close(self._fd)
        self._fd = None
        self.opened_mono_s = None
        self.closed.append(Closed(self.seq, n, sha256, self._n_windows))
        return True

    def seal(self, ended_by: str, now: Instant) -> bool:
        """Write the run's seal, after `close`; false: the disk refused."""
        if self.run is None:
            return False
        record = wire.Seal(
            run=self.run,
            node=self.origin.node,
            cluster=self.origin.cluster,
            at=now.at,
            ended_by=ended_by,
            segments=[[part.seq, part.n, part.sha256] for part in self.closed],
            n_windows=sum(part.n_windows for part in self.closed),
        )
        path = os.path.join(self.origin.spool, SEALS, f"{self.name}.json")
        return write_whole(path, wire.encode(record).encode("ascii"))


def write_whole(path: str, content: bytes) -> bool:
    """Write then rename, synced; false: the disk refused, and nothing is left behind."""
    new = f"{path}.new"
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            complete = os.write(fd, content) == len(content)
            os.fsync(fd)
        finally:
            os.close(fd)
        if complete:
            os.rename(new, path)
            return True
        os.unlink(new)
    except OSError:
        try:
            os.unlink(new)
        except OSError:
            pass
    return False

"""All streams of the node: one per living run, and the node's own."""

from __future__ import annotations

import os

from slurm_guard import wire
from slurm_guard.digest import sha256
from slurm_guard.light import TYPE_CHECKING, Any
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.recover import SEALS
from slurm_guard.sampler.syncing import Syncing
from slurm_guard.sampler.writer import Instant, Origin, Stream

if TYPE_CHECKING:
    from slurm_guard.config import NodeConfig

_RETRY_S = 5.0  # between tries to seal what a full disk kept open: judgement
# A segment is sealed when it is this large, whatever its age: a collector refuses one of 256 MiB. Between two
# rounds a run writes a few MB at most (budget.py). Judgement
MOST_SEGMENT_B = 32 << 20
_MOST_ENDING = 1024  # runs that wait for the disk; more are sealed by the next start. Judgement


class Streams:
    """Writes records where they belong. `cluster` names the node's own stream; empty until it is known."""

    def __init__(self, origin: Origin, journal: Journal) -> None:
        self.origin, self.journal = origin, journal
        self._streams: dict[str | None, Stream] = {}
        self._ending: dict[str, str] = {}  # run that is over, but not sealed -> how it ended
        self._first_part = first_part(origin.node)
        self._retried_s: float | None = None
        self._syncing = Syncing()

    def write(self, run: str | None, record: Any, now: Instant) -> bool:
        """One record; false: it was dropped and counted. The journal tells events on and counts the rest."""
        kept = self.of(run).write(record, now)
        self.journal.note(record, kept, now)
        return kept

    def of(self, run: str | None) -> Stream:
        """The stream of a run, made at its first record; a run's key begins with its cluster.

        What is said of a run after its seal goes to the node's own: the seal lists what should have arrived.
        """
        if run is not None and run not in self._streams and self.is_sealed(run):
            run = None
        return self._of(run)

    def _of(self, run: str | None) -> Stream:
        if run not in self._streams:
            cluster = self.origin.cluster if run is None else run.partition("/")[0]
            self._streams[run] = Stream(self.origin._replace(cluster=cluster), run)
        return self._streams[run]

    def is_sealed(self, run: str) -> bool:
        """Whether the run's seal is written."""
        return os.path.lexists(os.path.join(self.origin.spool, SEALS, f"{wire.stem(run)}.json"))

    def waiting(self) -> list[str]:
        """Runs that are over and wait for the disk to take their seal."""
        return list(self._ending)

    def name_cluster(self, cluster: str, now: Instant) -> None:
        """A ticket says which cluster this is: the node's own stream goes on under that name."""
        if cluster != self.origin.cluster:
            self.origin = self.origin._replace(cluster=cluster)
            self._rename_own(now)

    def _rename_own(self, now: Instant) -> None:
        own = self._streams.get(None)
        if own is not None and own.origin.cluster != self.origin.cluster and own.close("rotate", now):
            del self._streams[None]

    def rotate(self, segment_s: float, now: Instant) -> None:
        """Seal the segments that are old or large enough, and what could not be sealed before."""
        for stream in self._streams.values():
            if stream.opened_mono_s is None:
                continue
            lasts_s = segment_s * (self._first_part if stream.seq == 0 else 1.0)
            if now.mono_s - stream.opened_mono_s >= lasts_s or stream.size >= MOST_SEGMENT_B:
                stream.close("rotate", now)
        if self._retried_s is None or now.mono_s - self._retried_s >= _RETRY_S:
            self._retried_s = now.mono_s
            self._rename_own(now)
            for run in self.waiting():
                self._finish(run, now)

    def finish(self, run: str, ended_by: str, now: Instant) -> bool:
        """The run is over: its last segment and its seal; false: not yet, it is tried again at `rotate`.

        The seal comes after the last segment is closed, never instead of it.
        """
        self._ending[run] = ended_by
        if len(self._ending) > _MOST_ENDING:
            self._forget(next(iter(self._ending)))
        return self._finish(run, now)

    def _finish(self, run: str, now: Instant) -> bool:
        stream = self._of(run)
        if not stream.close("run-ended", now) or not stream.seal(self._ending[run], now):
            return False
        self._forget(run)
        return True

    def _forget(self, run: str) -> None:
        del self._ending[run]
        self._streams.pop(run).abandon()

    def open_ages_s(self, now: Instant) -> list[float]:
        """Ages of the segments that are being written, the oldest first."""
        opened = [stream.opened_mono_s for stream in self._streams.values()]
        return sorted((round(now.mono_s - s, 1) for s in opened if s is not None), reverse=True)

    def sync(self) -> None:
        """Have what was written pushed to the disk; nothing waits for it."""
        paths = [stream.open_path for stream in self._streams.values() if stream.opened_mono_s is not None]
        self._syncing.begin(paths)

    def close(self, reason: str, now: Instant) -> None:
        """Close every open segment."""
        for run in self.waiting():
            self._finish(run, now)
        for stream in self._streams.values():
            stream.close(reason, now)


def first_part(node: str) -> float:
    """How much of `segment_s` a stream's first segment lasts: half to all of it, by the node's name.

    Nodes that begin at the same moment (one large job, a cluster that boots) would else seal and ship in the
    same second for ever after.
    """
    return 0.5 + 0.5 * int.from_bytes(sha256(node.encode()).digest()[:4], "big") / 2**32


def origin_of(spool: str, node: str, boot_id: str, config: NodeConfig, cluster: str) -> Origin:
    """What the heads of this sampler's segments say."""
    return Origin(os.fspath(spool), node, cluster, boot_id, config.window_s, config.sample_interval_s)

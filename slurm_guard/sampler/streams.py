"""All streams of the node: one per living run, and the node's own."""

import os
from typing import Any

from slurm_guard.config import NodeConfig
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.writer import Instant, Origin, Stream


class Streams:
    """Writes records where they belong. `cluster` names the node's own stream; empty until it is known."""

    def __init__(self, origin: Origin, journal: Journal) -> None:
        self.origin, self.journal = origin, journal
        self._streams: dict[str | None, Stream] = {}

    def write(self, run: str | None, record: Any, now: Instant) -> None:
        """One record. The journal tells events on and counts the rest."""
        kept = self.of(run).write(record, now)
        self.journal.note(record, kept, now)

    def of(self, run: str | None) -> Stream:
        """The stream of a run, made at its first record; a run's key begins with its cluster."""
        if run not in self._streams:
            cluster = self.origin.cluster if run is None else run.partition("/")[0]
            self._streams[run] = Stream(self.origin._replace(cluster=cluster), run)
        return self._streams[run]

    def name_cluster(self, cluster: str, now: Instant) -> None:
        """A ticket says which cluster this is: the node's own stream goes on under that name."""
        if cluster != self.origin.cluster:
            self.origin = self.origin._replace(cluster=cluster)
            if None in self._streams and self._streams[None].close("rotate", now):
                del self._streams[None]

    def rotate(self, segment_s: float, now: Instant) -> None:
        """Seal the segments that are old enough."""
        for stream in self._streams.values():
            if stream.opened_mono_s is not None and now.mono_s - stream.opened_mono_s >= segment_s:
                stream.close("rotate", now)

    def finish(self, run: str, ended_by: str, now: Instant) -> bool:
        """The run is over: its last segment and its seal; false: the disk refused the seal."""
        stream = self.of(run)
        stream.close("run-ended", now)
        self._streams.pop(run)
        return stream.seal(ended_by, now)

    def open_ages_s(self, now: Instant) -> list[float]:
        """Ages of the segments that are being written, the oldest first."""
        opened = [stream.opened_mono_s for stream in self._streams.values()]
        return sorted((round(now.mono_s - s, 1) for s in opened if s is not None), reverse=True)

    def sync(self) -> None:
        """Push what was written to the disk."""
        for stream in self._streams.values():
            stream.sync()

    def close(self, reason: str, now: Instant) -> None:
        """Close every open segment."""
        for stream in self._streams.values():
            stream.close(reason, now)


def origin_of(spool: str, node: str, boot_id: str, config: NodeConfig, cluster: str) -> Origin:
    """What the heads of this sampler's segments say."""
    return Origin(os.fspath(spool), node, cluster, boot_id, config.window_s, config.sample_interval_s)

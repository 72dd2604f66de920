"""TCP connections and listeners of runs' processes, in the node's own network namespace.

By the kernel's socket diagnostics, which tell bytes, who opened a connection, and the short ones between two
looks; by the text tables of /proc where it has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from slurm_guard import wire
from slurm_guard.light import TYPE_CHECKING
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.processes import ProcessTable
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.relaywatch import RelayWatch
from slurm_guard.sampler.tcpdiag import Sample, TcpDiag
from slurm_guard.sampler.tcptext import read_tables
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.config import NetworkConfig

MOST_FLOWS = 512  # followed per run: judgement
MOST_SHORT = 512  # told per run and look, of connections that came and went: judgement
MOST_FDS = 4096  # of one process
AGAIN_S = 3600.0  # a connection's bytes are told at least this often while they grow
_INODE = re.compile(r"socket:\[(\d+)\]")

Told = wire.FlowSeen | wire.RelaySeen | wire.Event


class SocketTable:
    """Follows sockets between looks: a record when one is first seen, each hour, and when it is gone."""

    def __init__(self, proc: Proc, network: NetworkConfig, diag: TcpDiag | None) -> None:
        """`diag`: null where the text tables are all there is."""
        self.proc = proc
        self.diag = diag
        # runs of which sockets were left out at the last look, and how many; null: the kernel's table was cut
        self.truncated: dict[str, int | None] = {}
        self._watch = RelayWatch(network, proc)
        self._flows: dict[int, Flow] = {}
        self._fading: dict[int, Flow] = {}  # no longer among the open ones, its end not heard yet
        self._orphans: set[int] = set()  # sockets of the runs' users that no followed process held
        self._has_looked = False
        self._n_lost = 0

    def look(self, now: Instant, table: ProcessTable, runs: set[str]) -> Iterator[Told]:
        """One pass over the kernel's tables; what is told comes one by one."""
        members = [p for p in table.by_pid.values() if p.run in runs]
        uids = {process.uid for process in members if process.uid is not None}
        rows, ended = self._samples(uids, runs)
        over, short = self._closed(ended, rows)
        over += self._vanished(rows, runs)
        for ident, flow in self._flows.items():
            flow.update(rows[ident])
        new = {ident: row for ident, row in rows.items() if ident not in self._flows and row.uid in uids}
        yield from self._take(new, members, now)
        self._orphans &= set(rows)
        yield from self._tell_short(short, now)
        yield from self._watch.look(now, [*self._flows.values(), *over])
        for flow in over:
            yield from self._tell_end(flow, now)
        for flow in self._flows.values():
            if flow.is_due(now.mono_s, AGAIN_S):
                yield flow.record(now, gone=False)
        self._has_looked = True

    def end(self, run: str, now: Instant) -> Iterator[Told]:
        """The last word about a run's flows."""
        for flows in (self._flows, self._fading):
            for ident in [ident for ident, flow in flows.items() if flow.run == run]:
                yield from self._tell_end(flows.pop(ident), now)

    def close(self) -> None:
        """Hear no more."""
        if self.diag is not None:
            self.diag.close()

    def _samples(self, uids: set[int], runs: set[str]) -> tuple[dict[int, Sample], list[Sample]]:
        """(what is open now, what was heard to end since the last look)."""
        rows: list[Sample] = []
        cut = False
        ended: list[Sample] = []
        if self.diag is not None:
            try:
                known = {
                    f.sample.cookie: f.sample for f in self._flows.values() if f.sample.cookie is not None
                }
                rows, cut = self.diag.dump(uids, known)
                # After it: what is missing there has been told by now.
                ended = self.diag.closed(self._flows.keys() | self._fading.keys())
            except OSError:  # the kernel took it back; the text tables say less
                self.diag.close()
                self.diag = None
            else:
                cut = cut or self.diag.lost > self._n_lost
                self._n_lost = self.diag.lost
        if self.diag is None:
            rows, cut = read_tables(self.proc, uids)
        self.truncated = dict.fromkeys(runs) if cut else {}
        doors = {row.local.rpartition(":")[2] for row in rows if row.state == "LISTEN"}
        return {row.ident: _guessed(row, doors) for row in rows}, [_guessed(row, doors) for row in ended]

    def _closed(self, ended: list[Sample], rows: dict[int, Sample]) -> tuple[list[Flow], list[Sample]]:
        """(followed connections, with their last counts; what ended and was not followed)."""
        over, short = [], []
        for sample in ended:
            rows.pop(sample.ident, None)
            flow = self._flows.pop(sample.ident, None) or self._fading.pop(sample.ident, None)
            if flow is not None:
                flow.update(sample)
                over.append(flow)
            elif sample.ident not in self._orphans:
                short.append(sample)
        return over, short

    def _vanished(self, rows: dict[int, Sample], runs: set[str]) -> list[Flow]:
        """Flows that ended, or whose inode is another socket's by now. One that is closing gets a look's
        time for its last word."""
        over = list(self._fading.values())
        self._fading = {}
        for ident, flow in list(self._flows.items()):
            row = rows.get(ident)
            if flow.run in runs and row is not None and flow.is_same(row):
                continue
            del self._flows[ident]
            if flow.run in runs and row is None and flow.sample.cookie is not None:
                self._fading[ident] = flow
            else:
                over.append(flow)
        return over

    def _tell_end(self, flow: Flow, now: Instant) -> Iterator[Told]:
        yield flow.record(now, gone=True)
        yield from self._watch.forget(flow, now)

    def _take(self, new: dict[int, Sample], members: list[Process], now: Instant) -> Iterator[Told]:
        """New sockets of followed processes."""
        fresh = set(new) - self._orphans
        if not fresh:
            return
        inodes = {row.inode: ident for ident, row in new.items() if row.inode}
        found = self._owners(set(inodes), members)
        self._orphans = set(new) - {inodes[inode] for inode in found}
        counts: dict[str, int] = {}
        for flow in self._flows.values():
            counts[flow.run] = counts.get(flow.run, 0) + 1
        for inode in sorted(found):
            process = found[inode]
            if process.run is None:
                continue
            counts[process.run] = counts.get(process.run, 0) + 1
            if counts[process.run] > MOST_FLOWS:
                self._leave_out(process.run)
                continue
            flow = Flow(new[inodes[inode]], process, process.run, now, began=self._has_looked)
            self._flows[inodes[inode]] = flow
            yield flow.record(now, gone=False)

    def _leave_out(self, run: str) -> None:
        self.truncated.setdefault(run, 0)
        left = self.truncated[run]
        self.truncated[run] = None if left is None else left + 1

    def _tell_short(self, short: list[Sample], now: Instant) -> Iterator[Told]:
        """Connections within the node that came and went. Whose they were is known of the end at which a
        followed process listens; the other end's process is not."""
        self._watch.note_short(short)
        doors = {_door(f.sample.local): f for f in self._flows.values() if f.sample.state == "LISTEN"}
        counts: dict[str, int] = {}
        for sample in short:
            door = doors.get(_door(sample.local)) if sample.opened is False else None
            if door is None:
                continue
            counts[door.run] = counts.get(door.run, 0) + 1
            if counts[door.run] > MOST_SHORT:
                self._leave_out(door.run)
            else:
                yield Flow(sample, door.process, door.run, now, began=True).record(now, gone=True)

    def _owners(self, wanted: set[int], members: Iterable[Process]) -> dict[int, Process]:
        """Which process holds which socket, by inode; the oldest where several do."""
        found: dict[int, Process] = {}
        for process in sorted(members, key=lambda p: p.key[::-1]):
            for inode in _socket_inodes(self.proc, process.pid):
                if inode in wanted:
                    found.setdefault(inode, process)
            if len(found) == len(wanted):
                break
        return found


def _guessed(sample: Sample, doors: set[str]) -> Sample:
    """Who opened a connection, where its counts do not say: not the end whose port somebody listens on."""
    if sample.opened is not None or sample.state == "LISTEN":
        return sample
    here = sample.local.rpartition(":")[2] in doors
    host, _, door = sample.peer.rpartition(":")
    there = door in doors and host == sample.local.rpartition(":")[0]
    return sample._replace(opened=not here) if here != there else sample


def _door(place: str) -> str:
    return place.rpartition(":")[2]


def _socket_inodes(proc: Proc, pid: int) -> list[int]:
    links = (proc.link(pid, f"fd/{name}") for name in proc.names(pid, "fd")[:MOST_FDS])
    return [int(found[1]) for found in (_INODE.fullmatch(link or "") for link in links) if found]

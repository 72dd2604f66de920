"""TCP connections and listeners of runs' processes, in the node's own network namespace.

By the kernel's socket diagnostics, which tell bytes, who opened a connection, and the short ones between two
looks; by the text tables of /proc where it has none.
"""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.light import TYPE_CHECKING, Iterable, Iterator
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.namespaces import Namespaces
from slurm_guard.sampler.patterns import pattern
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
MOST_LINKS = 8192  # of all processes in one look: judgement; what is left comes first in the next one
MOST_FAILURES = 3  # looks in a row at which the kernel's diagnostics fail before they are given up: judgement
AGAIN_S = 3600.0  # a connection's bytes are told at least this often while they grow
_INODE = pattern(r"socket:\[(\d+)\]")

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
        self._elsewhere = Namespaces(proc)
        self._flows: dict[int, Flow] = {}
        self._fading: dict[int, Flow] = {}  # no longer among the open ones, its end not heard yet
        self._orphans: set[int] = set()  # sockets of the runs' users that no followed process held
        self._has_looked = False
        self._n_lost = self._n_failed = 0
        self._is_cut = False  # whether open sockets may be missing from the last look's tables
        self._turn = 0  # the process at which the next look for owners begins

    def look(self, now: Instant, table: ProcessTable, runs: set[str]) -> Iterator[Told]:
        """One pass over the kernel's tables; what is told comes one by one."""
        members = [p for p in table.by_pid.values() if p.run in runs]
        uids = {process.uid for process in members if process.uid is not None}
        self._elsewhere.look(members, now.mono_s)
        try:
            rows, ended = self._samples(uids, runs)
        except OSError as error:
            yield from self._note_failure(error, now, runs)
            return
        over, short = self._closed(ended, rows)
        over += self._vanished(rows, runs)
        for ident, flow in self._flows.items():
            if ident in rows:
                flow.update(rows[ident])
        new = {ident: row for ident, row in rows.items() if ident not in self._flows and row.uid in uids}
        lasting = [ident for ident in self._orphans if ident in rows]
        yield from self._take(new, members, now)
        self._orphans = {ident for ident in self._orphans if ident in rows}
        self._note_unowned([rows[i] for i in lasting if i in self._orphans], table, members)
        yield from self._tell_short(short, now)
        yield from self._watch.look(now, [*self._flows.values(), *over])
        for flow in over:
            yield from self._tell_end(flow, now)
        for flow in self._flows.values():
            if flow.is_due(now.mono_s, AGAIN_S):
                yield flow.record(now, gone=False)
        if self._watch.take_truncated():
            self.truncated = {**dict.fromkeys(runs), **self.truncated}
        self._has_looked = True

    def _note_failure(self, error: OSError, now: Instant, runs: set[str]) -> Iterator[Told]:
        """A look that the kernel did not answer is left out; after some the text tables have to do."""
        self.truncated = dict.fromkeys(runs)
        self._n_failed += 1
        if self.diag is not None and self._n_failed >= MOST_FAILURES:
            self.close()
            self.diag = None
            detail = {"reason": error.strerror or type(error).__name__}
            yield wire.Event(now.at, None, "sockets-by-text", detail, now.mono_s)

    def end(self, run: str, now: Instant) -> Iterator[Told]:
        """The last word about a run's flows."""
        for flows in (self._flows, self._fading):
            for ident in [ident for ident, flow in flows.items() if flow.run == run]:
                yield from self._tell_end(flows.pop(ident), now)
        yield from self._watch.end(run, now)

    def close(self) -> None:
        """Hear no more."""
        self._elsewhere.close()
        if self.diag is not None:
            self.diag.close()

    def _samples(self, uids: set[int], runs: set[str]) -> tuple[dict[int, Sample], list[Sample]]:
        """(what is open now, what was heard to end since the last look)."""
        rows: list[Sample] = []
        cut = False
        ended: list[Sample] = []
        if self.diag is not None:
            rows, cut = self.diag.dump(uids, self._known)
            self._is_cut = cut
            # After it: what is missing there has been told by now.
            ended = self.diag.closed(
                lambda ident: ident in self._flows or ident in self._fading, self._watch.places()
            )
            cut = cut or self.diag.lost > self._n_lost
            self._n_lost, self._n_failed = self.diag.lost, 0
        if self.diag is None:
            rows, cut = read_tables(self.proc, uids)
            self._is_cut = cut
        others, over = self._elsewhere.samples(uids, self._known)
        self._is_cut = self._is_cut or self._elsewhere.truncated
        self.truncated = dict.fromkeys(runs) if cut or self._elsewhere.truncated else {}
        found: dict[int, Sample] = {}
        for part in (rows, *others):
            doors = {row.local for row in part if row.state == "LISTEN"}
            found.update((row.ident, _guessed(row, doors)) for row in part)
            if part is rows:
                ended = [_guessed(row, doors) for row in ended]
        return found, ended + over

    def _known(self, ident: int) -> Sample | None:
        flow = self._flows.get(ident) or self._fading.get(ident)
        return None if flow is None else flow.sample

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
        time for its last word. Nothing ends by missing from a table that was cut."""
        over = list(self._fading.values())
        self._fading = {}
        for ident, flow in list(self._flows.items()):
            row = rows.get(ident)
            if flow.run in runs and (self._is_cut if row is None else flow.is_same(row)):
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
        if all(ident in self._orphans for ident in new):
            return
        inodes = {row.inode: ident for ident, row in new.items() if row.inode}
        found, whole = self._owners(set(inodes), members)
        if whole:
            self._orphans = set(new) - {inodes[inode] for inode in found}
        else:
            self.truncated = {**dict.fromkeys(p.run for p in members if p.run is not None), **self.truncated}
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

    def _note_unowned(self, rows: list[Sample], table: ProcessTable, members: list[Process]) -> None:
        """Sockets that for two looks lay in no descriptor that was read: a thread may have its own table, or
        they are on their way between processes. Where all processes of their user are in runs, they are those
        runs'.
        """
        uids = {row.uid for row in rows if row.inode}
        if not uids:
            return
        uids -= {p.uid for p in table.by_pid.values() if p.run is None and p.uid is not None}
        for run, uid in {(p.run, p.uid) for p in members if p.run is not None}:
            for row in rows:
                if row.inode and row.uid == uid and uid in uids:
                    self._leave_out(run)

    def _leave_out(self, run: str) -> None:
        self.truncated.setdefault(run, 0)
        left = self.truncated[run]
        self.truncated[run] = None if left is None else left + 1

    def _tell_short(self, short: list[Sample], now: Instant) -> Iterator[Told]:
        """Connections within the node that came and went. Whose they were is known of the end at which a
        followed process listens; the other end's process is not."""
        self._watch.note_short(short)
        doors = _Doors(flow for flow in self._flows.values() if flow.sample.state == "LISTEN")
        counts: dict[str, int] = {}
        for sample in short:
            door = doors.of(sample.local) if sample.opened is False else None
            if door is None:
                continue
            counts[door.run] = counts.get(door.run, 0) + 1
            if counts[door.run] > MOST_SHORT:
                self._leave_out(door.run)
            else:
                yield Flow(sample, door.process, door.run, now, began=True).record(now, gone=True)

    def _owners(self, wanted: set[int], members: list[Process]) -> tuple[dict[int, Process], bool]:
        """(which process holds which socket, by inode, the oldest where several do; whether all were asked).

        A job with many descriptors must not cost the others their readings: a look asks so many, and the next
        one goes on from there.
        """
        found: dict[int, Process] = {}
        whole = True
        ordered = sorted(members, key=lambda p: p.key[::-1])
        begin, links = self._turn % max(1, len(ordered)), 0
        for place, process in enumerate([*ordered[begin:], *ordered[:begin]]):
            if links >= MOST_LINKS:
                self._turn = begin + place
                return found, False
            held = self.proc.fds(process.pid, MOST_FDS)
            if held is None:
                continue
            links += len(held[0]) + 1
            whole = whole and held[1] <= MOST_FDS
            for _, text in held[0]:
                match = _INODE.fullmatch(text)
                if match is None or int(match[1]) not in wanted:
                    continue
                before = found.setdefault(int(match[1]), process)
                if process.key[::-1] < before.key[::-1]:
                    found[int(match[1])] = process
            if len(found) == len(wanted):
                return found, True
        return found, whole


class _Doors:
    """Listening connections of runs by where they listen."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        self._at: dict[str, list[Flow]] = {}
        for flow in flows:
            self._at.setdefault(flow.sample.local, []).append(flow)

    def of(self, place: str) -> Flow | None:
        """Who listens there, by the address first and by any address then; null: nobody, or several runs'."""
        for name in (place, *_everywhere(place)):
            flows = self._at.get(name)
            if flows:
                return flows[0] if len({flow.run for flow in flows}) == 1 else None
        return None


def _everywhere(place: str) -> tuple[str, str]:
    """The places that a listener of any address has for a port."""
    port = place.rpartition(":")[2]
    return f"0.0.0.0:{port}", f"[::]:{port}"


def _guessed(sample: Sample, doors: set[str]) -> Sample:
    """Who opened a connection, where its counts do not say: not the end whose port somebody listens on."""
    if sample.opened is not None or sample.state == "LISTEN":
        return sample
    here = not doors.isdisjoint((sample.local, *_everywhere(sample.local)))
    within = sample.peer.rpartition(":")[0] == sample.local.rpartition(":")[0]
    there = within and not doors.isdisjoint((sample.peer, *_everywhere(sample.peer)))
    return sample._replace(opened=not here) if here != there else sample

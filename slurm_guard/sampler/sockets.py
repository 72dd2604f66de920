"""TCP connections and listeners of runs' processes, in the node's own network namespace and in theirs.

By the kernel's socket diagnostics, which tell bytes, who opened a connection, where it was made, and the
short ones between two looks; by the text tables of /proc where it has none.
"""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.light import TYPE_CHECKING, Iterator
from slurm_guard.sampler.briefs import NODES, Briefs
from slurm_guard.sampler.closeup import Closeup
from slurm_guard.sampler.doors import accepted, guess_opener, ports_of, who_fills
from slurm_guard.sampler.fair import add_left, numbers
from slurm_guard.sampler.fdowners import Owners
from slurm_guard.sampler.flows import Flow, go_on, orphaned, pass_on
from slurm_guard.sampler.groups import Groups
from slurm_guard.sampler.namespaces import Namespaces
from slurm_guard.sampler.nearby import NearKeys
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.processes import ProcessTable
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.relaywatch import RelayWatch
from slurm_guard.sampler.tcpdiag import LEFT, ORPHAN, TRYING, Passed, TcpDiag
from slurm_guard.sampler.tcpends import Wanted, key_of
from slurm_guard.sampler.tcpsample import Sample
from slurm_guard.sampler.tcptext import read_tables
from slurm_guard.sampler.uncounted import uncounted
from slurm_guard.sampler.users import Users
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.config import NetworkConfig

MOST_FLOWS = 512  # followed per run: judgement
MOST_SHORT = 512  # told per run and look, of connections that came and went: judgement
MOST_PASSED = 32_768  # known to be there and not followed: judgement; 3 MB
MOST_FAILURES = 3  # looks in a row at which the kernel's diagnostics fail before they are given up: judgement
AGAIN_S = 3600.0  # a connection's bytes are told at least this often while they grow
# looks after which what was passed over is asked for again; times, where it is much. Judgement
ANEW, MUCH = 6, 5
# CPU time for what is heard to end, of each second, and at once. Judgement: some 6,000 connections a second
HEAR_SHARE, HEAR_S = 0.02, 0.05
BUSY = 20  # nobody's that ended since the round before, for a look at what is open. Judgement
MOST_MET = 2000  # sockets of a node with which such a look is cheap enough. Judgement

Told = wire.FlowSeen | wire.BriefSeen | wire.RelaySeen | wire.Event


class SocketTable:
    """Follows sockets between looks: a record when one is first seen, each hour, and when it is gone."""

    def __init__(self, proc: Proc, network: NetworkConfig, diag: TcpDiag | None) -> None:
        """`diag`: null where the text tables are all there is."""
        self.proc, self.diag = proc, diag
        # runs of which sockets were left out at the last look, and how many; null: the kernel's table was cut
        self.truncated: dict[str, int | None] = {}
        self.n_unheard = 0  # ends that there was no room for, since the beginning
        self._watch = RelayWatch(network, proc)
        self._elsewhere = Namespaces(proc)
        self.closeup = Closeup(self._watch, proc, self._elsewhere.diag)
        self._groups, self._briefs, self._owners = Groups(), Briefs(), Owners(proc)
        self._flows: dict[int, Flow] = {}
        self._fading: dict[int, Flow] = {}  # no longer among the open ones, its end not heard yet
        self._passed: dict[int, Passed] = {}  # open ones that are not followed
        self._kept: dict[Passed, Passed] = {}  # one object for all that are alike
        self._met: set[int] = set()  # of these, what the last look met
        self._once: set[int] = set()  # in nobody's descriptors at the last look, and new then
        self._wanted = Wanted(lambda i: bool(self._known(i)), self._passed, is_near=NearKeys(network.cluster))
        self._users = Users()
        self._has_looked, self._heard_s = False, 0.0
        self._n_looks = self._n_failed = self._n_lost = self._n_seen = 0
        self._is_nobodys = False  # whether ends were lost at the last look, and nobody knew through whom
        self._is_cut = False  # whether anybody's open sockets may be missing from the last look's tables

    def hear(self, mono_s: float) -> None:
        """A moment between two looks: take in what has ended. Never waits."""
        if self.diag is None or not self.diag.hears_ends or not self._has_looked:
            return
        spare_s = min(HEAR_S, HEAR_SHARE * max(0.0, mono_s - self._heard_s))
        self._heard_s = mono_s
        self.diag.hear(self._wanted, spare_s)
        self._elsewhere.hear(self._known, self._passed, spare_s / 4)
        n, self._n_seen = self._wanted.n_unknown - self._n_seen, self._wanted.n_unknown
        if n >= BUSY and self.diag.n_met <= MOST_MET:
            self._briefs.peek(self.diag, self._is_met, self._groups.ids, self._users)

    def _is_met(self, ident: int) -> bool:
        return ident in self._flows or ident in self._passed

    def closer(self, now: Instant) -> list[Told]:
        """A round between two looks, at suspects and what is new. Never waits, never raises."""
        diag = self.diag if self._has_looked and self.diag is not None and self.diag.hears_ends else None
        return [] if diag is None else [*self.closeup.look(now, diag, self._wanted.samples, self._is_met)]

    def look(self, now: Instant, table: ProcessTable, runs: set[str]) -> Iterator[Told]:
        """One pass over the kernel's tables; what is told comes one by one."""
        members = [p for p in table.by_pid.values() if p.run in runs]
        self._users = Users(members, table.by_pid.values())
        self._groups.look(members, runs)
        self._elsewhere.look(members, now.mono_s)
        self._briefs.look(members, table.by_pid.values(), runs)
        self._n_looks += 1
        if self._n_looks % ANEW == 0:
            self._begin_anew()
        try:
            rows, ended = self._samples(runs, now)
        except OSError as error:
            yield from self._note_failure(error, now, runs)
            return
        go_on(self._flows, rows, self._elsewhere.opened)
        over, short = self._closed(ended, rows)
        over += self._vanished(rows, runs)
        for ident in self._flows.keys() & rows.keys():
            self._flows[ident].update(rows[ident])
        yield from self._take({i: row for i, row in rows.items() if i not in self._flows}, members, now)
        self._note_passed()
        yield from self._tell_short(short, now)
        yield from self._watch.look(now, [*self._flows.values(), *over])
        for flow in over:
            yield from self._tell_end(flow, now)
        for flow in self._flows.values():
            if flow.is_due(now.mono_s, AGAIN_S):
                yield flow.record(now, gone=False)
        yield from self._briefs.due(now)
        cut = self._watch.take_truncated()
        self.truncated = {r: n for r, n in {**dict.fromkeys(cut), **self.truncated}.items() if r in runs}
        self._has_looked = True
        self.closeup.begin(now.mono_s)

    def _begin_anew(self) -> None:
        """Whose the rest is may be known by now; of many it is asked less often."""
        counts = numbers(f.run for f in self._flows.values())
        often = len(self._passed) <= MOST_FLOWS or self._n_looks % (MUCH * ANEW) == 0
        for ident, passed in list(self._passed.items()):
            if often if passed.kind != LEFT else counts.get(passed.run or "", 0) < MOST_FLOWS:
                del self._passed[ident]
        self._kept.clear()
        for flow in self._flows.values():
            self._note_place(flow.sample, flow.run)

    def _note_failure(self, error: OSError, now: Instant, runs: set[str]) -> Iterator[Told]:
        """A look that the kernel did not answer is left out; after some the text tables have to do."""
        self.truncated = dict.fromkeys(runs)
        self._n_failed += 1
        if self.diag is not None and self._n_failed >= MOST_FAILURES:
            self.close()
            self.diag = None
            reason = error.strerror or type(error).__name__
            yield wire.Event(now.at, None, "sockets-by-text", {"reason": reason}, now.mono_s)

    def end(self, run: str, now: Instant) -> Iterator[Told]:
        """The last word about a run's flows."""
        for flows in (self._flows, self._fading):
            for ident in [i for i, flow in flows.items() if flow.run == run]:
                yield from self._tell_end(flows.pop(ident), now)
        yield from self._watch.end(run, now)
        yield from self._briefs.end(run, now)

    def uncounted(self, now: Instant, runs: set[str]) -> dict[str, str]:
        """Of these runs those of whose connections no bytes are told, with the reason."""
        return uncounted(self.diag, self._flows.values(), runs, now.mono_s)

    def close(self) -> None:
        """Hear no more."""
        self._elsewhere.close()
        if self.diag is not None:
            self.diag.close()

    def _samples(self, runs: set[str], now: Instant) -> tuple[dict[int, Sample], list[Sample]]:
        """(what is open now, what was heard to end since the last look)."""
        rows: list[Sample] = []
        uids, self.truncated, self._is_cut = self._users.uids, {}, False
        if self.diag is not None:
            groups = self._groups.ids
            rows, _ = self.diag.dump(uids, self._known, groups=groups, passed=self._passed)
            self._is_cut = self.diag.late
            crowded = runs if self._is_cut else self._users.touched(self.diag.crowded, runs)
            self.truncated = dict.fromkeys(crowded)
            self._n_failed = 0
        else:
            rows, self._is_cut = read_tables(self.proc, uids)
            self.truncated = dict.fromkeys(runs if self._is_cut else ())
        others, ended = self._elsewhere.samples(uids, self._known, self._passed)
        self._met = self._elsewhere.there | (set() if self.diag is None else self.diag.there)
        self.truncated |= dict.fromkeys(self._elsewhere.truncated)
        found: dict[int, Sample] = {}
        for part in (rows, *others):
            doors = {row.local for row in part if row.state == "LISTEN"}
            found.update((row.ident, guess_opener(row, doors)) for row in part)
            if part is rows and self.diag is not None:
                ended = [*self._ended(self.diag, doors, now, runs), *ended]
        for run, netns, tally, n_unheard in self._elsewhere.ended:
            self._briefs.add(Passed(run, None, None, ORPHAN, 0), tally, now, (netns, n_unheard))
        return found, ended

    def _ended(self, diag: TcpDiag, doors: set[str], now: Instant, runs: set[str]) -> list[Sample]:
        """After the dump: what is missing there has been told by now."""
        wanted = self._wanted
        wanted.doors = ports_of(doors)
        wanted.want_places(self._watch.places())
        diag.hear(wanted, HEAR_S)
        self._heard_s = now.mono_s
        n_left_out, (samples, tally, tallies) = wanted.left_out, wanted.take()
        self._n_seen = wanted.n_unknown
        lost, self._n_lost = diag.lost - self._n_lost, diag.lost
        self.n_unheard += lost
        if not runs:
            self._briefs.seen.note_nodes(tally.places)
        for key in diag.others:
            self._briefs.seen.note(key, NODES)
        for passed, part in tallies.items():
            self._briefs.add(passed, part, now)
        whose = self._briefs.add_unknown(tally, now, lost)
        for passed, part in tallies.items():
            whose[passed.run] = whose.get(passed.run, 0) + part.n
        if lost or n_left_out or self._is_nobodys:
            fillers = [run for run in who_fills(samples, self._flows, whose) if run in runs]
            # Who began since the last look may be known at the next one; then it is said of all.
            wait = not fillers and not self._is_nobodys
            self.truncated |= dict.fromkeys(fillers or (() if wait else runs))
            self._is_nobodys = wait
        for ident in wanted.over:
            self._passed.pop(ident, None)
        wanted.over.clear()
        return [guess_opener(sample, doors) for sample in samples]

    def _known(self, ident: int) -> Sample | None:
        return None if (flow := self._flows.get(ident) or self._fading.get(ident)) is None else flow.sample

    def _closed(self, ended: list[Sample], rows: dict[int, Sample]) -> tuple[list[Flow], list[Sample]]:
        """(followed connections, with their last counts; what ended and was not followed)."""
        over, short = [], []
        for sample in ended:
            rows.pop(sample.ident, None)
            flow = self._flows.pop(sample.ident, None) or self._fading.pop(sample.ident, None)
            if flow is not None:
                flow.update(sample)
                over.append(flow)
            elif sample.ident not in self._passed:
                short.append(sample)
        return over, short

    def _vanished(self, rows: dict[int, Sample], runs: set[str]) -> list[Flow]:
        """Flows that ended, or whose inode is another socket's by now. One that is closing gets a look's
        time for its last word. Nothing ends by missing from a table that was cut."""
        over = list(self._fading.values())
        self._fading = {}
        for ident, flow in list(self._flows.items()):
            row = rows.get(ident)
            if flow.run in runs and (self._may_be_missing(flow) if row is None else flow.is_same(row)):
                continue
            del self._flows[ident]
            if flow.run in runs and row is None and flow.sample.cookie is not None:
                self._fading[ident] = flow
            else:
                over.append(flow)
        return over

    def _may_be_missing(self, flow: Flow) -> bool:
        netns, uid = flow.sample.netns, flow.sample.uid
        if netns is not None:
            return netns in self._elsewhere.cut or netns in self._elsewhere.untold
        return self._is_cut or (self.diag is not None and uid in self.diag.crowded)

    def _tell_end(self, flow: Flow, now: Instant) -> Iterator[Told]:
        yield flow.record(now, gone=True)
        yield from self._watch.forget(flow, now)

    def _take(self, new: dict[int, Sample], members: list[Process], now: Instant) -> Iterator[Told]:
        """New sockets of runs: followed, or known from now on as passed over."""
        new = {i: row for i, row in new.items() if row.uid in self._users.uids or row.run is not None}
        left = orphaned(self._flows.values(), members)
        if not new and not left:
            self._once.clear()
            return
        rows = (*new.values(), *(flow.sample for flow in left))
        found, _ = self._owners.find({row.inode for row in rows if row.inode}, members)
        yield from pass_on(left, found, now)
        counts = numbers(flow.run for flow in self._flows.values())
        once, self._once = self._once, set()
        for ident, row in sorted(new.items(), key=lambda item: item[1].inode):
            process = found.get(row.inode) if row.inode else None
            run = row.run or (None if process is None else process.run)
            if process is None and row.state != "SYN_SENT":
                unread = self._unread(row)
                if unread:  # it may lie in what the next looks read
                    self.truncated = {**dict.fromkeys(unread), **self.truncated}
                    continue
                if ident not in once and ident not in self._passed:
                    self._once.add(ident)  # on its way between two processes, perhaps
                    continue
            if run is None or row.state == "SYN_SENT":
                self._pass(ident, row, run or self._users.run_of(row.uid), process)
                continue
            counts[run] = counts.get(run, 0) + 1
            if counts[run] > MOST_FLOWS:
                self._pass(ident, row, run, process)
                continue
            flow = self._flows[ident] = Flow(row, process, run, now, began=self._has_looked)
            if process is not None:
                flow.count_less(self._watch.counted(process.key, ident))
            self._note_place(row, run)
            yield flow.record(now, gone=False)

    def _unread(self, row: Sample) -> set[str]:
        """Runs that may hold a socket in descriptors that were not read since it was first seen."""
        runs = {row.run} if row.run is not None else self._users.every.get(row.uid, set())
        return self._owners.unread(row.inode, runs)

    def _pass(self, ident: int, row: Sample, run: str | None, process: Process | None) -> None:
        """Not followed; whose it is is known when it ends."""
        kind = TRYING if row.state == "SYN_SENT" else ORPHAN if process is None else LEFT
        pid, exe = (None, None) if process is None else (process.pid, process.exe)
        passed = Passed(run, pid, exe, kind, row.uid)
        if len(self._passed) < MOST_PASSED or ident in self._passed:
            self._passed[ident] = self._kept.setdefault(passed, passed)
        self._met.add(ident)
        if run is not None:
            self._note_place(row, run)

    def _note_place(self, row: Sample, run: str) -> None:
        if row.opened and row.state != "LISTEN" and row.netns is None and row.proto.startswith("tcp"):
            self._briefs.seen.note(key_of(row.peer), run)

    def _note_passed(self) -> None:
        """What is passed over is said. Sockets that for two looks lay in no descriptor that was read (a
        thread may have its own table, or they are on their way between processes) are those runs' that have
        all processes of their user."""
        counts: dict[Passed, int] = {}
        for ident in self._met:
            passed = self._passed.get(ident)
            if passed is not None and passed.kind != TRYING:
                counts[passed] = counts.get(passed, 0) + 1
        for passed, n in counts.items():
            for run in [passed.run] if passed.run is not None else self._users.runs.get(passed.uid, ()):
                add_left(self.truncated, run, n)

    def _tell_short(self, short: list[Sample], now: Instant) -> Iterator[Told]:
        """Connections within the node that came and went. Whose they were is known of the end at which a
        followed process listens; the other end's process is not."""
        self._watch.note_short(short, now.mono_s)
        counts: dict[str, int] = {}
        for door, sample in accepted(short, self._flows.values()):
            counts[door.run] = counts.get(door.run, 0) + 1
            if counts[door.run] > MOST_SHORT:
                add_left(self.truncated, door.run)
            else:
                yield Flow(sample, door.process, door.run, now, began=True).record(now, gone=True)

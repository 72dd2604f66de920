"""One look at the node's tables: processes, who is on which GPU, sockets; records and events go to `out`."""

from __future__ import annotations

import os

from slurm_guard import wire
from slurm_guard.light import TYPE_CHECKING, Any, Callable
from slurm_guard.sampler.attribution import RunFacts, find_by_uid
from slurm_guard.sampler.boards import Board
from slurm_guard.sampler.budget import Budget, LeftOut, Word
from slurm_guard.sampler.devnodes import DeviceFiles, folders_of
from slurm_guard.sampler.guests import Guests, Look, Memory, Services, Unlisted
from slurm_guard.sampler.holders import Holders
from slurm_guard.sampler.holding import Holding
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.processes import MOST_PROGRAMS, ProcessTable
from slurm_guard.sampler.reading import GpuProc, GpuReader
from slurm_guard.sampler.runs import Run, RunBook
from slurm_guard.sampler.sockets import SocketTable
from slurm_guard.sampler.tcpdiag import tcp_diag
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.loop import Loop

# (run whose stream takes the record, or null for the node's own; the record)
Out = Callable[[str | None, Any], None]
_SURE = ("cgroup", "stepd", "remembered")  # by uid and time we conclude from the map: that teaches it nothing


class Tables:
    """Processes, GPUs' process lists and sockets, looked at together."""

    def __init__(self, loop: Loop, holding: Holding) -> None:
        node, place = loop.config.node, loop.place
        self.processes = ProcessTable(loop.proc, place.node, node.max_procs)
        self.sockets = SocketTable(loop.proc, loop.config.network, tcp_diag(loop.proc.root))
        self.holders = Holders(DeviceFiles(loop.proc, folders_of(node.gres_devices)))
        self.config, self.holding = node, holding
        self.reader: GpuReader = loop.reader
        self.out: Out = loop.out
        memory = Memory(os.path.join(place.folders.run, "told.json"), place.boot_id)
        services = Services(node.services)
        self._guests, self._unlisted = Guests(holding.map, services, memory), Unlisted(services)
        self._truncated = False
        self._unread = LeftOut()
        self._told_truncated: set[str] = set()
        self._told_uncounted: set[str] = set()
        self._budget = Budget()
        self._told_budget: set[str | None] = set()

    def look(self, now: Instant, book: RunBook, boards: dict[str, Board]) -> None:
        """Everything once."""
        gone = self.processes.look(now, book.facts())
        self._note_truncation(now)
        self.holders.look(self.processes.by_pid.values())
        facts = {fact.run: fact for fact in book.facts()}
        looks: list[Look] = []
        for board in boards.values():
            looks += self._look_board(now, board, facts)
        self._hold_against_list(now, boards, facts)
        self.holding.learn({(run, look.gpu) for look in looks for run in self._teachers(look.process, facts)})
        for look in looks:
            event = self._guests.judge(self._with_job(look), facts)
            if event is not None:
                self.out(None, event)
        self._tell_processes(now, gone, book)
        self._guests.forget(gone)
        self._unlisted.forget(gone)
        alive = {run.key for run in book.alive()}
        for told in self.sockets.look(now, self.processes, alive):
            self.out(told.run, told)
        for run in sorted(self.sockets.truncated.keys() - self._told_truncated):
            self._told_truncated.add(run)
            self._tell_event(now, run, "flows-truncated", {"n": self.sockets.truncated[run]})
        for run, reason in sorted(self.sockets.uncounted(now, alive - self._told_uncounted).items()):
            self._told_uncounted.add(run)
            self._tell_event(now, run, "flows-uncounted", {"reason": reason})
        self._look_for_ends(now, book)

    def _teachers(self, process: Process, facts: dict[str, RunFacts]) -> list[str]:
        """The living run of a process that the kernel itself ties to it."""
        run = facts.get(process.run) if process.run is not None else None
        known = run is not None and run.ended_at is None and process.how in _SURE
        return [run.run] if run is not None and known else []

    def _with_job(self, look: Look) -> Look:
        """What tells a process without a run apart: the job that it is in all the same."""
        if look.process.run is not None:
            return look
        job = self.processes.job_of(look.process)
        strange = job is None and self.processes.is_in_slurm(look.process.uid)
        return look._replace(job=job, uid_in_slurm=strange)

    def _tell_event(self, now: Instant, run: str | None, name: str, detail: dict[str, Any]) -> None:
        self.out(run, wire.Event(now.at, run, name, detail, now.mono_s))

    def _note_truncation(self, now: Instant) -> None:
        if self.processes.truncated and not self._truncated:
            detail = {"most": self.config.max_procs, "n": self.processes.n_left_out}
            self._tell_event(now, None, "processes-truncated", detail)
        self._truncated = self.processes.truncated
        if self.processes.n_unread:
            self._unread.add(None, self.processes.n_unread)
            self.processes.n_unread = 0
        for _, n in self._unread.take(now.mono_s):
            self._tell_event(now, None, "programs-truncated", {"most": MOST_PROGRAMS, "n": n})

    def _look_board(self, now: Instant, board: Board, facts: dict[str, RunFacts]) -> list[Look]:
        """NVML's list of one GPU set against /proc and the runs."""
        listed = self.reader.processes(board.info)
        if listed is None:
            board.share(None, 0, now.mono_s)
            return []
        seen: list[tuple[Process, GpuProc]] = []
        for told in listed:
            process = self.processes.mark_gpu(told.pid, board.info.uuid)
            if process is not None:
                self._claim_by_uid(process, board, facts)
                process.listed_s, process.holds = now.mono_s, self.holders.holds(process)
                seen.append((process, told))
        board.share(seen, len(listed) - len(seen), now.mono_s)
        holders = board.holders
        return [Look(now.at, board.info.uuid, process, holders, mono_s=now.mono_s) for process, _ in seen]

    def _hold_against_list(self, now: Instant, boards: dict[str, Board], facts: dict[str, RunFacts]) -> None:
        """Who has a GPU's device file open and stands in no list of NVML's. Where a GPU's list could not be
        had, those that it listed before are in it.
        """
        silent = {uuid for uuid, board in boards.items() if board.list_failed}
        whole = self.holders.is_whole(self.processes)
        every = self.processes.by_pid.values()
        listed = {p.pid for p in every if p.listed_s == now.mono_s or p.gpus & silent}
        for uuid, board in boards.items():
            if board.info.minor is None:
                continue  # nobody knows which file is its
            holders = self.holders.of_gpu(uuid, board.info.minor, self.processes)
            unlisted = self.holders.unlisted(holders, listed)
            board.note_holders(holders, unlisted, whole=whole)
            for process in unlisted:
                strange = Look(now.at, uuid, process, board.holders, mono_s=now.mono_s)
                event = self._unlisted.judge(self._with_job(strange), facts)
                if event is not None:
                    self.out(None, event)
        for left_out in self._unlisted.take_left_out(now):
            self.out(None, left_out)

    def _claim_by_uid(self, process: Process, board: Board, facts: dict[str, RunFacts]) -> None:
        """A process outside every job, of the uid of the one run that holds the GPU or held it last."""
        if process.run is not None or process.uid == 0 or self.processes.job_of(process) is not None:
            return
        holders = [facts[run] for run in board.holders if run in facts]
        last = facts.get(board.last_holder) if board.last_holder is not None else None
        found = find_by_uid(process.uid, process.started, holders, last)
        if found is not None:
            self.processes.assign(process, found)

    def _tell_processes(self, now: Instant, gone: list[Process], book: RunBook) -> None:
        """To the stream of its run while that lives, else to the node's own; what is left out is said."""
        self._budget.begin()
        words = [Word(process, gone=True) for process in gone if process.told]
        words += [Word(process, gone=False) for process in self.processes.by_pid.values() if process.due]
        per_run: dict[str | None, list[Word]] = {}
        for word in words:
            run = word.process.run
            per_run.setdefault(run if run in book.runs else None, []).append(word)
        for run, due in per_run.items():
            for word in self._budget.choose(run, due):
                if not word.gone:
                    word.process.take_change()
                self.out(run, word.process.record(word.gone))
        self._note_left_out(now)

    def _note_left_out(self, now: Instant) -> None:
        for run in self._budget.left_out.keys() - self._told_budget:
            self._told_budget.add(run)
            self._tell_left_out(now, run)

    def _tell_left_out(self, now: Instant, run: str | None) -> None:
        detail = {"most": self._budget.most, "n": self._budget.left_out[run]}
        self._tell_event(now, run, "processes-truncated", detail)

    def _look_for_ends(self, now: Instant, book: RunBook) -> None:
        """Runs whose processes and slurmstepds are gone for the grace end by themselves."""
        for run in book.alive():
            run.authors.note(self.processes.of_run(run.key), now.at, whole=not self.processes.truncated)
        if self.processes.truncated:
            return
        for run in book.alive():
            members = self.processes.of_run(run.key)
            stepds = self.processes.stepds(run.facts)
            steps = [p.stepd.step for p in stepds if p.stepd is not None]
            steps += [p.ref.step for p in members if p.ref is not None]
            run.note_presence(steps, bool(members or stepds), now.mono_s)
            event = run.note_stopped([p.stopped for p in members])
            if event is not None:
                self.out(run.key, wire.Event(now.at, run.key, event, {"n": len(members)}, now.mono_s))
            if run.is_over(now.mono_s, self.config.end_grace_s, book.overtaken(run)):
                run.end("processes-gone", now.at, now.mono_s)

    def end(self, run: Run, now: Instant) -> None:
        """The last words about a run's processes and flows."""
        living = [Word(process, gone=False) for process in self.processes.of_run(run.key)]
        for word in self._budget.choose(run.key, living, last=True):
            self.out(run.key, word.process.record(gone=False))
        self._note_left_out(now)
        for told in self.sockets.end(run.key, now):
            self.out(run.key, told)
        self._told_truncated.discard(run.key)
        self._told_uncounted.discard(run.key)

    def seal(self, run: str, now: Instant) -> None:
        """Before a run's seal: how many records were left out in all."""
        if run in self._told_budget:
            self._tell_left_out(now, run)
            self._told_budget.discard(run)
        self._budget.forget(run)

    def close(self) -> None:
        """Hear no more of the kernel."""
        self.sockets.close()

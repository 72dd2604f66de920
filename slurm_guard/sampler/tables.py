"""One look at the node's tables: processes, who is on which GPU, sockets; records and events go to `out`."""

from collections.abc import Callable
from typing import Any

from slurm_guard import wire
from slurm_guard.config import NodeConfig
from slurm_guard.sampler.attribution import RunFacts, find_by_uid
from slurm_guard.sampler.boards import Board
from slurm_guard.sampler.guests import Guests, Look
from slurm_guard.sampler.processes import Process, ProcessTable
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.reading import GpuProc, GpuReader
from slurm_guard.sampler.runs import Run, RunBook
from slurm_guard.sampler.sockets import SocketTable
from slurm_guard.sampler.writer import Instant

# (run whose stream takes the record, or null for the node's own; the record)
Out = Callable[[str | None, Any], None]


class Tables:
    """Processes, GPUs' process lists and sockets, looked at together."""

    def __init__(self, proc: Proc, reader: GpuReader, node: str, config: NodeConfig, out: Out) -> None:
        self.processes = ProcessTable(proc, node, config.max_procs)
        self.sockets = SocketTable(proc)
        self.reader, self.config, self.out = reader, config, out
        self._guests = Guests()
        self._truncated = False
        self._told_truncated: set[str] = set()

    def look(self, now: Instant, book: RunBook, boards: dict[str, Board]) -> None:
        """Everything once."""
        gone = self.processes.look(now, book.facts())
        self._note_truncation(now)
        facts = {fact.run: fact for fact in book.facts()}
        for board in boards.values():
            self._look_board(now, board, facts)
        self._tell_processes(gone, book)
        self._guests.forget(gone)
        for flow in self.sockets.look(now, self.processes, {run.key for run in book.alive()}):
            self.out(flow.run, flow)
        for run in sorted(self.sockets.truncated - self._told_truncated):
            self._told_truncated.add(run)
            self.out(run, wire.Event(now.at, run, "flows-truncated", {}))
        self._look_for_ends(now, book)

    def _note_truncation(self, now: Instant) -> None:
        if self.processes.truncated and not self._truncated:
            self.out(None, wire.Event(now.at, None, "processes-truncated", {"most": self.config.max_procs}))
        self._truncated = self.processes.truncated

    def _look_board(self, now: Instant, board: Board, facts: dict[str, RunFacts]) -> None:
        """NVML's list of one GPU set against /proc and the runs."""
        listed = self.reader.processes(board.info)
        if listed is None:
            board.share(None, 0, now.mono_s)
            return
        seen: list[tuple[Process, GpuProc]] = []
        for told in listed:
            process = self.processes.mark_gpu(told.pid, board.info.uuid)
            if process is not None:
                self._claim_by_uid(process, board, facts)
                seen.append((process, told))
        board.share(seen, len(listed) - len(seen), now.mono_s)
        for process, _ in seen:
            event = self._guests.judge(Look(now.at, board.info.uuid, process, board.holders), facts)
            if event is not None:
                self.out(None, event)

    def _claim_by_uid(self, process: Process, board: Board, facts: dict[str, RunFacts]) -> None:
        """A process outside every job, of the uid of the one run that holds the GPU or held it last."""
        if process.run is not None or process.ref is not None or process.uid == 0:
            return
        holders = [facts[run] for run in board.holders if run in facts]
        last = facts.get(board.last_holder) if board.last_holder is not None else None
        found = find_by_uid(process.uid, process.started, holders, last)
        if found is not None:
            self.processes.assign(process, found)

    def _tell_processes(self, gone: list[Process], book: RunBook) -> None:
        for process in gone:
            if process.told:
                self._tell(process, book, gone=True)
        for process in self.processes.by_pid.values():
            if process.changed and process.told:
                process.changed = False
                self._tell(process, book, gone=False)

    def _tell(self, process: Process, book: RunBook, gone: bool) -> None:
        """To the stream of its run while that lives, else to the node's own."""
        run = book.runs.get(process.run) if process.run is not None else None
        self.out(run.key if run is not None else None, process.record(gone))

    def _look_for_ends(self, now: Instant, book: RunBook) -> None:
        """Runs whose processes and slurmstepds are gone for the grace end by themselves."""
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
        for process in self.processes.of_run(run.key):
            self.out(run.key, process.record(gone=False))
        for flow in self.sockets.end(run.key, now):
            self.out(run.key, flow)

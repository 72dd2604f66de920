"""Which process holds which socket, by the links of its descriptors."""

from __future__ import annotations

from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc

MOST_FDS = 4096  # of one process
MOST_LINKS = 8192  # of all processes in one look: judgement; what is left comes first in the next one
_PREFIX = "socket:["


class Owners:
    """A job with many descriptors must not cost the others their readings: a look asks so many, an equal
    share of each run's first, and the next one goes on from there."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        self._turns: dict[str | None, int] = {}  # the process of a run at which the next look begins

    def find(self, wanted: set[int], members: list[Process]) -> tuple[dict[int, Process], set[str]]:
        """(the holders by inode, the oldest where several of a run do; runs of which not all was asked)."""
        by_run: dict[str | None, list[Process]] = {}
        for process in sorted(members, key=lambda p: p.key[::-1]):
            by_run.setdefault(process.run, []).append(process)
        look = _Look(self.proc, wanted)
        share = MOST_LINKS // max(1, len(by_run))
        left = {run: self._in_turn(run, processes) for run, processes in by_run.items()}
        for run, processes in left.items():
            look.ask(processes, run, share)
        for run, processes in left.items():
            look.ask(processes, run, max(0, MOST_LINKS - look.n_links))
        for run, processes in left.items():
            if processes and not look.is_done:
                look.unread.add(run)
                self._turns[run] = self._turns.get(run, 0) + len(by_run[run]) - len(processes)
            else:
                self._turns.pop(run, None)
        return look.found, {run for run in look.unread if run is not None} if not look.is_done else set()

    def _in_turn(self, run: str | None, processes: list[Process]) -> list[Process]:
        begin = self._turns.get(run, 0) % len(processes)
        return [*processes[begin:], *processes[:begin]]


class _Look:
    def __init__(self, proc: Proc, wanted: set[int]) -> None:
        self.found: dict[int, Process] = {}
        self.unread: set[str | None] = set()
        self.n_links = 0
        self._proc, self._wanted = proc, wanted

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to be found."""
        return len(self.found) == len(self._wanted)

    def ask(self, processes: list[Process], run: str | None, most: int) -> None:
        """The first of these processes, up to so many links; those that were asked are taken off."""
        until = self.n_links + most
        while processes and self.n_links < until and not self.is_done:
            process = processes.pop(0)
            held = self._proc.fds(process.pid, MOST_FDS)
            if held is None:
                continue
            links, number = held
            self.n_links += len(links) + 1
            if number > MOST_FDS:
                self.unread.add(run)
            self._note(process, links)

    def _note(self, process: Process, links: list[tuple[str, str]]) -> None:
        for _, text in links:
            number = text[len(_PREFIX) : -1] if text.startswith(_PREFIX) else ""
            inode = int(number) if number.isdecimal() else 0
            if inode not in self._wanted:
                continue
            before = self.found.setdefault(inode, process)
            if process.key[::-1] < before.key[::-1]:
                self.found[inode] = process

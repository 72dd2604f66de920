"""Which process holds which socket, by the links of its descriptors."""

from __future__ import annotations

from slurm_guard.sampler.process import Key, Process
from slurm_guard.sampler.procfs import Proc

MOST_FDS = 4096  # of one process in one look. Judgement
MOST_LINKS = 8192  # of all processes in one look: judgement; what is left comes first in the next one
_PREFIX = "socket:["


class _Turn:
    """How far a process is read whose descriptors were not all read in one look."""

    __slots__ = ("at", "began", "whole")

    def __init__(self, n_look: int) -> None:
        self.at = 0  # the descriptor that comes next
        self.began = n_look  # the look in which the first one was read last
        self.whole = n_look - 1  # all were read since this look began; one that was never left was so before


class Owners:
    """A job with many descriptors must not cost the others their readings: a look asks so many, an equal
    share of each run's first, and the next one goes on from there, also in the middle of a process. So no
    descriptor is beyond reach: a socket among 20,000 of one process is found within five looks."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        self._next: dict[str | None, Key] = {}  # the process of a run at which the next look begins
        self._left: dict[Key, _Turn] = {}
        self._since: dict[
            int, int
        ] = {}  # inodes that were not found: the look in which each was first wanted
        self._whole: dict[
            str | None, int
        ] = {}  # since which look all of a run was read; missing: in this one
        self._n_looks = 0

    def find(self, wanted: set[int], members: list[Process]) -> tuple[dict[int, Process], set[str]]:
        """(the holders by inode, the oldest where several of a run do; runs of which not all was asked since
        one that was not found was first wanted)."""
        self._n_looks += 1
        by_run: dict[str | None, list[Process]] = {}
        for process in sorted(members, key=_age):
            by_run.setdefault(process.run, []).append(process)
        look = _Look(self.proc, wanted, self._left, self._n_looks)
        share = MOST_LINKS // max(1, len(by_run))
        left = {run: self._in_turn(run, processes) for run, processes in by_run.items()}
        first = {run: processes[0] for run, processes in left.items()}
        for processes in left.values():
            look.ask(processes, share)
        for processes in left.values():
            look.ask(processes, max(0, MOST_LINKS - look.n_links))
        self._note(look, left, first)
        self._since = {inode: self._since.get(inode, self._n_looks) for inode in wanted - look.found.keys()}
        last = max(self._since.values(), default=0)
        return look.found, {run for run, whole in self._whole.items() if run is not None and whole < last}

    def unread(self, inode: int, runs: set[str]) -> set[str]:
        """Of these runs those of which not all was read since a socket that was not found was first
        wanted."""
        since = self._since.get(inode, 0)
        return {run for run in runs if self._whole.get(run, since) < since}

    def _in_turn(self, run: str | None, processes: list[Process]) -> list[Process]:
        """Those that waited longest first."""
        key = self._next.get(run)
        if key is None:
            return processes
        begin = next((at for at, process in enumerate(processes) if _age(process) >= key[::-1]), 0)
        return [*processes[begin:], *processes[:begin]]

    def _note(
        self, look: _Look, left: dict[str | None, list[Process]], first: dict[str | None, Process]
    ) -> None:
        """What was not read. Where all was found the next look begins anew."""
        turns, self._left, self._whole, self._next = self._left, {}, {}, {}
        if look.is_done:
            return
        for run, processes in left.items():
            # One that took all of its run's share waits until the others have had theirs.
            at = 1 if processes[:1] == [first[run]] and len(processes) > 1 else 0
            if processes:
                self._next[run] = processes[at].key
        for process in [*(p for processes in left.values() for p in processes), *look.partly]:
            turn = self._left[process.key] = turns.get(process.key) or _Turn(self._n_looks)
            self._whole[process.run] = min(self._whole.get(process.run, turn.whole), turn.whole)


def _age(process: Process) -> Key:
    return process.key[::-1]


class _Look:
    def __init__(self, proc: Proc, wanted: set[int], turns: dict[Key, _Turn], n_look: int) -> None:
        self.found: dict[int, Process] = {}
        self.partly: list[Process] = []  # those that have had their share and are not read to the end
        self.n_links = 0
        self._proc, self._wanted, self._turns, self._n_look = proc, wanted, turns, n_look

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to be found."""
        return len(self.found) == len(self._wanted)

    def ask(self, processes: list[Process], most: int) -> None:
        """The first of these processes, up to so many links; those that have had their share are taken
        off."""
        until = self.n_links + most
        while processes and self.n_links < until and not self.is_done:
            process = processes[0]
            turn = self._turns.setdefault(process.key, _Turn(self._n_look))
            room = min(MOST_FDS, until - self.n_links)
            is_at_end = self._read(process, turn, room)
            if is_at_end and turn.whole == self._n_look:
                del self._turns[process.key]
            elif is_at_end or room == MOST_FDS:
                self.partly.append(process)
            else:
                return  # this one goes on with what others leave
            processes.pop(0)

    def _read(self, process: Process, turn: _Turn, most: int) -> bool:
        """So many descriptors from where it was left; whether the last one was among them."""
        if turn.at == 0:
            turn.began = self._n_look
        links, number = self._proc.fds(process.pid, most, turn.at) or ([], 0)  # gone, or nobody may look
        self.n_links += min(number, most) + 1
        self._note(process, links)
        if number > most:
            turn.at = int(links[-1][0]) + 1 if links else turn.at
            return False
        turn.at, turn.whole = 0, turn.began
        return True

    def _note(self, process: Process, links: list[tuple[str, str]]) -> None:
        for _, text in links:
            number = text[len(_PREFIX) : -1] if text.startswith(_PREFIX) else ""
            inode = int(number) if number.isdecimal() else 0
            if inode not in self._wanted:
                continue
            before = self.found.setdefault(inode, process)
            if _age(process) < _age(before):
                self.found[inode] = process

"""Which processes hand each other bytes through pipes, both ways: ssh and its ProxyCommand, say.

A pipe that many processes write to (the standard output of a step) joins nobody: both ways are asked for.
"""

from __future__ import annotations

from slurm_guard.light import NamedTuple
from slurm_guard.sampler.patterns import pattern
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc

MOST_FDS = 1024  # of one process that are looked at. Judgement
MOST_PROCESSES = 32  # on either side, of one run and look. Judgement
AGAIN_S = 30.0  # a process's pipes are looked at again after this long
_PIPE = pattern(r"pipe:\[(\d+)\]")
_READS, _WRITES = 0o400, 0o200


class Ends(NamedTuple):
    """Inodes of the pipes that a process reads from, and writes to."""

    reads: frozenset[int]
    writes: frozenset[int]


def meet(one: Ends, other: Ends) -> bool:
    """Whether bytes can go to and fro between the two."""
    return bool(one.writes & other.reads) and bool(one.reads & other.writes)


class Joints:
    """Pipes of processes, remembered for a while."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        self._seen: dict[tuple[int, int], tuple[float, Ends]] = {}

    def joined(
        self, one: list[Process], others: list[Process], mono_s: float
    ) -> list[tuple[Process, Process]]:
        """Pairs of a process of the first list and one of the second that are joined both ways."""
        self._seen = {key: seen for key, seen in self._seen.items() if mono_s - seen[0] < AGAIN_S}
        runs = {process.run for process in one}
        return [
            (a, b)
            for run in runs
            for a in [p for p in one if p.run == run][:MOST_PROCESSES]
            for b in [p for p in others if p.run == run][:MOST_PROCESSES]
            if a is not b and meet(self._ends(a, mono_s), self._ends(b, mono_s))
        ]

    def _ends(self, process: Process, mono_s: float) -> Ends:
        seen = self._seen.get(process.key)
        if seen is None:
            seen = self._seen[process.key] = (mono_s, ends_of(self.proc, process.pid))
        return seen[1]


def ends_of(proc: Proc, pid: int) -> Ends:
    """From the links in /proc/PID/fd, whose permission bits tell how each is open."""
    reads, writes = set(), set()
    for name in proc.names(pid, "fd")[:MOST_FDS]:
        found = _PIPE.fullmatch(proc.link(pid, f"fd/{name}") or "")
        mode = proc.link_mode(pid, f"fd/{name}") if found else None
        if found is None or mode is None:
            continue
        if mode & _READS:
            reads.add(int(found[1]))
        if mode & _WRITES:
            writes.add(int(found[1]))
    return Ends(frozenset(reads), frozenset(writes))

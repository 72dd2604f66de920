"""Which processes hand each other bytes both ways: through pipes, named or not, pseudo-terminals, or sockets
within the node. ssh and its ProxyCommand, two netcats and a FIFO, a program and one that it started on a
socket pair.

A pipe that many processes write to (the standard output of a step) joins nobody: both ways are asked for.
That two processes are joined says nothing by itself: bytes have to reappear.
"""

from __future__ import annotations

from slurm_guard.light import Iterator, NamedTuple
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.unixdiag import peers

MOST_FDS = 1024  # of one process that are looked at. Judgement
MOST_FILES = 64  # of one process whose paths are compared: a named pipe is among them. Judgement
MOST_PROCESSES = 32  # on either side, of one run and look. Judgement
AGAIN_S = 30.0  # a process's ends are looked at again after as long as they have been known, at most this
_READS, _WRITES = 0o400, 0o200
_PIPE, _SOCKET, _TERMINAL = "pipe:[", "socket:[", "/dev/pts/"
_MASTERS = ("/dev/ptmx", "/dev/pts/ptmx")
_SHM = "/dev/shm/"  # noqa: S108 - compared, never opened
_NONE: frozenset[int] = frozenset()


class Ends(NamedTuple):
    """Pipes that a process reads from, and writes to, by inode or by a hash of the path; `sockets`: inodes of
    its sockets; `others`: of the far ends of those within the node."""

    reads: frozenset[int]
    writes: frozenset[int]
    sockets: frozenset[int] = _NONE
    others: frozenset[int] = _NONE


def meet(one: Ends, other: Ends) -> bool:
    """Whether bytes can go to and fro between the two."""
    piped = bool(one.writes & other.reads) and bool(one.reads & other.writes)
    # the same socket in both: inherited, or handed over
    shared = bool(one.sockets & other.sockets)
    return piped or shared or bool(one.sockets & other.others) or bool(one.others & other.sockets)


class Joints:
    """Ends of processes, remembered for a while."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        # process: (first read, last read, what was read)
        self._seen: dict[tuple[int, int], tuple[float, float, Ends]] = {}
        self._asked_s = -1.0  # when the kernel was asked for the node's socket pairs
        self._pairs: dict[int, int] = {}

    def joined(
        self, one: list[Process], others: list[Process], mono_s: float
    ) -> list[tuple[Process, Process]]:
        """Pairs of a process of the first list and one of the second that are joined both ways."""
        self._seen = {key: seen for key, seen in self._seen.items() if mono_s - seen[1] < AGAIN_S}
        runs = {process.run for process in one}
        found = [
            (a, b)
            for run in runs
            for a in [p for p in one if p.run == run][:MOST_PROCESSES]
            for b in [p for p in others if p.run == run][:MOST_PROCESSES]
            if a is not b and meet(self._ends(a, mono_s), self._ends(b, mono_s))
        ]
        self._pairs = {}
        return found

    def _ends(self, process: Process, mono_s: float) -> Ends:
        """Read in the first looks, since a program opens things as it starts, and then more rarely."""
        seen = self._seen.get(process.key)
        if seen is not None and (mono_s == seen[1] or mono_s - seen[1] < seen[1] - seen[0]):
            return seen[2]
        ends = ends_of(self.proc, process.pid)
        if ends.sockets:
            pairs = self._socket_pairs(mono_s)
            others = frozenset(pairs[inode] for inode in ends.sockets & pairs.keys())
            ends = ends._replace(others=others)
        self._seen[process.key] = (mono_s if seen is None else seen[0], mono_s, ends)
        return ends

    def _socket_pairs(self, mono_s: float) -> dict[int, int]:
        if self._asked_s != mono_s:
            self._asked_s, self._pairs = mono_s, peers() if self.proc.root == "/proc" else {}
        return self._pairs


class Descriptor(NamedTuple):
    """One descriptor that bytes may go through to another process: what it reads from and writes to, as in
    `Ends`; or the inode of its socket."""

    fd: int
    reads: frozenset[int] = _NONE
    writes: frozenset[int] = _NONE
    socket: int | None = None


def ends_of(proc: Proc, pid: int) -> Ends:
    """All of a process's together."""
    reads, writes, sockets = set[int](), set[int](), set[int]()
    for end in descriptors_of(proc, pid, MOST_FDS):
        reads |= end.reads
        writes |= end.writes
        if end.socket is not None:
            sockets.add(end.socket)
    return Ends(frozenset(reads), frozenset(writes), frozenset(sockets))


def descriptors_of(proc: Proc, pid: int, most: int) -> Iterator[Descriptor]:
    """From the links in /proc/PID/fd, whose permission bits tell how each is open. Whether a path is a pipe's
    is not asked: its file system could hang."""
    n_files = 0
    for name in proc.names(pid, "fd", most):
        text = proc.link(pid, f"fd/{name}") or ""
        if text.startswith(_SOCKET):
            yield Descriptor(int(name), socket=int(text[len(_SOCKET) : -1]))
            continue
        if text in _MASTERS or text.startswith(_TERMINAL):
            reads_from, writes_to = _terminal(proc, pid, name, text)
            yield Descriptor(int(name), frozenset(reads_from), frozenset(writes_to))
            continue
        if text.startswith(_PIPE):
            end = int(text[len(_PIPE) : -1])
        elif _may_be_named_pipe(text) and n_files < MOST_FILES:
            n_files += 1
            end = ~abs(hash(text))  # below zero: no inode
        else:
            continue
        mode, only = proc.link_mode(pid, f"fd/{name}") or 0, frozenset((end,))
        yield Descriptor(int(name), only if mode & _READS else _NONE, only if mode & _WRITES else _NONE)


def _terminal(proc: Proc, pid: int, fd: str, text: str) -> tuple[set[int], set[int]]:
    """A pseudo-terminal's end as two pipes, (read from, written to): what its master writes its terminal
    reads. Who shares a terminal with another is not joined to it."""
    number = text[len(_TERMINAL) :]
    is_master = text in _MASTERS
    if is_master:
        told = (proc.read(pid, f"fdinfo/{fd}") or "").partition("tty-index:")[2].split()
        number = told[0] if told else ""
    if not number.isdecimal():
        return set(), set()
    down, up = ~abs(hash(("down", number))), ~abs(hash(("up", number)))
    return ({up}, {down}) if is_master else ({down}, {up})


def _may_be_named_pipe(text: str) -> bool:
    """A path on a file system on which users make files; /dev/shm is one."""
    return text.startswith("/") and (text.startswith(_SHM) or not text.startswith(("/dev/", "/memfd:")))

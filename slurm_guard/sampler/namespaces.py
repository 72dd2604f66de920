"""Network namespaces of jobs that are not the node's: a netlink socket opened in each tells what is in it.

Going into a namespace can wait, so a forked child does it, opens two sockets there and hands them over; the
sampler asks through them and never goes in itself. Where the child may not (no CAP_SYS_ADMIN) the kernel's
text tables of one of its processes have to do: no bytes, and so no relays. Sockets keep a namespace alive:
they are closed at the first look at which no process of a run lives in it.
"""

from __future__ import annotations

import _socket
import os
import struct

from slurm_guard import netlink
from slurm_guard.light import TYPE_CHECKING
from slurm_guard.sampler.children import MOST_FD
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.tcpdiag import Known, Sample, TcpDiag, hear_ends
from slurm_guard.sampler.tcptext import read_tables

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 16  # namespaces on a node that are looked into. Judgement: a container each, and GPUs are few
MOST_LINKS = 512  # processes asked in one look which one they live in. Judgement
DEADLINE_S = 30.0  # for the child. Judgement
DUMP_S = 0.05  # CPU time of one namespace's dump. Judgement
_EVERY = 6  # looks after which a process is asked again; new ones in each of their first three
_CLONE_NEWNET = 0x40000000
_SIGKILL = 9  # `signal` would bring `enum`
_INODE, _FD = struct.Struct("=Q"), struct.Struct("=i")
_PREFIX = "net:["


class Namespaces:
    """The other namespaces of runs' processes, by inode."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        self.truncated = False
        self._home = self._read("self")
        self._where: dict[tuple[int, int], tuple[int, int | None]] = {}  # process: (looks since, inode)
        self._doors: dict[int, _Door] = {}
        self._late: list[int] = []  # children to be collected

    def look(self, members: list[Process], mono_s: float) -> None:
        """Which there are now."""
        self.truncated = False
        self._late[:] = [pid for pid in self._late if not _is_collected(pid)]
        there: dict[int, Process] = {}
        for process, inode in self._places(members):
            if inode is not None and inode != self._home:
                there.setdefault(inode, process)
        for inode in self._doors.keys() - there.keys():
            self._doors.pop(inode).close()
        for inode, process in there.items():
            door = self._doors.get(inode)
            if door is None and len(self._doors) >= MOST:
                self.truncated = True
                continue
            if door is None:
                door = self._doors[inode] = _Door(inode, self._late)
            door.step(process.pid, mono_s, self.proc.root)

    def samples(self, uids: set[int], known: Known) -> tuple[list[list[Sample]], list[Sample]]:
        """(what is open in each, what was heard to end and was known)."""
        found, ended = [], []
        for door in self._doors.values():
            rows, over = door.samples(self.proc, uids, known)
            found.append([row._replace(netns=door.inode) if row.netns is None else row for row in rows])
            ended += [row._replace(netns=door.inode) for row in over]
            self.truncated = self.truncated or door.cut
        return found, ended

    def close(self) -> None:
        """Leave them all."""
        for door in self._doors.values():
            door.close()
        self._doors = {}

    def _places(self, members: list[Process]) -> Iterable[tuple[Process, int | None]]:
        """Each process and the namespace that it lived in when it was last asked."""
        where: dict[tuple[int, int], tuple[int, int | None]] = {}
        n_asked = 0
        for process in members:
            looks, inode = self._where.get(process.key, (0, None))
            if (looks < 3 or looks % _EVERY == process.pid % _EVERY) and n_asked < MOST_LINKS:
                n_asked += 1
                inode = self._read(process.pid)
            where[process.key] = (looks + 1, inode)
            yield process, inode
        self._where = where

    def _read(self, pid: int | str) -> int | None:
        text = self.proc.link(pid, "ns/net") or ""
        return int(text[len(_PREFIX) : -1]) if text.startswith(_PREFIX) else None


class _Door:
    """The way into one namespace: first a child on its way, then its sockets; or a process to read by."""

    def __init__(self, inode: int, late: list[int]) -> None:
        """`late`: takes children that have ended or will soon, to be collected."""
        self.inode, self.late = inode, late
        self.cut = False
        self._pid = 0  # a process that lives there
        self._child: tuple[int, _socket.socket, float] | None = None  # pid, our end, when it was sent
        self._diag: TcpDiag | None = None
        self._refused = False

    def step(self, pid: int, mono_s: float, root: str) -> None:
        """Send a child, or take what it brought. Never waits."""
        self._pid = pid
        if self._child is not None:
            self._collect(mono_s)
        elif self._diag is None and not self._refused:
            if root == "/proc":
                self._send(mono_s)
            else:
                self._refused = True

    def _send(self, mono_s: float) -> None:
        ours, theirs = _socket.socketpair()
        try:
            child = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return
        if child == 0:
            try:
                _keep_only(theirs.fileno())
                go_in(self._pid, theirs)
            finally:
                os._exit(1)
        theirs.close()
        ours.setblocking(False)
        self._child = (child, ours, mono_s)

    def _collect(self, mono_s: float) -> None:
        if self._child is None:
            return
        _, ours, since_s = self._child
        sockets = _receive(ours, self.inode)
        if sockets is None and mono_s - since_s < DEADLINE_S:
            return
        self._end_child()
        if sockets:
            self._diag = TcpDiag(*sockets)
        else:  # refused, or it hung
            self._refused = True

    def _end_child(self) -> None:
        if self._child is None:
            return
        child, ours, _ = self._child
        self._child = None
        ours.close()
        try:
            os.kill(child, _SIGKILL)
        except OSError:
            pass
        self.late.append(child)

    def samples(self, proc: Proc, uids: set[int], known: Known) -> tuple[list[Sample], list[Sample]]:
        """(open sockets, those that ended and were known). A namespace that vanished has none."""
        self.cut = False
        if self._diag is None:
            if not self._refused:
                return [], []
            rows, self.cut = read_tables(proc, uids, f"{self._pid}/net")
            return rows, []
        try:
            rows, self.cut = self._diag.dump(uids, known, DUMP_S)
            lost = self._diag.lost
            ended = self._diag.closed(lambda ident: known(ident) is not None)
            ended = [row for row in ended if known(row.ident) is not None]
            self.cut = self.cut or self._diag.lost > lost
        except OSError:  # what is left of the answer would be taken for the next one's
            self._diag.close()
            self._diag = None
            return [], []
        return rows, ended

    def close(self) -> None:
        """Let the namespace go."""
        self._end_child()
        if self._diag is not None:
            self._diag.close()


def _is_collected(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except OSError:  # somebody else did
        return True


def _keep_only(fd: int) -> None:
    """A child keeps nothing open of the sampler's: not the lock, no segment, no other child's pipe."""
    os.closerange(3, fd)
    os.closerange(fd + 1, MOST_FD)


def go_in(pid: int, back: _socket.socket) -> None:
    """A child's life: into the namespace of a process, two sockets there, and both handed back."""
    import ctypes  # in the child alone, which leaves with it

    at = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if ctypes.CDLL(None).setns(at, _CLONE_NEWNET) != 0:
        os._exit(1)
    asked = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, netlink.NETLINK_SOCK_DIAG)
    sockets = [asked]
    try:
        sockets.append(hear_ends())
    except OSError:  # not told of ends there
        pass
    fds = b"".join(_FD.pack(one.fileno()) for one in sockets)
    # the pid may be another process's by now
    back.sendmsg([_INODE.pack(os.fstat(at).st_ino)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
    os._exit(0)


def _receive(ours: _socket.socket, inode: int) -> list[_socket.socket] | None:
    """What a child brought; empty: nothing, it is gone or was elsewhere; null: not yet."""
    try:
        data, more, _, _ = ours.recvmsg(_INODE.size, _socket.CMSG_SPACE(2 * _FD.size))
    except BlockingIOError:
        return None
    except OSError:
        return []
    fds: list[int] = []
    for level, kind, part in more:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            fds += [fd for (fd,) in _FD.iter_unpack(part[: len(part) - len(part) % _FD.size])]
    sockets = [_socket.socket(fileno=fd) for fd in fds]
    if len(data) < _INODE.size or _INODE.unpack(data)[0] != inode:
        for one in sockets:
            one.close()
        return []
    for one in sockets:
        os.set_inheritable(one.fileno(), False)
    return sockets

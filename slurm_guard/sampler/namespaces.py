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
from slurm_guard.sampler.doors import ports_of
from slurm_guard.sampler.fair import numbers, runs_short, share_out
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.tally import Tally
from slurm_guard.sampler.tcpdiag import Passed, TcpDiag
from slurm_guard.sampler.tcpends import Wanted, hear_ends
from slurm_guard.sampler.tcpsample import Known, Sample
from slurm_guard.sampler.tcptext import read_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 16  # namespaces on a node that are looked into. Judgement: a container each, and GPUs are few
MOST_LINKS = 512  # processes asked in one look which one they live in. Judgement
DEADLINE_S = 30.0  # for the child. Judgement
DUMP_S = 0.05  # CPU time of one namespace's dump. Judgement
# After a refusal another child goes so long later, then after twice as long, at most so long: the process
# that was asked may just have gone. Where the right is lacking it is a fork in ten minutes. Judgement
FIRST_WAIT_S, MOST_WAIT_S = 5.0, 640.0
MOST_ASKED = 4  # processes of a namespace by which it is tried in turn. Judgement
_EVERY = 6  # looks after which a process is asked again; new ones in each of their first three
_CLONE_NEWNET = 0x40000000
_SIGKILL = 9  # `signal` would bring `enum`
_INODE, _FD = struct.Struct("=Q"), struct.Struct("=i")
_PREFIX = "net:["
_NOBODY: Mapping[int, Passed] = {}


class Namespaces:
    """The other namespaces of runs' processes, by inode."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        self.truncated: set[str] = set()  # runs of which something was left out
        self.cut: set[int] = set()  # namespaces from whose dumps something was left out
        self.untold: set[int] = (
            set()
        )  # of which nothing was told this time: the way in is not there yet, or failed
        self.opened: set[int] = set()  # that were entered since the last look, by text until then
        self.there: set[int] = set()  # of what is passed over, the sockets that are there
        # what ended in one in which a single run lives, and nobody had seen: (run, namespace, by far end, how
        # many more there was no room for)
        self.ended: list[tuple[str, int, Tally, int]] = []
        self._home = self._read("self")
        self._where: dict[tuple[int, int], tuple[int, int | None]] = {}  # process: (looks since, inode)
        self._doors: dict[int, _Door] = {}
        self._late: list[int] = []  # children to be collected

    def look(self, members: list[Process], mono_s: float) -> None:
        """Which there are now."""
        self.truncated = set()
        self._late[:] = [pid for pid in self._late if not _is_collected(pid)]
        there: dict[int, list[Process]] = {}
        runs: dict[int, set[str]] = {}
        self.opened = set()
        for process, inode in self._places(members):
            if inode is not None and inode != self._home:
                by = there.setdefault(inode, [])
                by += [process] if len(by) < MOST_ASKED else []
                runs.setdefault(inode, set()).update([process.run] if process.run is not None else ())
        for inode in self._doors.keys() - there.keys():
            self._doors.pop(inode).close()
        for inode in self._chosen(there, runs):
            door = self._doors.get(inode)
            if door is None:
                door = self._doors[inode] = _Door(inode, self._late)
            door.runs = runs[inode]
            if door.step([process.pid for process in there[inode]], mono_s, self.proc.root):
                self.opened.add(inode)

    def _chosen(self, there: dict[int, list[Process]], runs: dict[int, set[str]]) -> list[int]:
        """Those that are looked into: of each run as many as of every other where there are too many, first
        those that are looked into already. The others of a run that has more than its share are let go."""
        whose = {inode: min(runs[inode], default="") for inode in there}
        wanted = numbers(whose.values())
        left = share_out(wanted, MOST)
        self.truncated |= runs_short(wanted, left) - {""}
        chosen = []
        for inode in sorted(there, key=lambda i: i not in self._doors):
            if left[whose[inode]] > 0:
                left[whose[inode]] -= 1
                chosen.append(inode)
        for inode in self._doors.keys() - set(chosen):
            self._doors.pop(inode).close()
        return chosen

    def samples(
        self, uids: set[int], known: Known, passed: Mapping[int, Passed] = _NOBODY
    ) -> tuple[list[list[Sample]], list[Sample]]:
        """(what is open in each, what was heard to end and was known)."""
        found, ended = [], []
        self.cut, self.ended, self.there, self.untold = set(), [], set(), set()
        for door in self._doors.values():
            rows, over = door.samples(self.proc, uids, known, passed)
            found.append([row._replace(netns=door.inode) if row.netns is None else row for row in rows])
            ended += [row._replace(netns=door.inode) for row in over]
            self.there |= door.there
            if door.is_untold:
                self.untold.add(door.inode)
            if door.cut:
                self.cut.add(door.inode)
                self.truncated |= door.runs
            if door.tally.n and len(door.runs) == 1:
                self.ended.append((min(door.runs), door.inode, door.tally, door.n_lost))
        return found, ended

    def hear(self, known: Known, passed: Mapping[int, Passed], most_s: float) -> None:
        """Take in what has ended since."""
        for door in self._doors.values():
            door.hear(known, passed, most_s)

    def diag(self, netns: int) -> TcpDiag | None:
        """The way to ask in one of them; null: there is none, or not yet."""
        door = self._doors.get(netns)
        return None if door is None else door.diag

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
        self.is_untold = False  # nothing of it was told the last time
        self.runs: set[str] = set()  # whose processes live there
        self.tally = Tally()  # opened outwards and ended, seen by nobody
        self.n_lost = self._n_lost = 0  # ends that there was no room for: since the last look, in all
        self._wanted: Wanted | None = None
        self._pid = 0  # a process that lives there
        self._child: tuple[int, _socket.socket, float] | None = None  # pid, our end, when it was sent
        self._diag: TcpDiag | None = None
        self._n_refused = 0  # in a row; more than none: the text tables have to do until it is entered
        self._next_s = 0.0  # when it is tried again
        self._last = 0  # the last child

    def step(self, pids: list[int], mono_s: float, root: str) -> bool:
        """Send a child, or take what it brought; whether it brought the way in where text had to do. Never
        waits. `pids`: processes that live there."""
        self._pid = pids[self._n_refused % len(pids)]
        by_text = self._n_refused > 0
        if self._child is not None:
            self._collect(mono_s)
        elif self._diag is None and mono_s >= self._next_s and self._last not in self.late:
            if root == "/proc":
                self._send(mono_s)
            else:
                self._note_refusal(mono_s)
        if self._diag is not None:
            self._n_refused = 0
        return by_text and self._diag is not None

    def _note_refusal(self, mono_s: float) -> None:
        self._next_s = mono_s + min(MOST_WAIT_S, FIRST_WAIT_S * 2**self._n_refused)
        self._n_refused = min(self._n_refused + 1, 16)

    def _send(self, mono_s: float) -> None:
        ours, theirs = _socket.socketpair()
        try:
            child = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            self._note_refusal(mono_s)
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
            self._note_refusal(mono_s)

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
        self._last = child
        self.late.append(child)

    def samples(
        self, proc: Proc, uids: set[int], known: Known, passed: Mapping[int, Passed]
    ) -> tuple[list[Sample], list[Sample]]:
        """(open sockets, those that ended and were known). A namespace that vanished has none."""
        self.cut, self.tally, self.is_untold = False, Tally(), False
        if self._diag is None:
            if not self._n_refused:
                self.is_untold = True
                return [], []
            rows, self.cut = read_tables(proc, uids, f"{self._pid}/net")
            return rows, []
        try:
            rows, self.cut = self._diag.dump(uids, known, DUMP_S, passed=passed)
            self.hear(known, passed, DUMP_S)
        except OSError:  # what is left of the answer would be taken for the next one's
            self._diag.close()
            self._diag = self._wanted = None
            self.is_untold = True
            return [], []
        ended: list[Sample] = []
        if self._wanted is not None:
            self._wanted.doors = ports_of({row.local for row in rows if row.state == "LISTEN"})
            ended, self.tally, tallies = self._wanted.take()
            for tally in tallies.values():
                self.tally.add_all(tally)
        self.n_lost, self._n_lost = self._diag.lost - self._n_lost, self._diag.lost
        self.cut = self.cut or self.n_lost > 0
        return rows, [row for row in ended if known(row.ident) is not None]

    @property
    def there(self) -> set[int]:
        """Of what is passed over, the sockets that its last dump met."""
        return set() if self._diag is None else self._diag.there

    @property
    def diag(self) -> TcpDiag | None:
        """Null: not yet, or it must not go in."""
        return self._diag

    def hear(self, known: Known, passed: Mapping[int, Passed], most_s: float) -> None:
        """What has ended there."""
        if self._diag is None:
            return
        if self._wanted is None:
            self._wanted = Wanted(lambda ident: known(ident) is not None, passed)
        self._diag.hear(self._wanted, most_s)

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

"""Which was opened first, the connection outwards or the one nearby?

A program that takes tasks from a queue on the node, has them answered outside and stores the answers is, once
it runs, word for word a tunnel. What differs is how it began: it has its queue before it asks anybody
outside. A tunnel has nothing nearby until somebody comes by it. Looks and rounds show which was there first;
where both came within a second, or before the sampler, descriptors may tell: a program gets the lowest free
number, so that a higher one is the later one.
"""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, Iterable
from slurm_guard.networks import OUTSIDE
from slurm_guard.sampler.joints import Descriptor, descriptors_of, ends_of
from slurm_guard.sampler.moved import MOST_NOTED
from slurm_guard.sampler.unixdiag import peers

if TYPE_CHECKING:
    from slurm_guard.sampler.flows import Flow
    from slurm_guard.sampler.moved import Moved
    from slurm_guard.sampler.places import Place
    from slurm_guard.sampler.procfs import Proc
    from slurm_guard.sampler.relays import Relays

MOST_ASKED = 3  # times that descriptors are read without an answer. Judgement
MOST_FDS = 4096  # of one process. Judgement
_LOOPBACK = ("127.", "[::1]", "[::ffff:127.")


class Came:
    """Of a pair: whether each inner connection began after the outer one; null: it is not known yet."""

    __slots__ = ("_lost", "_n_asked", "_of")

    def __init__(self) -> None:
        self._of: dict[int, bool | None] = {}
        self._lost: set[int] = set()  # of which nobody can tell any more
        self._n_asked = 0

    def note(self, outer: Moved, inner: Iterable[Moved]) -> None:
        """A look at both, for those that are there for the first time."""
        for flow in inner:
            if flow.ident not in self._of and len(self._of) < MOST_NOTED:
                self._of[flow.ident] = _is_later(outer, flow)

    @property
    def is_outer_first(self) -> bool | None:
        """Whether the outer one was there before any inner one of which that can be told; null: it is not
        known."""
        said = {later for ident, later in self._of.items() if ident not in self._lost}
        return False if False in said else None if None in said or not said else True

    @property
    def unknown(self) -> set[int]:
        """Inner ones of which descriptors may still tell."""
        return {ident for ident, later in self._of.items() if later is None} - self._lost

    @property
    def may_be(self) -> bool:
        """Whether the outer one may have been there first."""
        return self.is_outer_first is not False

    def settle(self, later: dict[int, bool]) -> None:
        """What descriptors told. A lower number may have become free since, so that it tells nothing; that,
        and what they do not tell any more, asked often enough or beside others that are known, is left to
        those that come."""
        self._n_asked += 1
        self._of |= {ident: True for ident, is_later in later.items() if is_later}
        self._lost |= {ident for ident, is_later in later.items() if not is_later}
        known = [said for ident, said in self._of.items() if ident not in self._lost]
        if self._n_asked >= MOST_ASKED or any(said is not None for said in known):
            self._lost |= self.unknown
            self._n_asked = 0


def _is_later(outer: Moved, inner: Moved) -> bool | None:
    is_seen = outer.before is not None and inner.peer.startswith(_LOOPBACK)
    if is_seen and inner.ident not in (outer.before or ()):
        return True  # whosever they are, and whenever that was found out
    if inner.first_s < outer.first_s:
        return False
    # what was there, too, may have come first, or in the same second, and its holder was not known yet
    return True if inner.first_s > outer.first_s and not is_seen else None


def settle_order(
    proc: Proc, relays: Relays, outers: list[Flow], places: Iterable[Place], owned: list[Flow]
) -> None:
    """Where all else says a tunnel: did the inner connections of one owner come after the outer ones?"""
    ways = [(flow.sample.ident, [flow]) for flow in outers]
    ways += [(p.ident, [f for f in outers if p.peer in ("", f.sample.peer)]) for p in places]
    for ident, flows in ways:
        for pair in relays.unsettled(ident):
            inner = [f for f in owned if f.near != OUTSIDE and f.sample.ident in pair.came.unknown]
            pair.came.settle(opened_later(proc, flows, inner))


def opened_later(proc: Proc, outers: list[Flow], inner: Iterable[Flow]) -> dict[int, bool]:
    """By descriptors: of these, which its holder opened after the first of the outer ones, or after what
    joins it to their holder. Those of which it cannot be told are missing."""
    of_process: dict[int, list[Flow]] = {}
    for flow in inner:
        if flow.process is not None and flow.sample.inode:
            of_process.setdefault(flow.process.pid, []).append(flow)
    found: dict[int, bool] = {}
    for pid, flows in of_process.items():
        ends = list(descriptors_of(proc, pid, MOST_FDS))
        fds = {end.socket: end.fd for end in reversed(ends) if end.socket is not None}
        first = _lead(proc, pid, ends, outers, {flow.sample.inode for flow in flows})
        for flow in flows:
            fd = fds.get(flow.sample.inode)
            if fd is not None and first is not None:
                found[flow.sample.ident] = fd > first
    return found


def _lead(proc: Proc, pid: int, ends: list[Descriptor], outers: list[Flow], inner: set[int]) -> int | None:
    """The descriptor by which a process reaches outer connections; null: none is seen. Where no pipe or pair
    of sockets leads to their holder, a terminal, a named pipe or another socket does: which is not known, and
    all of them have to have been there."""
    process = outers[0].process if outers else None
    if process is None:
        return None
    if process.pid == pid:
        inodes = {flow.sample.inode for flow in outers}
        return min((end.fd for end in ends if end.socket in inodes), default=None)
    there = ends_of(proc, process.pid)
    joined = [(end.fd, end.writes & there.reads | end.reads & there.writes) for end in ends]
    # below zero: by a path, which may as well be a log's that both have open
    pipes = [fd for fd, ways in joined if any(way >= 0 for way in ways)]
    pairs = peers() if proc.root == "/proc" and not pipes else {}
    sockets = [(end.fd, end.socket) for end in ends if end.socket is not None and end.socket not in inner]
    shared = [fd for fd, inode in sockets if inode in there.sockets or pairs.get(inode) in there.sockets]
    if pipes or shared:
        return min(pipes or shared)
    return max([fd for fd, ways in joined if ways] or [fd for fd, _ in sockets], default=None)

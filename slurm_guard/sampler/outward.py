"""New connections outwards, in each round: what was open over loopback when one was first seen?

A tunnel has nothing nearby until somebody comes by it. By looks ten seconds apart both ends of one that is
used at once are new in the same look; a round sees the way out first. Whose they are is asked at the next
look: here the kernel's own numbers are enough.
"""

from __future__ import annotations

import time

from slurm_guard.light import TYPE_CHECKING, Iterable
from slurm_guard.networks import parse_net

if TYPE_CHECKING:
    from slurm_guard.sampler.tcpdiag import TcpDiag
    from slurm_guard.sampler.tcpsample import Sample

EVERY_S = 0.9  # a round of the sampler's, by default; it may be told to make ten a second
SHARE = 0.005  # of a core: a node with many sockets, open or just closed, is looked at more rarely. Judgement
MOST_NETS = 30  # of the cluster's that the kernel leaves out: what lies in others is known by the looks
MOST = 1024  # connections that are remembered. Judgement
MOST_KEPT = 16_384  # numbers in what was there before them, in all: 1.5 MB. Judgement
_LOOPBACK = ("127.0.0.0/8", "::1")
_TABLES = ("tcp", "tcp6")


class Outward:
    """Of the node's own network namespace."""

    def __init__(self, cluster: Iterable[str]) -> None:
        nets = [parse_net(text) for text in (*_LOOPBACK, *cluster)]
        self._nets = [
            (net.bits, (net.prefix << net.bits - net.length).to_bytes(net.bits // 8, "big"), net.length)
            for net in nets
            if net.port is None
        ][:MOST_NETS]
        self._before: dict[int, frozenset[int] | None] = {}
        self._next_s = float("-inf")

    def round(self, mono_s: float, diag: TcpDiag, ended: Iterable[Sample] = ()) -> None:
        """Note what is new, anybody's: of a job that just began no look knows yet. `ended`: since the last
        look. Never raises: what the kernel does not answer nobody saw."""
        if mono_s < self._next_s:
            return
        began_s = time.thread_time()
        try:
            open_now = [pair for table in _TABLES for pair in diag.outward(table, self._nets) or ()]
            there = {ident for _, ident in open_now}
            self._before = {ident: seen for ident, seen in self._before.items() if ident in there}
            new = [(u, i) for u, i in open_now if i not in self._before]
            if new and len(self._before) + len(new) <= MOST:
                self._note(new, diag, {sample.ident for sample in ended})
        except OSError:
            self._before = {}
        self._next_s = mono_s + max(EVERY_S, (time.thread_time() - began_s) / SHARE)

    def _note(self, new: list[tuple[int, int]], diag: TcpDiag, ended: set[int]) -> None:
        near = [diag.near(table) for table in _TABLES]
        there: dict[int, set[int]] = {}
        for uid, ident in (pair for pairs in near for pair in pairs or ()):
            there.setdefault(uid, set()).add(ident)
        # one set for all of a user's in this round
        sets = {uid: frozenset(there.get(uid, set()) | ended) for uid, _ in new}
        kept = {id(seen): len(seen) for seen in (*self._before.values(), *sets.values()) if seen is not None}
        is_told = None not in near and sum(kept.values()) <= MOST_KEPT
        for uid, ident in new:
            self._before[ident] = sets[uid] if is_told else None

    def before(self, ident: int, netns: int | None) -> frozenset[int] | None:
        """The connections over loopback of the same user that were there when this one was first seen, or had
        come in that second, and all that had ended since the look before (a service that was asked whether
        it is there); null: no round has seen it first, or it is in another network namespace, where
        older kernels give the same numbers once more."""
        return self._before.get(ident) if netns is None else None

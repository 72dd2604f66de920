"""Does what comes in by one connection go out by another? An owner's bytes, look by look. Pure.

A tunnel, whatever its name and port, hands bytes on: what the far end sends appears on a nearer connection of
the same process, and the answer goes the way back, in the same seconds and in about the same amount. Two
connections that merely live in one process (a trainer with object storage and a rendezvous) do not.
"""

from __future__ import annotations

from slurm_guard.sampler.fitting import PER_MESSAGE_B, fit_bits
from slurm_guard.sampler.initiative import Rests
from slurm_guard.sampler.moved import MOST_NOTED, Moved
from slurm_guard.sampler.order import Came
from slurm_guard.sampler.ownwords import Totals
from slurm_guard.sampler.suspects import State

QUIET_B = 256  # a look with less in all is keep-alives. Judgement
MOVED_B = 64  # in each direction, for a look to show that both were handed on. Judgement
# Evidence in bits (fitting.py).
MISFIT_BITS = 5.0  # a look in which something moved and did not reappear. Judgement
# Amounts this near to the last look's that fitted say nothing new: two heartbeats may be alike and constant,
# and agree for ever. Judgement
SAME = 0.1
HALF = 0.5  # of what the busiest pair handed on: about as much. Judgement
SURE_BITS = 18.0  # one in 260,000 for a pair that is ever looked at
LEAST_BITS = -20.0  # so much of traffic that fits nothing is remembered: a tunnel may begin late
HANDSHAKE_B = 4096  # each way, for each outer connection that began: TLS with certificates. Judgement
SURE_LOOKS = 2  # judgement
EACH_BITS = 3.0  # of each direction: answers that would fit anything say nothing. Judgement
# Where the last bytes of both sides moved at the same moment, chance is out, and amounts have to tell handing
# on from asking: one in 500 that questions to others are as long as those that came, both ways.
TIMED_BITS, TIMED_B = 9.0, 256
AT_ONCE_MS = 30  # measured: 0 to 4 on a busy machine with steps of 4; the kernel's clock has steps of 1 to 10
SURE_B = 512  # handed on in each direction. Judgement
MOST_GROUPS = 8  # groups of inner connections that are followed beside one outer one. Judgement
MOST_PAIRS = 1024  # on a node. Judgement
DEVICE = "device "  # how the ends of what is no connection begin


class Pair:
    """An outer connection and inner ones of one owner, taken together."""

    __slots__ = (
        *("first_at", "last_at", "n_busy", "n_coupled", "outer_in_b", "outer_out_b", "inner_in_b"),
        *("inner_out_b", "coupled_in_b", "coupled_out_b", "opened", "idents", "face", "most_b"),
        *(
            "n_owned",
            "n_timed",
            "rests",
            "came",
            "in_bits",
            "out_bits",
            "is_anybodys",
            "_rest_in",
            "_rest_out",
            "_last",
            "told_busy",
            "told_coupled",
            "_counted",
            "_totals",
        ),
    )

    def __init__(self, at: float, opened: bool | None) -> None:
        self.first_at = self.last_at = at
        self.opened = opened  # whether this end opened the inner ones
        self.n_busy = self.n_coupled = self.n_owned = 0
        # the same in whole looks: rounds between two of them make no more of them
        self.told_busy = self.told_coupled = 0
        self._counted = (-1, -1)  # in which look each was counted last
        self.rests = Rests()
        self.came = Came()
        self._totals = Totals()
        self.n_timed = 0  # looks that fit, in which the last bytes of both sides moved at the same moment
        self.outer_in_b = self.outer_out_b = self.inner_in_b = self.inner_out_b = 0
        self.coupled_in_b = self.coupled_out_b = 0
        self.idents: set[int] = set()  # inner connections that bytes came by
        self.face = ("", "")  # local and peer of the one with most bytes in a look
        self.most_b = 0
        self.in_bits = self.out_bits = 0.0
        self.is_anybodys = False  # never seen to be the owner's: followed because bytes fitted once
        self._last = (0, 0)  # amounts of the last look that fitted
        self._rest_in = self._rest_out = 0  # of the last look, outer less inner: it may come in this one

    @property
    def coupled_b(self) -> int:
        """Handed on, both ways."""
        return self.coupled_in_b + self.coupled_out_b

    @property
    def bits(self) -> float:
        """Against chance, both ways."""
        return self.in_bits + self.out_bits

    @property
    def may_be_whole(self) -> bool:
        """Opened inwards by the owner, as far as is known, and led from outside."""
        return self.opened is True and self.n_owned > 0 and self.rests.is_led

    @property
    def is_whole(self) -> bool:
        """That, and the way out was there before the one inwards: a tunnel in use."""
        return self.may_be_whole and self.came.is_outer_first is True

    @property
    def is_sure(self) -> bool:
        """Bytes reappear in both directions, and not by chance."""
        timed = self.n_timed >= SURE_LOOKS and 2 * self.n_timed >= self.n_coupled
        least_bits, least_b = (TIMED_BITS, TIMED_B) if timed else (SURE_BITS, SURE_B)
        enough = min(self.coupled_in_b, self.coupled_out_b) >= least_b and self.n_coupled >= SURE_LOOKS
        return enough and self.bits >= least_bits and min(self.in_bits, self.out_bits) >= EACH_BITS

    def add(self, at: float, outer: Moved, inner: list[Moved], *, owned: bool) -> None:
        """One look at both. `owned`: all of the inner ones are known to be the owner's."""
        self.last_at = at
        in_b, out_b = sum(f.in_b for f in inner), sum(f.out_b for f in inner)
        self.outer_in_b += outer.in_b
        self.outer_out_b += outer.out_b
        self.inner_in_b += in_b
        self.inner_out_b += out_b
        self._totals = self._totals.add(outer, inner)
        self._note(inner)
        self.came.note(outer, inner)
        if outer.moved_b + in_b + out_b <= QUIET_B:
            self._rest_in = self._rest_out = 0
            if outer.moved_b and not (in_b or out_b):
                self.rests.ping(outer, inner)
            else:
                self.rests.look(outer, inner, self._totals)
            return
        self.n_busy += 1
        in_n, out_n = sum(f.in_n for f in inner), sum(f.out_n for f in inner)
        n = max(outer.in_n + outer.out_n, in_n + out_n)
        more = n + HANDSHAKE_B * outer.n_fresh // PER_MESSAGE_B
        came = fit_bits(outer.in_b, out_b, self._rest_in, (max(outer.in_n, out_n), n, more))
        went = fit_bits(outer.out_b, in_b, self._rest_out, (max(outer.out_n, in_n), n, more))
        self._rest_in = 0 if came is not None else outer.in_b - out_b
        self._rest_out = 0 if went is not None else outer.out_b - in_b
        if came is None or went is None:
            self._weigh(-MISFIT_BITS / 2, -MISFIT_BITS / 2)
            self.rests.miss(outer, inner)
            return
        into, out = min(out_b, outer.in_b) >= MOVED_B, min(in_b, outer.out_b) >= MOVED_B
        if not (into or out):
            return
        if not (_is_near(in_b, self._last[0]) and _is_near(out_b, self._last[1])):
            self._weigh(came if into else 0.0, went if out else 0.0)
        self._last = (in_b, out_b)
        self.rests.begin()
        self.rests.look(outer, inner, self._totals)
        self.n_coupled += 1
        self.n_owned += owned
        self.n_timed += _is_timed(outer, inner, into=into, out=out)
        self.coupled_in_b += min(outer.in_b, out_b) if into else 0
        self.coupled_out_b += min(outer.out_b, in_b) if out else 0

    def count(self, look: int, before: tuple[int, int]) -> None:
        """What this look, or a round on the way to it, has added to (`n_busy`, `n_coupled`) as they were."""
        busy, coupled = self._counted
        if self.n_busy > before[0] and busy != look:
            self.told_busy, busy = self.told_busy + 1, look
        if self.n_coupled > before[1] and coupled != look:
            self.told_coupled, coupled = self.told_coupled + 1, look
        self._counted = busy, coupled

    def _weigh(self, in_bits: float, out_bits: float) -> None:
        self.in_bits = min(2 * SURE_BITS, max(LEAST_BITS / 2, self.in_bits + in_bits))
        self.out_bits = min(2 * SURE_BITS, max(LEAST_BITS / 2, self.out_bits + out_bits))

    @property
    def is_spent(self) -> bool:
        """A stranger's that fitted by chance, and has not since."""
        return self.is_anybodys and self.bits <= LEAST_BITS / 2

    def owe(self) -> None:
        """Begin as low as traffic that fits nothing: where strangers' fits are many, one says little."""
        self._weigh(LEAST_BITS / 2, LEAST_BITS / 2)

    def _note(self, inner: list[Moved]) -> None:
        for flow in inner:
            if flow.moved_b > 0 and len(self.idents) < MOST_NOTED:
                self.idents.add(flow.ident)
            if flow.moved_b > self.most_b:
                self.most_b, self.face = flow.moved_b, (flow.local, flow.peer)


def _is_timed(outer: Moved, inner: list[Moved], *, into: bool, out: bool) -> bool:
    """Whether the last bytes of both sides moved at the same moment, in each direction in which any did."""
    sent = min((f.sent_ms for f in inner if f.out_b and f.sent_ms is not None), default=None)
    received = min((f.recv_ms for f in inner if f.in_b and f.recv_ms is not None), default=None)
    return (not into or _is_at_once(outer.recv_ms, sent)) and (
        not out or _is_at_once(outer.sent_ms, received)
    )


def _is_at_once(one_ms: int | None, other_ms: int | None) -> bool:
    return one_ms is not None and other_ms is not None and abs(one_ms - other_ms) <= AT_ONCE_MS


def _is_near(one_b: int, other_b: int) -> bool:
    return abs(one_b - other_b) <= SAME * max(one_b, other_b)


# Inner connections that are taken together: all that this end opened, or accepted; or those by one door.
Group = tuple[bool | None, int | None]
# What came and went by several doors with what is open: a crawl of many services, or strangers'.
EVERY: Group = (True, 0)


class Relays:
    """Every pair of an outer connection and inner ones that may hand bytes on."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[int, Group], Pair] = {}
        self._is_cut = False
        self.n_looks = 0  # of the node, whoever was looked at in rounds between them

    def look(
        self,
        at: float,
        moved: list[Moved],
        short: list[Moved],
        outers: set[int],
        places: tuple[Moved, ...] = (),
        doors: frozenset[int] | set[int] = frozenset(),
    ) -> None:
        """One owner's connections, of which `outers` may be outer ones; what is nearer may be inner ones.
        `short`: anybody's within the node that came and went since the last look: by the door of a service,
        since nothing else tells whose they were, except where it is one of `doors`, which the owner alone was
        seen to open connections to. `places`: far ends with all connections to each together."""
        for outer in (*(m for m in moved if m.ident in outers), *places):
            groups: dict[Group, list[Moved]] = {}
            for flow in moved:
                if flow.near < outer.near and flow.local.startswith(DEVICE):
                    groups.setdefault((None, None), []).append(flow)
                elif flow.near < outer.near and flow.opened is not None:
                    groups.setdefault((flow.opened, None), []).append(flow)
                    groups.setdefault((flow.opened, flow.door), []).append(flow)
            own, loose = set(groups), set[Group]()
            for flow in short:
                if flow.near < outer.near and flow.opened is not None:
                    groups.setdefault((flow.opened, flow.door), []).append(flow)
                    mine = flow.opened and flow.door in doors
                    (own if mine else loose).add((flow.opened, flow.door))
            if len(several := {g for g in groups if g[0] and g[1]}) > 1 and several & loose:
                groups[EVERY] = [flow for group in several for flow in groups[group]]
                loose.add(EVERY)
            self._add(at, outer, groups, (own, loose))

    def _add(
        self, at: float, outer: Moved, groups: dict[Group, list[Moved]], whose: tuple[set[Group], set[Group]]
    ) -> None:
        own, loose = whose
        known = [group for ident, group in self.pairs if ident == outer.ident]
        for group in known:
            pair = self.pairs[outer.ident, group]
            before = pair.n_busy, pair.n_coupled
            pair.add(at, outer, groups.get(group, []), owned=group not in loose)
            pair.count(self.n_looks, before)
            pair.is_anybodys = pair.is_anybodys and group not in own
        fresh = [group for group in groups if group not in known]
        fresh.sort(key=lambda g: (g not in own, -sum(f.moved_b for f in groups[g])))
        for group in fresh:
            pair = Pair(at, group[0])
            pair.add(at, outer, groups[group], owned=group not in loose)
            pair.count(self.n_looks, (0, 0))
            pair.is_anybodys = group not in own
            if pair.is_anybodys and pair.n_coupled == 0:
                continue  # strangers' traffic of a node: only what fits is worth following
            if len(known) >= MOST_GROUPS or len(self.pairs) >= MOST_PAIRS:
                spent = next((g for g in known if self.pairs[outer.ident, g].is_spent), None)
                if spent is None:
                    self._is_cut = True
                    return
                known.remove(spent)
                del self.pairs[outer.ident, spent]
                if pair.is_anybodys:
                    pair.owe()
            known.append(group)
            self.pairs[outer.ident, group] = pair

    def take_truncated(self) -> bool:
        """Whether pairs were left out since this was last asked."""
        cut, self._is_cut = self._is_cut, False
        return cut

    def best(self, outer: int) -> Pair | None:
        """By which most was handed on; null: none surely.

        Of two by which about as much was, the opened one: what a process accepts from another of the run that
        hands it on to a third is a joint on the way, and the third is where it leads.
        """
        sure = [pair for (ident, _), pair in self.pairs.items() if ident == outer and pair.is_sure]
        most = max((p.coupled_b for p in sure), default=0)
        return max(
            (p for p in sure if p.coupled_b >= HALF * most),
            key=lambda p: (p.is_whole, p.opened is True and p.n_owned > 0, p.coupled_b, len(p.idents)),
            default=None,
        )

    def state(self, outers: set[int]) -> State:
        """Of these outer ones' pairs: whether, and how often, bytes were handed on inwards by one of which
        nobody knows who leads. Where one is known to be led from outside, or all to ask, nothing is left."""
        pairs = [pair for (ident, _), pair in self.pairs.items() if ident in outers and pair.opened]
        if any(pair.is_whole and pair.is_sure for pair in pairs):
            return State(0, is_own=True)
        left = [pair for pair in pairs if pair.n_coupled and not pair.rests.is_asking and pair.came.may_be]
        return State(sum(pair.n_coupled for pair in left), any(pair.n_owned for pair in left))

    def led_to(self, outers: set[int]) -> set[str] | None:
        """Far ends of inner connections by which bytes of these outer ones were handed on; null: by several
        doors at once alone."""
        pairs = {
            group: pair
            for (ident, group), pair in self.pairs.items()
            if ident in outers and pair.opened and pair.n_coupled
        }
        if set(pairs) == {EVERY}:
            return None
        return {pair.face[1] for group, pair in pairs.items() if group != EVERY}

    def unsettled(self, outer: int) -> list[Pair]:
        """What would be a tunnel in use, if it were known which connection came first."""
        pairs = (pair for (ident, _), pair in self.pairs.items() if ident == outer)
        return [p for p in pairs if p.may_be_whole and p.is_sure and p.came.may_be and p.came.unknown]

    def forget(self, outer: int) -> None:
        """An outer connection that is gone."""
        for key in [key for key in self.pairs if key[0] == outer]:
            del self.pairs[key]

"""Does what comes in by one connection go out by another? An owner's bytes, look by look. Pure.

A tunnel, whatever its name and port, hands bytes on: what the far end sends appears on a nearer connection of
the same process, and the answer goes the way back, in the same seconds and in about the same amount. Two
connections that merely live in one process (a trainer with object storage and a rendezvous) do not.
"""

from typing import NamedTuple

# What is handed on may grow by framing and encryption (ssh: up to 64 bytes a message; TLS: 22 to 40; HTTP/2
# and WebSocket: 9 to 14, documented) and by a padded block each, and an answer may be cut at a look's edge.
LEAST, MOST = 0.75, 1.35  # outer over inner bytes. Judgement
PER_MESSAGE_B = 120  # judgement, twice ssh's
PLAY_B = 64
QUIET_B = 256  # a look with less in all is keep-alives. Judgement
MOVED_B = 64  # in each direction, for a look to show that both were handed on. Judgement
SURE_LOOKS = 2  # by chance two unrelated pairs of amounts fit in about 1 look of 400 (calculated for amounts
# that spread over three decades: a window of 0.8 in ln over 6.9, in both directions)
SURE_SHARE = 0.6  # of the looks in which anything moved. Judgement
SURE_B = 512  # handed on in each direction. Judgement
MOST_GROUPS = 8  # groups of inner connections that are followed beside one outer one. Judgement
MOST_NOTED = 4096  # inner connections that are counted singly. Judgement
MOST_PAIRS = 1024  # on a node. Judgement


class Moved(NamedTuple):
    """One connection's bytes since the last look. `near`: slurm_guard.networks; `n`: data segments; `door`:
    the port of the end that accepted, null: not known which that was."""

    ident: int
    near: int
    out_b: int
    in_b: int
    n: int
    opened: bool | None = None  # by this end
    door: int | None = None
    local: str = ""
    peer: str = ""

    @property
    def moved_b(self) -> int:
        """Bytes either way."""
        return self.out_b + self.in_b


class Pair:
    """An outer connection and inner ones of one owner, taken together."""

    __slots__ = (
        *("first_at", "last_at", "n_busy", "n_coupled", "outer_in_b", "outer_out_b", "inner_in_b"),
        *("inner_out_b", "coupled_in_b", "coupled_out_b", "opened", "idents", "face", "most_b"),
        *("_rest_in", "_rest_out"),
    )

    def __init__(self, at: float, opened: bool | None) -> None:
        self.first_at = self.last_at = at
        self.opened = opened  # whether this end opened the inner ones
        self.n_busy = self.n_coupled = 0
        self.outer_in_b = self.outer_out_b = self.inner_in_b = self.inner_out_b = 0
        self.coupled_in_b = self.coupled_out_b = 0
        self.idents: set[int] = set()  # inner connections that bytes came by
        self.face = ("", "")  # local and peer of the one with most bytes in a look
        self.most_b = 0
        self._rest_in = self._rest_out = 0  # of the last look, outer less inner: it may come in this one

    @property
    def is_sure(self) -> bool:
        """Bytes reappear in both directions."""
        enough = min(self.coupled_in_b, self.coupled_out_b) >= SURE_B and self.n_coupled >= SURE_LOOKS
        return enough and self.n_coupled >= SURE_SHARE * self.n_busy

    def add(self, at: float, outer: Moved, inner: list[Moved]) -> None:
        """One look at both."""
        self.last_at = at
        in_b, out_b = sum(f.in_b for f in inner), sum(f.out_b for f in inner)
        n = max(outer.n, sum(f.n for f in inner))
        self.outer_in_b += outer.in_b
        self.outer_out_b += outer.out_b
        self.inner_in_b += in_b
        self.inner_out_b += out_b
        self._note(inner)
        if outer.moved_b + in_b + out_b <= QUIET_B:
            self._rest_in = self._rest_out = 0
            return
        self.n_busy += 1
        came = _fits(outer.in_b, out_b, self._rest_in, n)
        went = _fits(outer.out_b, in_b, self._rest_out, n)
        self._rest_in = 0 if came else outer.in_b - out_b
        self._rest_out = 0 if went else outer.out_b - in_b
        if came and went and min(in_b, out_b, outer.in_b, outer.out_b) >= MOVED_B:
            self.n_coupled += 1
            self.coupled_in_b += min(outer.in_b, out_b)
            self.coupled_out_b += min(outer.out_b, in_b)

    def _note(self, inner: list[Moved]) -> None:
        for flow in inner:
            if flow.moved_b > 0 and len(self.idents) < MOST_NOTED:
                self.idents.add(flow.ident)
            if flow.moved_b > self.most_b:
                self.most_b, self.face = flow.moved_b, (flow.local, flow.peer)


def _fits(outer_b: int, inner_b: int, rest_b: int, n: int) -> bool:
    """Whether one is the other, framed; as they are, or with what the look before left over."""
    outer_more, inner_more = max(0, rest_b), max(0, -rest_b)
    return _framed(outer_b, inner_b, n) or (
        rest_b != 0 and _framed(outer_b + outer_more, inner_b + inner_more, n)
    )


def _framed(outer_b: int, inner_b: int, n: int) -> bool:
    return LEAST * inner_b - PLAY_B <= outer_b <= MOST * inner_b + PER_MESSAGE_B * n + PLAY_B


# Inner connections that are taken together: all that this end opened, or accepted; or those by one door.
Group = tuple[bool | None, int | None]


class Relays:
    """Every pair of an outer connection and inner ones that may hand bytes on."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[int, Group], Pair] = {}
        self.truncated = False

    def look(self, at: float, moved: list[Moved], short: list[Moved]) -> None:
        """One owner's connections; what is nearer than an outer one may be its inner ones. `short`:
        anybody's within the node that came and went since the last look: by the door of a service, since
        nothing else tells whose they were."""
        for outer in moved:
            groups: dict[Group, list[Moved]] = {}
            for flow in moved:
                if flow.near < outer.near and flow.opened is not None:
                    groups.setdefault((flow.opened, None), []).append(flow)
            for flow in (*moved, *short):
                if flow.near < outer.near and flow.opened is not None and flow.door is not None:
                    groups.setdefault((flow.opened, flow.door), []).append(flow)
            self._add(at, outer, groups)

    def _add(self, at: float, outer: Moved, groups: dict[Group, list[Moved]]) -> None:
        known = [group for ident, group in self.pairs if ident == outer.ident]
        for group in known:
            self.pairs[outer.ident, group].add(at, outer, groups.get(group, []))
        fresh = [group for group in groups if group not in known]
        fresh.sort(key=lambda g: -sum(f.moved_b for f in groups[g]))
        for group in fresh[: MOST_GROUPS - len(known)]:
            if len(self.pairs) >= MOST_PAIRS:
                self.truncated = True
                return
            pair = self.pairs[outer.ident, group] = Pair(at, group[0])
            pair.add(at, outer, groups[group])

    def best(self, outer: int) -> Pair | None:
        """By which most was handed on; null: none surely."""
        sure = [pair for (ident, _), pair in self.pairs.items() if ident == outer and pair.is_sure]
        return max(sure, key=lambda p: (p.coupled_in_b + p.coupled_out_b, len(p.idents)), default=None)

    def forget(self, outer: int) -> None:
        """An outer connection that is gone."""
        for key in [key for key in self.pairs if key[0] == outer]:
            del self.pairs[key]

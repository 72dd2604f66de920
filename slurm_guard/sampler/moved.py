"""How much moved on a connection since the last look at it, and several taken together."""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from slurm_guard.sampler.places import Place

_SUMS = ("out_b", "in_b", "out_n", "in_n", "n_fresh")
MOST_NOTED = 64  # inner connections that are counted singly. Judgement


class _Moved(NamedTuple):
    ident: int
    near: int
    out_b: int
    in_b: int
    out_n: int
    in_n: int
    opened: bool | None = None
    door: int | None = None
    local: str = ""
    peer: str = ""
    sent_ms: int | None = None
    recv_ms: int | None = None
    n_fresh: int = 0
    rtt_ms: int | None = None
    first_s: float = 0.0
    before: frozenset[int] | None = None


class Moved(_Moved):
    """One connection's bytes and data segments since the last look. `near`: slurm_guard.networks; `door`: the
    port of the end that accepted, null: not known which that was. `opened`: by this end. `sent_ms`,
    `recv_ms`: how long ago the last data went and came, null: not told. `n_fresh`: connections that began
    since. `rtt_ms`: the shortest round trip, null: not told. `first_s`: when a look or round met it first.
    `before`: as sampler.outward.Outward tells, of one that leads outwards."""

    __slots__ = ()

    @property
    def moved_b(self) -> int:
        """Bytes either way."""
        return self.out_b + self.in_b


def merged(flows: list[Moved]) -> list[Moved]:
    """At most MOST_NOTED by each door and way, the rest of them in the last one: thousands a second come and
    go on some nodes, and each would be added up for each outer connection."""
    by_door: dict[tuple[bool | None, int | None], list[Moved]] = {}
    for flow in flows:
        by_door.setdefault((flow.opened, flow.door), []).append(flow)
    found: list[Moved] = []
    for some in by_door.values():
        found += some[:MOST_NOTED]
        rest = some[MOST_NOTED - 1 :]
        if len(rest) > 1:
            sums = {name: sum(getattr(f, name) for f in rest) for name in _SUMS}
            found[-1] = found[-1]._replace(**sums)
    return found


def together(place: Place, moved: list[Moved]) -> Moved:
    """All connections to a place as one; those that came and went there are taken for the owner's."""
    parts = [m for m in moved if m.opened]
    sent_ms = min((p.sent_ms for p in parts if p.sent_ms is not None), default=None)
    recv_ms = min((p.recv_ms for p in parts if p.recv_ms is not None), default=None)
    return Moved(
        place.ident,
        place.near,
        sum(p.out_b for p in parts),
        sum(p.in_b for p in parts),
        sum(p.out_n for p in parts),
        sum(p.in_n for p in parts),
        True,
        port_of(place.peer),
        parts[-1].local if parts else "",
        place.peer,
        sent_ms,
        recv_ms,
        sum(p.n_fresh for p in parts),
        min((p.rtt_ms for p in parts if p.rtt_ms is not None), default=None),
        place.first_s,
        place.before,
    )


def port_of(place: str) -> int | None:
    """Of an end as text; null: it has none."""
    port = place.rpartition(":")[2]
    return int(port) if port.isdecimal() else None

"""Relays of one kind with the same far end as one thing, and how much of one side reappeared on the other."""

from collections.abc import Iterable
from dataclasses import dataclass

from slurm_guard.audit.net.flows import weaker_share
from slurm_guard.audit.net.net import Kind, Net, Relay


@dataclass(frozen=True, slots=True)
class Bridge:
    """Relays of one program on one node to one far end, summed. `share`: of what moved on the busier side,
    how much reappeared on the other."""

    kind: Kind
    node: str
    pids: tuple[int, ...]
    exe: str | None
    far: str
    near: int | None
    inner: tuple[str, ...]  # near ends, most bytes first
    in_b: int  # from the far end
    out_b: int
    coupled_b: tuple[int, int]  # in, out
    share: float  # in the weaker direction
    peak: float  # highest that any word on any of them had
    n_coupled: int
    used_s: float  # in looks that fit
    first_at: float
    last_at: float
    inside: bool
    allowed: str | None
    tunnel: bool
    ties: frozenset[str | None]
    clients: frozenset[str | None]
    guests: bool
    led: bool | None  # the far end asks, by any word; null: no node said

    @property
    def least_b(self) -> int:
        """Bytes that reappeared, of the weaker direction."""
        return min(self.coupled_b)


def bridges(net: Net, kind: Kind) -> list[Bridge]:
    """Heaviest first."""
    groups: dict[tuple[object, ...], list[Relay]] = {}
    for relay in net.relays:
        if relay.kind is kind:
            word = relay.word
            # ports at the far end come and go
            key = (word.node, word.exe, host_of(word.outer_peer), relay.allowed, relay.tunnel)
            groups.setdefault(key, []).append(relay)
    found = [_joined(parts) for parts in groups.values()]
    return sorted(found, key=lambda b: (-b.least_b, b.first_at, b.node, b.far, b.exe or ""))


def host_of(place: str) -> str:
    """The address of `address:port`."""
    return place.rpartition(":")[0]


def _joined(parts: list[Relay]) -> Bridge:
    words = [part.word for part in parts]
    first, last = parts[0], max(parts, key=lambda r: (r.word.last_at, r.word.pids))
    coupled = (sum(w.passed[0] for w in words), sum(w.passed[1] for w in words))
    busier = (sum(w.busier[0] for w in words), sum(w.busier[1] for w in words))
    inner: dict[str, int] = {}
    for w in words:
        end = w.inner_local if first.kind is Kind.FORWARD else w.inner_peer
        inner[end] = inner.get(end, 0) + w.inner_in_b + w.inner_out_b
    return Bridge(
        first.kind,
        first.word.node,
        tuple(dict.fromkeys(pid for w in words for pid in w.pids)),
        first.word.exe,
        first.word.outer_peer,
        first.near,
        tuple(sorted(inner, key=lambda end: (-inner[end], end))),
        sum(w.outer_in_b for w in words),
        sum(w.outer_out_b for w in words),
        coupled,
        weaker_share(coupled, busier),
        max(w.peak for w in words),
        sum(w.n_coupled for w in words),
        sum(w.n_coupled * w.look_s for w in words),
        min(w.first_at for w in words),
        last.word.last_at,
        first.inside,
        first.allowed,
        first.tunnel,
        frozenset(part.tie for part in parts),
        frozenset(tie for part in parts for tie in part.client_ties),
        any(part.guests for part in parts),
        _any(w.led for w in words),
    )


def _any(said: Iterable[bool | None]) -> bool | None:
    """True where any is, false where any is that; null where all are."""
    every = set(said)
    return True if True in every else False if False in every else None

"""How near the far ends of connections are; their near ends are the node's own addresses."""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, Iterable
from slurm_guard.networks import CLUSTER, LOOPBACK, Nearness, Place, parse_place

if TYPE_CHECKING:
    from slurm_guard.sampler.flows import Flow

MOST_KEPT = 4096  # addresses that are remembered. Judgement
_NO_ADDRESS = frozenset({(32, 0), (128, 0), (0, 0)})


class Nearby:
    """Of the node, and of each other network namespace: a job may give itself any address there."""

    def __init__(self, cluster: Iterable[str]) -> None:
        self._near = Nearness(cluster)
        # (bits, address) of the node's, null, and of each other namespace
        self._own: dict[int | None, frozenset[tuple[int, int]]] = {}

    def place(self, flows: Iterable[Flow]) -> None:
        """Those of which nobody has asked yet. A listener may be bound to any address (IP_FREEBIND)."""
        fresh = [flow for flow in flows if flow.near is None]
        for flow in [f for f in fresh if f.is_connection]:
            netns = flow.sample.netns
            own = self._own.get(netns, frozenset())
            self._own[netns] = own | ({_address(flow.sample.local)} - _NO_ADDRESS)
        for flow in fresh:
            flow.near = self.of(flow.sample.peer, flow.sample.netns)

    def of(self, peer: str, netns: int | None = None) -> int:
        """LOOPBACK, CLUSTER or OUTSIDE."""
        try:
            return self._near.of(parse_place(peer), self._own.get(netns, frozenset()))
        except ValueError:
            return LOOPBACK  # nothing is concluded from what cannot be read


class NearKeys:
    """Whether far ends as the kernel's messages have them (tcpends.key_of) are in the cluster."""

    def __init__(self, cluster: Iterable[str]) -> None:
        self._near = Nearness(cluster)
        self._known: dict[bytes, bool] = {}

    def __call__(self, key: bytes) -> bool:
        """Asked of each connection that ends, and remembered."""
        address = key[:-2]
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            place = place_of(address)
            known = self._known[address] = self._near.of(place) == CLUSTER
        return known


def place_of(address: bytes) -> Place:
    """The place of a family's byte and its address in sixteen bytes, port 0."""
    if address[:1] == b"\x02":
        return Place(32, int.from_bytes(address[1:5], "big"), 0)
    number = int.from_bytes(address[1:17], "big")
    return Place(32, number & 0xFFFFFFFF, 0) if number >> 32 == 0xFFFF else Place(128, number, 0)


def _address(text: str) -> tuple[int, int]:
    """(bits, address) of one end; (0, 0) where it cannot be read."""
    try:
        place = parse_place(text)
    except ValueError:
        return 0, 0
    return place.bits, place.address

"""How near the far ends of connections are; their near ends are the node's own addresses."""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, Iterable
from slurm_guard.networks import LOOPBACK, Nearness, parse_place

if TYPE_CHECKING:
    from slurm_guard.sampler.flows import Flow

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


def _address(text: str) -> tuple[int, int]:
    """(bits, address) of one end; (0, 0) where it cannot be read."""
    try:
        place = parse_place(text)
    except ValueError:
        return 0, 0
    return place.bits, place.address

"""Forward proxies to outside that are more than chance."""

from dataclasses import dataclass

from slurm_guard.audit.net.bridges import Bridge, bridges
from slurm_guard.audit.net.net import Kind, Net
from slurm_guard.networks import OUTSIDE


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_share: float = 0.3  # of the busier side, in the weaker direction. Judgement: as for tunnels
    least_b: int = 1024  # each way. Judgement: less is a probe
    least_looks: int = 2  # that fit. Documented: as many as a node asks for


def found_proxies(net: Net, params: Params) -> list[Bridge]:
    """Forward proxies to outside beyond chance, allowed ones too."""
    return [
        b
        for b in bridges(net, Kind.FORWARD)
        if b.near == OUTSIDE
        and not b.inside
        and b.share >= params.least_share
        and b.least_b >= params.least_b
        and b.n_coupled >= params.least_looks
    ]

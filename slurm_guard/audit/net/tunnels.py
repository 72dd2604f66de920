"""Which bridges are more than chance: how much of one side reappears on the other, in both directions."""

from dataclasses import dataclass

from slurm_guard.audit.net.bridges import Bridge, bridges
from slurm_guard.audit.net.net import Kind, Net
from slurm_guard.networks import LOOPBACK


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    # Of what moved on the busier side, in the weaker direction. Judgement: ssh inside ssh doubles small
    # packets and keep-alives come on top; two connections that merely live side by side stay far below.
    sure_share: float = 0.3
    chance_share: float = 0.1  # below this two connections of one process look alike now and then. Judgement
    least_b: int = 1024  # each way. Judgement: an ssh session through the tunnel begins with about 3 KiB
    sure_looks: int = 3  # in which it reappeared. Judgement: twice may be chance
    few_looks: int = 2  # judgement: once may be chance


def grade(bridge: Bridge, params: Params) -> float:
    """1: coupled in both directions; 0.5: it looks like it; 0: no more than chance."""
    alike = bridge.share >= params.sure_share and bridge.least_b >= params.least_b
    if alike and bridge.n_coupled >= params.sure_looks:
        return 1.0
    near = bridge.share >= params.chance_share and bridge.n_coupled >= params.few_looks
    return 0.5 if alike or near else 0.0


def found_bridges(net: Net, params: Params) -> list[tuple[Bridge, float]]:
    """Bridges beyond chance that lead away from the run's own nodes, allowed ones too."""
    both = (*bridges(net, Kind.BRIDGE), *bridges(net, Kind.UNCLEAR))
    graded = [(b, grade(b, params)) for b in both]
    return [(b, g) for b, g in graded if g > 0 and not b.inside and b.near != LOOPBACK]

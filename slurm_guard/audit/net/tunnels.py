"""Which bridges are more than chance: how much of one side reappears on the other, in both directions."""

from dataclasses import dataclass

from slurm_guard.audit.net.bridges import Bridge, bridges
from slurm_guard.audit.net.net import Kind, Net
from slurm_guard.networks import LOOPBACK


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds. A node tells of a relay once bytes fit, both ways, beyond chance; this is hindsight."""

    # Of what moved on the busier side, in the weaker direction. Judgement: ssh inside ssh doubles small
    # packets, and one line may serve several ends; connections that merely live side by side stay far below.
    sure_share: float = 0.3
    chance_share: float = 0.1  # below this, at all times, it was chance. Judgement
    few_b: int = 256  # each way. Documented: a node tells of no less
    least_b: int = 1024  # each way. Judgement: an ssh session through the tunnel begins with about 3 KiB
    least_b_s: float = 100.0  # both ways, in looks that fit. Judgement: heartbeats of two clients are less
    sure_looks: int = 2  # that fit. Documented: as many as a node asks for
    # Of nodes that do not say who leads: requests' heads go out and short answers in from a service that is
    # filled, and they are alike.
    one_way: int = 50  # times as much inwards. Judgement; copiers: 340 to 1,400 (measured)


def grade(bridge: Bridge, params: Params) -> float:
    """1: coupled in both directions; 0.5: it looks like it; 0: no more than chance."""
    speaks = sum(bridge.coupled_b) >= params.least_b_s * bridge.used_s
    enough = bridge.least_b >= params.least_b and bridge.n_coupled >= params.sure_looks
    if bridge.share >= params.sure_share and enough and speaks:
        return 1.0
    near = max(bridge.share, bridge.peak) >= params.chance_share and bridge.least_b >= params.few_b
    return 0.5 if near else 0.0


def may_ask(bridge: Bridge, params: Params) -> bool:
    """Whether it may as well ask outside by itself: a worker, a mirror, an uplink. The node says who leads;
    where it does not, what copies inwards is told by its bytes."""
    if bridge.led is None:
        return bridge.in_b >= params.one_way * max(1, bridge.out_b)
    return not bridge.led


def found_bridges(net: Net, params: Params) -> list[tuple[Bridge, float]]:
    """Bridges beyond chance that lead away from the run's own nodes, allowed ones too."""
    both = (*bridges(net, Kind.BRIDGE), *bridges(net, Kind.UNCLEAR))
    graded = [(b, grade(b, params)) for b in both]
    return [(b, g) for b, g in graded if g > 0 and not b.inside and b.near != LOOPBACK]

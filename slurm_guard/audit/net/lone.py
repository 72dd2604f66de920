"""Old connections to outside that carry next to nothing."""

from dataclasses import dataclass

from slurm_guard.audit.net import proxies, tunnels
from slurm_guard.audit.net.bridges import host_of
from slurm_guard.audit.net.net import Flow, Net
from slurm_guard.audit.net.proxies import found_proxies
from slurm_guard.audit.net.tunnels import found_bridges

TUNNELS, PROXIES = tunnels.Params(), proxies.Params()


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_s: float = 1800.0  # judgement: git, pip and uploads are done within minutes
    greeting_b: int = 16_384  # each way, before rates count: a handshake with certificates. Judgement
    # Keep-alives of ssh, chisel, frp and the like: 50 to 250 bytes every 15 to 60 s (documented defaults).
    # A logger that reports system metrics sends several times as much.
    quiet_b_s: float = 20.0
    # A process on the GPU without a tie: pools' jobs and shares are 5 to 60 bytes a second. Judgement.
    thin_b_s: float = 100.0
    lopsided: float = 4.0  # keep-alives are answered in kind; reports are not. Judgement


def found_lone(net: Net, params: Params) -> list[Flow]:
    """Lone connections, oldest first, allowed ones too; far ends of relays in use are not alone."""
    used = {(b.node, host_of(b.far)) for b, _ in found_bridges(net, TUNNELS)}
    used |= {(b.node, host_of(b.far)) for b in found_proxies(net, PROXIES)}
    return [
        f
        for f in net.flows
        if f.goes_out
        and f.word.age_s >= params.least_s
        and f.tie not in ("linked", "kin")
        and (f.word.node, host_of(f.word.peer)) not in used
        and _is_quiet(f, params)
    ]


def _is_quiet(flow: Flow, params: Params) -> bool:
    """Few bytes both ways, about as many unless the process works on the GPU; unknown bytes are not few."""
    into, out = flow.word.in_b, flow.word.out_b
    if into is None or out is None or not flow.word.counted:
        return False
    thin = flow.tie == "stray"
    most = params.greeting_b + (params.thin_b_s if thin else params.quiet_b_s) * flow.word.age_s
    if max(into, out) > most:
        return False
    said = max(into, out) > params.greeting_b
    return thin or not said or max(into, out) <= params.lopsided * max(1, min(into, out))

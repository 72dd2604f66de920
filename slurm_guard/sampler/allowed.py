"""Whom a tunnel is allowed to, as far as the node knows: it is no hard fact for anybody then."""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING
from slurm_guard.networks import parse_net, parse_place, parse_rule

if TYPE_CHECKING:
    from slurm_guard.config import NetworkConfig


class Allowed:
    """Far ends and programs of `[network] tunnels`; whose they may be is the audit's to say."""

    def __init__(self, network: NetworkConfig) -> None:
        tunnels = [parse_rule(text).what for text in network.tunnels]
        self._nets = [parse_net(text) for text in tunnels if not text.startswith("/")]
        self._programs = {text for text in tunnels if text.startswith("/")}

    def allows(self, peer: str, exe: str | None) -> bool:
        """Whether a tunnel to this far end, or of this program, may be one."""
        return exe in self._programs or any(net.holds(parse_place(peer)) for net in self._nets)

"""What jobs do on the network, made with real programs: tunnels, and honest traffic that resembles them."""

from bench.net import (
    copiers,
    forwards,
    held_out,
    honest_clients,
    honest_stacks,
    masters,
    once_held_out,
    once_held_out_too,
    other_tunnels,
    shorts,
    ssh_tunnels,
)

SITUATIONS = (
    *ssh_tunnels.SITUATIONS,
    *other_tunnels.SITUATIONS,
    *forwards.SITUATIONS,
    *honest_clients.SITUATIONS,
    *honest_stacks.SITUATIONS,
    *copiers.SITUATIONS,
    *masters.SITUATIONS,
    *shorts.SITUATIONS,
    *once_held_out.SITUATIONS,
    *once_held_out_too.SITUATIONS,
    *held_out.SITUATIONS,
)

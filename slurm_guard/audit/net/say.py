"""Words for connections: who, where to, how much."""

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, lasting, sized
from slurm_guard.audit.net.bridges import Bridge
from slurm_guard.audit.net.hints import base
from slurm_guard.model import Evidence, Run
from slurm_guard.networks import CLUSTER, LOOPBACK

# Services by their usual port; said as "the port of", for anybody may listen there. Documented (IANA).
SERVICES = {22: "ssh", 80: "http", 443: "https", 5900: "VNC", 6006: "TensorBoard", 8888: "Jupyter"}


def who(node: str, pids: tuple[int | None, ...], exe: str | None, *, several_nodes: bool = False) -> str:
    """`ssh (pid 412)`; with the node where the run has several."""
    known = [pid for pid in pids if pid is not None]
    said = f"pid {', '.join(map(str, known[:3]))}" if known else "owner not known"
    where = f" on {node}" if several_nodes else ""
    return f"{base(exe) if exe is not None else 'A process'} ({said}{where})"


def port_of(place: str) -> int | None:
    """The port of `address:port`; null: none stands there."""
    tail = place.rpartition(":")[2]
    return int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 6 else None


def service(place: str, near: int | None = None) -> str:
    """`127.0.0.1:22 (the port of ssh)`."""
    name = SERVICES.get(port_of(place) or -1)
    shown = place or "a place that is not known"
    return shown + (f" (the port of {name})" if name else "")


def where(near: int | None) -> str:
    """In or outside of the cluster."""
    return "on this node" if near == LOOPBACK else "in the cluster" if near == CLUSTER else "outside"


def traffic(in_b: int | None, out_b: int | None) -> str:
    """`1.2 MiB in, 18 MiB out`; what was not observed is said."""
    parts = [
        f"{sized(n) if n is not None else 'an unknown amount'} {way}"
        for n, way in ((in_b, "in"), (out_b, "out"))
    ]
    return ", ".join(parts)


def for_long(first_at: float, last_at: float) -> str:
    """`for 1.6 hours`."""
    return f"for {lasting(last_at - first_at)}"


def coupling(run: Run, bridge: Bridge, clears: str) -> Evidence:
    """How much of one side reappeared on the other: the number that makes it a relay."""
    into, out = bridge.coupled_b
    return Evidence(
        f"{bridge.far} and {', '.join(bridge.inner[:3])}: {sized(into)} inwards and {sized(out)} outwards "
        f"reappeared on the other side, in {counted(bridge.n_coupled, 'look', 'looks')} of the sampler",
        round(100 * bridge.share, 1),
        "% of the bytes each way",
        "lake table relays",
        see.beside(
            see.rows(
                run,
                "relays",
                "first_seen_at,last_seen_at,exe,outer_peer,coupled_in_b,coupled_out_b,n_coupled",
                (("node", bridge.node), *(("pids", pid) for pid in bridge.pids[:1])),
            ),
            f"while it lasts: ss -tinp on {bridge.node}",
        ),
        clears,
    )

"""Weak hints: names, ports and texts that anybody can change. They add a little and decide nothing."""

from dataclasses import dataclass

from slurm_guard.audit.net.net import Person

# What the programs that make tunnels, and those that mine, call themselves, and ports that mining pools
# advertise. Documented by the projects; renamed in a second.
TUNNELS = frozenset(
    {"ssh", "autossh", "plink", "dropbear", "dbclient", "chisel", "frpc", "ngrok", "cloudflared", "rathole"}
    | {"bore", "gost", "inlets", "zrok", "sish", "pinggy", "localtunnel", "lt", "revsocks", "ligolo-agent"}
    | {"wstunnel", "socat", "stunnel", "sshuttle", "tailscaled", "tmate", "code-tunnel", "devtunnel"}
)
MINERS = frozenset({"xmrig", "ethminer", "nbminer", "t-rex", "lolminer", "gminer", "miner", "phoenixminer"})
POOL_PORTS = frozenset({3333, 4444, 5555, 7777, 9999, 14433, 14444, 45700})
NAME = 0.25  # added by a name, a port or a text. Judgement: such hints are cheap to change
PLACE = 0.5  # added by a program file in a temporary folder, deleted, or in memory alone. Judgement
_ODD = {"tmp": "in a temporary folder", "deleted": "deleted since it started", "memfd": "in memory alone"}
_TEXTS = (" -R", "RemoteForward", "remote-forward", " R:")


@dataclass(frozen=True, slots=True)
class Hint:
    """Extra weight, and why in words."""

    weight: float
    words: tuple[str, ...]


def named(exe: str | None) -> bool:
    """Whether the program calls itself like one that makes tunnels."""
    return base(exe) in TUNNELS


def base(exe: str | None) -> str:
    """The file's name, or what stands for an unknown one."""
    return "a process" if exe is None else exe.removesuffix(" (deleted)").rpartition("/")[2] or exe


def hint(exe: str | None, person: Person | None, port: int | None) -> Hint:
    """All that anybody could change, together at most one step of weight."""
    words: list[str] = []
    weight = 0.0
    name, text = base(exe), ("" if person is None else person.cmdline or "")
    if name in TUNNELS or name in MINERS:
        weight += NAME
        words.append(f"the program calls itself {name}")
    if any(part in text for part in _TEXTS) and (name in TUNNELS or "ssh" in text):
        weight += NAME
        words.append("its command line names a remote forward")
    if port in POOL_PORTS:
        weight += NAME
        words.append(f"port {port} is one that mining pools use")
    odd = [] if person is None else [_ODD[flag] for flag in person.flags if flag in _ODD]
    if odd:
        weight += PLACE
        words.append(f"its file is {', '.join(odd)}")
    return Hint(min(1.0, weight), tuple(words))

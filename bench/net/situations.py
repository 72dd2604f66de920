"""What jobs do on the network, made with real programs: tunnels, and honest traffic that resembles them."""

from collections.abc import Callable
from typing import NamedTuple

from bench.net.hosts import NEAR, NODE_NEAR, OUTSIDE
from bench.net.stage import Stage

BRIDGE, FORWARD, NONE = "bridge", "forward", "none"


class Situation(NamedTuple):
    """`shape`: what it is. `build` starts its programs on a stage."""

    name: str
    shape: str
    build: Callable[[Stage], None]


def _ssh_reverse(stage: Stage, *words: str, ssh: str = "ssh", how: str = "keep") -> None:
    """A remote forward to a service of the job, used from outside."""
    inner, door = stage.service(), stage.port()
    stage.job(ssh, "-N", *words, "-R", f"127.0.0.1:{door}:127.0.0.1:{inner}", *stage.ssh)
    stage.use_outside("127.0.0.1", door, how)


def ssh_reverse(stage: Stage) -> None:
    """`ssh -R`, one long inner connection."""
    _ssh_reverse(stage)


def ssh_reverse_short(stage: Stage) -> None:
    """The same, with a new inner connection for each request."""
    _ssh_reverse(stage, how="once")


def ssh_reverse_renamed(stage: Stage) -> None:
    """The program has another name."""
    _ssh_reverse(stage, ssh=stage.renamed("ssh", "python3"))


def ssh_reverse_config(stage: Stage) -> None:
    """The forward stands in a file, not in the command line."""
    inner, door = stage.service(), stage.port()
    path = stage.file("config", f"Host *\n  RemoteForward 127.0.0.1:{door} 127.0.0.1:{inner}\n")
    words = [path if word == "none" else word for word in stage.ssh]
    stage.job("ssh", "-N", *words)
    stage.use_outside("127.0.0.1", door)


def ssh_reverse_to_near(stage: Stage) -> None:
    """It leads on to another node of the cluster."""
    port = stage.port()
    door = stage.port()
    stage.near_talk("service", "0.0.0.0", str(port))
    stage.job("ssh", "-N", "-R", f"127.0.0.1:{door}:{NEAR}:{port}", *stage.ssh)
    stage.use_outside("127.0.0.1", door)


def ssh_reverse_socks(stage: Stage) -> None:
    """`-R PORT` alone: the far end chooses the inner places (SOCKS)."""
    inner, door, ask = stage.service(), stage.port(), stage.port()
    stage.job("ssh", "-N", "-R", f"127.0.0.1:{door}", *stage.ssh)
    stage.far_talk("socks", str(ask), str(door), "127.0.0.1", str(inner))
    stage.use_outside("127.0.0.1", ask)


def ssh_reverse_proxycommand(stage: Stage) -> None:
    """The outer connection is another process's, joined to ssh by pipes."""
    inner, door = stage.service(), stage.port()
    proxy = ("-o", f"ProxyCommand=socat - TCP:{OUTSIDE}:%p")
    stage.job("ssh", "-N", *proxy, "-R", f"127.0.0.1:{door}:127.0.0.1:{inner}", *stage.ssh)
    stage.use_outside("127.0.0.1", door)


def socat_reverse(stage: Stage) -> None:
    """socat opens both ends; the far end is socat, too."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    stage.far("socat", f"TCP-LISTEN:{up},reuseaddr", f"TCP-LISTEN:{door},bind=127.0.0.1,reuseaddr")
    stage.job_later("socat", f"TCP:{OUTSIDE}:{up},retry=20,interval=0.3", f"TCP:127.0.0.1:{inner}")
    stage.use_outside("127.0.0.1", door)


def own_tunnel(stage: Stage) -> None:
    """A tunnel program of one's own, streams framed in one connection."""
    _own_tunnel(stage, "0")


def own_tunnel_padded(stage: Stage) -> None:
    """The same, with 48 more bytes a message."""
    _own_tunnel(stage, "48")


def _own_tunnel(stage: Stage, pad: str) -> None:
    inner, up, door = stage.service(), stage.port(), stage.port()
    stage.far_talk("far_end", str(up), str(door), pad)
    stage.job_talk_later("tunnel", OUTSIDE, str(up), "127.0.0.1", str(inner), pad)
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def reverse_in_the_trainer(stage: Stage) -> None:
    """The tunnel lives in a process that also uploads and talks to its peers."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    store, peer = stage.far_service(), stage.near_service()
    stage.far_talk("far_end", str(up), str(door), "0")
    parts = ["tunnel", OUTSIDE, str(up), "127.0.0.1", str(inner), "0"]
    parts += ["+", "stream", OUTSIDE, str(store), stage.seconds, stage.seed, "up"]
    parts += ["+", "use", NEAR, str(peer), stage.seconds, stage.seed]
    stage.job_talk_later("both", *parts)
    stage.use_outside("127.0.0.1", door)


def ssh_local(stage: Stage) -> None:
    """`ssh -L`: the job reaches a service outside through it."""
    far, near = stage.far_service("127.0.0.1"), stage.port()
    stage.job("ssh", "-N", "-L", f"127.0.0.1:{near}:127.0.0.1:{far}", *stage.ssh)
    stage.job_talk_later("use", "127.0.0.1", str(near), stage.seconds, stage.seed, "keep")


def ssh_dynamic(stage: Stage) -> None:
    """`ssh -D`: a SOCKS door to the outside."""
    far, door, ask = stage.far_service("127.0.0.1"), stage.port(), stage.port()
    stage.job("ssh", "-N", "-D", f"127.0.0.1:{door}", *stage.ssh)
    stage.job_talk("socks", str(ask), str(door), "127.0.0.1", str(far))
    stage.job_talk_later("use", "127.0.0.1", str(ask), stage.seconds, stage.seed, "keep")


def local_proxy(stage: Stage) -> None:
    """A helper accepts from the trainer and speaks outwards (a logging service, a proxy)."""
    far, near = stage.far_service(), stage.port()
    stage.job_talk("forward", str(near), OUTSIDE, str(far))
    stage.job_talk_later("use", "127.0.0.1", str(near), stage.seconds, stage.seed, "keep")


def interactive_ssh(stage: Stage) -> None:
    """A command over ssh: one connection, no forward."""
    stage.job("ssh", *stage.ssh, "for i in 1 2 3 4 5 6 7 8 9; do date; sleep 1; done")


def tunnel_unused(stage: Stage) -> None:
    """A remote forward that nobody uses: the outer connection alone."""
    stage.job(
        "ssh",
        "-N",
        "-o",
        "ServerAliveInterval=1",
        "-R",
        f"127.0.0.1:{stage.port()}:127.0.0.1:9",
        *stage.ssh,
    )


def scp_up(stage: Stage) -> None:
    """A file over ssh."""
    stage.job("sh", "-c", f"head -c 20000000 /dev/urandom | ssh {' '.join(stage.ssh)} 'cat >/dev/null'")


def storage_and_rendezvous(stage: Stage) -> None:
    """Object storage beside a torchrun-like rendezvous, in one process."""
    store, peer = stage.far_service(), stage.near_service()
    parts = ["stream", OUTSIDE, str(store), stage.seconds, stage.seed, "up"]
    stage.job_talk_later("both", *parts, "+", "use", NEAR, str(peer), stage.seconds, stage.seed)


def storage_and_local_workers(stage: Stage) -> None:
    """Downloads from outside, and workers of its own over loopback."""
    store, inner = stage.far_service(), stage.service()
    parts = ["stream", OUTSIDE, str(store), stage.seconds, stage.seed, "down"]
    stage.job_talk_later("both", *parts, "+", "use", "127.0.0.1", str(inner), stage.seconds, stage.seed)


def tracker_and_mesh(stage: Stage) -> None:
    """Small messages to an experiment tracker outside, small ones to peers near by (Ray beside W&B)."""
    far, peer, inner = stage.far_service(), stage.near_service(), stage.service()
    parts = ["use", OUTSIDE, str(far), stage.seconds, stage.seed]
    for host, port in ((NEAR, peer), ("127.0.0.1", inner)):
        parts += ["+", "use", host, str(port), stage.seconds, f"{stage.seed}/{host}"]
    stage.job_talk_later("both", *parts)


def database_and_scheduler(stage: Stage) -> None:
    """Questions to a database outside, tasks from a scheduler on loopback (Dask beside a database)."""
    far, inner = stage.far_service(), stage.service()
    parts = ["use", OUTSIDE, str(far), stage.seconds, stage.seed]
    stage.job_talk_later(
        "both", *parts, "+", "use", "127.0.0.1", str(inner), stage.seconds, f"{stage.seed}/i", "once"
    )


def notebook_from_login(stage: Stage) -> None:
    """A server of the job is reached from a node of the cluster and asks its kernels on loopback."""
    inner, port = stage.service(), stage.port()
    stage.job_talk("forward", str(port), "127.0.0.1", str(inner), NODE_NEAR)
    stage.near_talk_later("use", NODE_NEAR, str(port), stage.seconds, stage.seed, "keep")


def long_poll(stage: Stage) -> None:
    """One long connection outwards with rare messages."""
    far = stage.far_service()
    stage.job_talk_later("use", OUTSIDE, str(far), stage.seconds, stage.seed, "keep")


def downloads(stage: Stage) -> None:
    """Bursts of short connections outwards (pip, conda, model hubs)."""
    far = stage.far_service()
    stage.job_talk_later("stream", OUTSIDE, str(far), stage.seconds, stage.seed, "down")


def mesh(stage: Stage) -> None:
    """Ranks that speak with each other over loopback and with another node."""
    peer, inner = stage.near_service(), stage.service()
    parts = ["use", NEAR, str(peer), stage.seconds, stage.seed]
    stage.job_talk_later(
        "both", *parts, "+", "use", "127.0.0.1", str(inner), stage.seconds, f"{stage.seed}/l"
    )


SITUATIONS = (
    *(Situation(build.__name__, BRIDGE, build) for build in (
        ssh_reverse, ssh_reverse_short, ssh_reverse_renamed, ssh_reverse_config, ssh_reverse_to_near,
        ssh_reverse_socks, ssh_reverse_proxycommand, socat_reverse, own_tunnel, own_tunnel_padded,
        reverse_in_the_trainer,
    )),
    *(Situation(build.__name__, FORWARD, build) for build in (ssh_local, ssh_dynamic, local_proxy)),
    *(Situation(build.__name__, NONE, build) for build in (
        interactive_ssh, tunnel_unused, scp_up, storage_and_rendezvous, storage_and_local_workers,
        tracker_and_mesh, database_and_scheduler, notebook_from_login, long_poll, downloads, mesh,
    )),
)  # fmt: skip

"""Forwarders: they accept near and go out for it."""

from bench.net.hosts import OUTSIDE, SSH_PORT, USER
from bench.net.programs import PYTHON, path_of
from bench.net.shape import FORWARD, Situation
from bench.net.stage import Stage


def _use(stage: Stage, port: int, how: str = "keep") -> None:
    stage.job_talk_later("use", "127.0.0.1", str(port), stage.seconds, stage.seed, how)


def _use_by_socks(stage: Stage, door: int) -> None:
    far, ask = stage.far_service(), stage.port()
    stage.job_talk("socks", str(ask), str(door), OUTSIDE, str(far))
    _use(stage, ask)


def ssh_local(stage: Stage) -> None:
    """`ssh -L`: the job reaches a service outside through it."""
    far, near = stage.far_service("127.0.0.1"), stage.port()
    stage.job("ssh", "-N", "-L", f"127.0.0.1:{near}:127.0.0.1:{far}", *stage.ssh)
    _use(stage, near, stage.rng.choice(("keep", "once")))


def ssh_dynamic(stage: Stage) -> None:
    """`ssh -D`: a SOCKS door to the outside."""
    door = stage.port()
    stage.job("ssh", "-N", "-D", f"127.0.0.1:{door}", *stage.ssh)
    _use_by_socks(stage, door)


def asyncssh_local(stage: Stage) -> None:
    """A local forward by asyncssh."""
    far, near = stage.far_service("127.0.0.1"), stage.port()
    script = str(stage.folder / "pyssh.py")
    stage.job(PYTHON, "-I", script, "asyncssh_forward", "L", str(stage.key), USER, OUTSIDE, str(SSH_PORT),
              str(near), str(far))  # fmt: skip
    _use(stage, near)


def local_proxy(stage: Stage) -> None:
    """A helper accepts from the trainer and speaks outwards (W&B's service of old)."""
    far, near = stage.far_service(), stage.port()
    stage.job_talk("forward", str(near), OUTSIDE, str(far))
    _use(stage, near)


def socat_forward(stage: Stage) -> None:
    """socat accepts near, a process for each connection."""
    far, near = stage.far_service(), stage.port()
    stage.job("socat", f"TCP-LISTEN:{near},bind=127.0.0.1,fork,reuseaddr", f"TCP:{OUTSIDE}:{far}")
    _use(stage, near)


def stunnel_forward(stage: Stage) -> None:
    """stunnel puts the job's connection into TLS."""
    far, near, up = stage.far_service("127.0.0.1"), stage.port(), stage.port()
    cert = stage.hosts.folder / "cert.pem"
    stage.far("socat", f"OPENSSL-LISTEN:{up},cert={cert},verify=0,fork,reuseaddr", f"TCP:127.0.0.1:{far}")
    text = (
        f"foreground = yes\npid =\nsyslog = no\n[s]\nclient = yes\naccept = 127.0.0.1:{near}\n"
        f"connect = {OUTSIDE}:{up}\n"
    )
    stage.job(path_of("stunnel4"), stage.file("stunnel.conf", text))
    _use(stage, near)


def socks_server(stage: Stage) -> None:
    """microsocks: a SOCKS server of the job's own."""
    door = stage.port()
    stage.job(path_of("microsocks"), "-i", "127.0.0.1", "-p", str(door))
    _use_by_socks(stage, door)


def joined_to_ssh(stage: Stage) -> None:
    """In sshuttle's place (its client needs root): a listener joined to `ssh -W` by a socket pair."""
    far, near = stage.far_service("127.0.0.1"), stage.port()
    words = stage.file("ssh.sh", f"exec ssh -W 127.0.0.1:{far} {' '.join(stage.ssh)}\n")
    stage.job("socat", f"TCP-LISTEN:{near},bind=127.0.0.1,fork,reuseaddr", f"EXEC:sh {words}")
    _use(stage, near)


SITUATIONS = (
    *(Situation(build, FORWARD) for build in (
        ssh_local, ssh_dynamic, local_proxy, socat_forward, joined_to_ssh,
    )),
    Situation(asyncssh_local, FORWARD, ("pypi:python",)),
    Situation(stunnel_forward, FORWARD, ("stunnel4",)),
    Situation(socks_server, FORWARD, ("microsocks",)),
)  # fmt: skip

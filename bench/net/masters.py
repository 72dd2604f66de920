"""Honest programs that take tasks from a queue of the job and have them evaluated outside, one after the
other: once they run, a tunnel's order; and tunnels whose first process leaves."""

from bench.net.hosts import OUTSIDE
from bench.net.programs import PYTHON, path_of
from bench.net.shape import BRIDGE, NONE, Situation
from bench.net.stage import Stage


def _queue(stage: Stage, kind: str) -> int:
    port = stage.port()
    if kind == "redis":
        stage.job(path_of("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "")
    else:
        stage.job(*_program(stage), "serve", kind, str(port), stage.seed)
    return port


def _program(stage: Stage) -> list[str]:
    return [PYTHON, "-I", str(stage.folder / "master.py")]


def _master(stage: Stage, kind: str, first: str, how: str) -> None:
    port, far = _queue(stage, kind), stage.port()
    words = [OUTSIDE, str(far)]
    lines = " ".join([*_program(stage), "evaluate", "lines"])
    if how == "ssh":
        words = ["ssh", *stage.ssh, lines]
    elif how == "tls":
        cert = stage.hosts.folder / "cert.pem"
        listen = f"OPENSSL-LISTEN:{far},cert={cert},verify=0,fork,reuseaddr"
        stage.far("socat", listen, f"EXEC:{lines}")
    else:
        stage.far(*_program(stage), "evaluate", how, str(far))
    stage.job_later(*_program(stage), "work", kind, str(port), first, stage.seed, how, *words)


def master_ssh(stage: Stage) -> None:
    """Tasks from the job's Redis, evaluated by a program outside over ssh."""
    _master(stage, "redis", "near", "ssh")


def master_web(stage: Stage) -> None:
    """The same by HTTP with a connection that is kept."""
    _master(stage, "redis", "near", "web")


def master_tls(stage: Stage) -> None:
    """The same by lines of JSON over TLS."""
    _master(stage, "redis", "near", "tls")


def master_web_sockets(stage: Stage) -> None:
    """The same by WebSockets, which it connects before it has a queue."""
    _master(stage, "redis", "far", "web-sockets")


def master_manager(stage: Stage) -> None:
    """Tasks from a queue of multiprocessing's managers, evaluated over ssh."""
    _master(stage, "manager", "near", "ssh")


def master_exchange(stage: Stage) -> None:
    """A queue that takes a result and answers with the next task: one question nearby for each outside."""
    _master(stage, "exchange", "near", "web")


def master_exchange_far(stage: Stage) -> None:
    """The same, that connects to the evaluator before it has a queue: made to find the bound."""
    _master(stage, "exchange", "far", "web")


def ssh_reverse_leaves(stage: Stage) -> None:
    """`ssh -f -N -R`: who connected forks, and leaves the tunnel to its child."""
    inner, door = stage.service(), stage.port()
    words = " ".join(f"'{word}'" for word in (f"127.0.0.1:{door}:127.0.0.1:{inner}", *stage.ssh))
    stage.shell(f"until ssh -f -N -o ExitOnForwardFailure=yes -R {words}; do sleep 0.3; done; sleep 1000")
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


SITUATIONS = (
    *(Situation(build, NONE, ("redis-server",)) for build in (master_ssh, master_web, master_tls)),
    Situation(master_web_sockets, NONE, ("redis-server", "pypi:python")),
    *(Situation(build, NONE) for build in (master_manager, master_exchange, master_exchange_far)),
    Situation(ssh_reverse_leaves, BRIDGE),
)

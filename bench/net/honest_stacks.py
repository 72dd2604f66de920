"""Honest stacks: several connections beside each other, servers, gateways."""

from bench.net.hosts import NEAR, NODE_LOGIN, NODE_NEAR, NODE_OUTSIDE, OUTSIDE
from bench.net.programs import path_of
from bench.net.shape import NONE, Situation
from bench.net.stage import Stage


def _use(stage: Stage, address: str, port: int, seed: str = "", how: str = "keep") -> list[str]:
    return ["use", address, str(port), stage.seconds, f"{stage.seed}{seed}", how]


def storage_and_rendezvous(stage: Stage) -> None:
    """S3 beside torchrun: object storage and a rendezvous in one process."""
    store, peer = stage.far_service(), stage.near_service()
    parts = ["stream", OUTSIDE, str(store), stage.seconds, stage.seed, stage.rng.choice(("up", "down"))]
    stage.job_talk_later("both", *parts, "+", *_use(stage, NEAR, peer, "/r"))


def storage_and_local_workers(stage: Stage) -> None:
    """Object storage beside data loaders on loopback."""
    store, inner = stage.far_service(), stage.service()
    parts = ["stream", OUTSIDE, str(store), stage.seconds, stage.seed, "down"]
    stage.job_talk_later("both", *parts, "+", *_use(stage, "127.0.0.1", inner, "/w"))


def tracker_and_mesh(stage: Stage) -> None:
    """Ray beside W&B (equivalents): a tracker outside, control stores near and on loopback."""
    far, peer, inner = stage.far_service(), stage.near_service(), stage.service()
    parts = [*_use(stage, OUTSIDE, far, "/t"), "+", *_use(stage, NEAR, peer, "/m")]
    stage.job_talk_later("both", *parts, "+", *_use(stage, "127.0.0.1", inner, "/l", "once"))


def database_and_scheduler(stage: Stage) -> None:
    """Dask beside a database (equivalents): a database outside, a scheduler on loopback, requests short."""
    far, inner = stage.far_service(), stage.service()
    stage.job_talk_later(
        "both", *_use(stage, OUTSIDE, far, "/d"), "+", *_use(stage, "127.0.0.1", inner, "", "once")
    )


def container_trainer(stage: Stage) -> None:
    """Object storage beside local workers in a container's own network namespace (pasta)."""
    store, inner = stage.far_service(), stage.port()
    service = " ".join(stage.talk("service", "127.0.0.1", str(inner)))
    parts = ["both", "stream", OUTSIDE, str(store), stage.seconds, stage.seed, "down"]
    train = " ".join(stage.talk(*parts, "+", *_use(stage, "127.0.0.1", inner, "/w")))
    stage.contained(f"{service} &\nsleep 0.5\n{train}")


def pools_both_ways(stage: Stage) -> None:
    """A pool of connections to a database outside beside one to a cache on loopback."""
    far, inner = stage.far_service(), stage.service()
    parts = ["pool", OUTSIDE, str(far), stage.seconds, stage.seed, "4"]
    stage.job_talk_later(
        "both", *parts, "+", "pool", "127.0.0.1", str(inner), stage.seconds, f"{stage.seed}/c", "4"
    )


def _ring(stage: Stage, *beside: str) -> None:
    """Two ranks here, one on another node, each sending to the next."""
    ports = [str(stage.port()) for _ in range(3)]
    of = (stage.seconds, stage.seed)
    there = ("ring", ports[2], ports[0], *of, NEAR, NODE_NEAR)
    first = ("ring", ports[0], ports[1], *of, "0.0.0.0", "127.0.0.1")
    second = ("ring", ports[1], ports[2], *of, "127.0.0.1", NEAR)
    stage.near_talk(*there)
    stage.job_talk_later("both", *first, *beside)
    stage.job_talk_later(*second)


def ring(stage: Stage) -> None:
    """In Gloo's and NCCL's place: a ring over loopback and another node, bytes handed on summed."""
    _ring(stage)


def ring_and_tracker(stage: Stage) -> None:
    """The same ring, whose first rank also reports outside."""
    far = stage.far_service()
    _ring(stage, "+", *_use(stage, OUTSIDE, far, "/t"))


def ring_and_storage(stage: Stage) -> None:
    """The same ring, whose first rank reads its data from object storage."""
    far = stage.far_service()
    _ring(stage, "+", "stream", OUTSIDE, str(far), stage.seconds, f"{stage.seed}/s", "down")


def mesh(stage: Stage) -> None:
    """Ranks that ask each other over loopback and on another node (torchrun's store)."""
    peer, inner = stage.near_service(), stage.service()
    stage.job_talk_later("both", *_use(stage, NEAR, peer), "+", *_use(stage, "127.0.0.1", inner, "/l"))


def notebook_from_login(stage: Stage) -> None:
    """Jupyter's place: the login node connects to a service of the job."""
    port = stage.port()
    stage.job_talk("service", "0.0.0.0", str(port))
    stage.login_talk_later(*_use(stage, NODE_LOGIN, port))


def notebook_with_kernels(stage: Stage) -> None:
    """Jupyter's place with kernels: a server hands on to a kernel of its own over loopback."""
    inner, port = stage.service(), stage.port()
    stage.job_talk("forward", str(port), "127.0.0.1", str(inner), "0.0.0.0")
    stage.login_talk_later(*_use(stage, NODE_LOGIN, port, "", stage.rng.choice(("keep", "once"))))


def notebook_by_login_tunnel(stage: Stage) -> None:
    """A notebook reached by `ssh -R` to the login node: a tunnel, and none to outside."""
    inner, door = stage.service(), stage.port()
    stage.job("ssh", "-N", "-R", f"127.0.0.1:{door}:127.0.0.1:{inner}", *stage.ssh_login)
    stage.login_talk_later(*_use(stage, "127.0.0.1", door))


def _nginx(stage: Stage, port: int, upstreams: list[str]) -> None:
    servers = "".join(f"server {u};" for u in upstreams)
    temp = "".join(
        f"{name}_temp_path {stage.folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = (
        f"daemon off; pid {stage.folder}/nginx.pid; error_log stderr crit; events {{}} "
        f"http {{ access_log off; {temp} upstream u {{ {servers} keepalive 4; }} server {{ listen {port}; "
        "location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; "
        "client_max_body_size 0; } } }"
    )
    stage.job(path_of("nginx"), "-e", "stderr", "-c", stage.file("nginx.conf", text))


def _ask_web(stage: Stage, address: str, port: int) -> list[str]:
    sizes = " ".join(str(stage.rng.randrange(200, 40_000)) for _ in range(12))
    script = (
        f"for size in {sizes}; do head -c $(($size / 9)) /dev/urandom | curl -s --data-binary @- "
        f'http://{address}:{port}/$size -o /dev/null && printf . >>"$GUARD_USES"; '
        f"sleep 0.{stage.rng.randrange(1, 9)}; done"
    )
    return ["sh", "-c", script]


def gateway_to_model(stage: Stage) -> None:
    """nginx of the job's own in front of a model server on loopback, asked from the login node."""
    inner, port = stage.port(), stage.port()
    stage.job_talk("http", "127.0.0.1", str(inner))
    _nginx(stage, port, [f"127.0.0.1:{inner}"])
    stage.at(stage.hosts.login, *_ask_web(stage, NODE_LOGIN, port), delay_s=stage.a_while(1.0))


def gateway_from_outside(stage: Stage) -> None:
    """The same, asked from outside: the far connection was accepted."""
    inner, port = stage.port(), stage.port()
    stage.job_talk("http", "127.0.0.1", str(inner))
    _nginx(stage, port, [f"127.0.0.1:{inner}"])
    stage.at(stage.hosts.outside, *_ask_web(stage, NODE_OUTSIDE, port), delay_s=stage.a_while(1.0))


def gateway_to_nodes(stage: Stage) -> None:
    """nginx before two model servers, one of them on another node, asked from the login node."""
    inner, other, port = stage.port(), stage.port(), stage.port()
    stage.job_talk("http", "127.0.0.1", str(inner))
    stage.near_talk("http", NEAR, str(other))
    _nginx(stage, port, [f"127.0.0.1:{inner}", f"{NEAR}:{other}"])
    stage.at(stage.hosts.login, *_ask_web(stage, NODE_LOGIN, port), delay_s=stage.a_while(1.0))


def balancer(stage: Stage) -> None:
    """HAProxy before a service on loopback, TCP, asked from another node; it looks after its server."""
    inner, port = stage.service(), stage.port()
    text = (
        "global\n maxconn 100\ndefaults\n mode tcp\n timeout connect 2s\n"
        " timeout client 1m\n timeout server 1m\n"
        f"listen x\n bind 0.0.0.0:{port}\n server a 127.0.0.1:{inner} check inter 500\n"
    )
    stage.job(path_of("haproxy"), "-db", "-q", "-f", stage.file("haproxy.cfg", text))
    stage.near_talk_later(*_use(stage, NODE_NEAR, port))


def queue_worker(stage: Stage) -> None:
    """A worker that takes questions from a queue outside and has a local model answer, in other words."""
    far, inner = stage.far_service(), stage.service()
    stage.job_talk_later("worker", OUTSIDE, str(far), str(inner), stage.seconds, stage.seed)


def shards_to_loader(stage: Stage) -> None:
    """A reader that fetches parts of a data set outside and pushes them to a loader over loopback."""
    far, inner = stage.far_service(), stage.service()
    stage.job_talk_later("shards", OUTSIDE, str(far), str(inner), stage.seconds, stage.seed)


def login_and_outside(stage: Stage) -> None:
    """A dashboard that serves the login node while its process reports outside."""
    far, port = stage.far_service(), stage.port()
    stage.job_talk("both", "service", "0.0.0.0", str(port), "+", *_use(stage, OUTSIDE, far, "/t"))
    stage.login_talk_later(*_use(stage, NODE_LOGIN, port))


SITUATIONS = (
    *(Situation(build, NONE) for build in (
        storage_and_rendezvous, storage_and_local_workers, tracker_and_mesh, database_and_scheduler,
        pools_both_ways, ring, ring_and_tracker, ring_and_storage, mesh, notebook_from_login,
        notebook_with_kernels, notebook_by_login_tunnel, queue_worker, shards_to_loader, login_and_outside,
    )),
    *(Situation(build, NONE, ("nginx", "curl")) for build in (
        gateway_to_model, gateway_from_outside, gateway_to_nodes,
    )),
    Situation(container_trainer, NONE, ("pasta",)),
    Situation(balancer, NONE, ("haproxy",)),
)  # fmt: skip

"""Left out while the code was made, played when it was frozen, and known since: the first four before the far
end's lead was asked for, the last two after that."""

from bench.net.hosts import OUTSIDE
from bench.net.programs import LOCALTUNNEL, PYTHON, path_of
from bench.net.shape import BRIDGE, NONE, Situation
from bench.net.stage import Stage


def localtunnel(stage: Stage) -> None:
    """localtunnel's client, in JavaScript: several connections outwards that wait for users."""
    inner, web, up, door = stage.service(), stage.port(), stage.port(), stage.port()
    stage.far(PYTHON, "-I", str(stage.folder / "far_end.py"), OUTSIDE, str(web), str(up), str(door))
    stage.job_later(path_of("node"), LOCALTUNNEL, "--port", str(inner), "--host", f"http://{OUTSIDE}:{web}")
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def pagekite(stage: Stage) -> None:
    """PageKite: streams as chunks in one connection, opened by HTTP."""
    inner, up, ask = stage.service(), stage.port(), stage.port()
    program, secret = path_of("pagekite"), "abc123"
    common = ["--clean", "--nocrashreport", "--noprobes", "--nullui"]
    stage.far(program, *common, "--isfrontend", "--host=0.0.0.0", f"--ports={up}", f"--rawports={inner}",
              "--protos=raw", f"--domain=raw:kite.test:{secret}")  # fmt: skip
    stage.job_later(program, *common, f"--frontend={OUTSIDE}:{up}", "--nozchunks",
                    f"--service_on=raw/{inner}:kite.test:localhost:{inner}:{secret}")  # fmt: skip
    stage.far("socat", f"TCP-LISTEN:{ask},bind=127.0.0.1,fork,reuseaddr",
              f"PROXY:127.0.0.1:kite.test:{inner},proxyport={up}")  # fmt: skip
    stage.use_outside("127.0.0.1", ask, stage.rng.choice(("keep", "once")))


def dask_and_redis(stage: Stage) -> None:
    """Dask's scheduler and a worker on loopback, whose client also asks a Redis outside."""
    scheduler, redis = stage.port(), stage.port()
    stage.far(
        path_of("redis-server"),
        "--port",
        str(redis),
        "--bind",
        OUTSIDE,
        "--save",
        "",
        "--protected-mode",
        "no",
    )
    dask = path_of("pypi:dask")
    words = ["--no-dashboard", "--host", "0.0.0.0", "--port", str(scheduler)]
    stage.job(dask, "scheduler", *words)
    stage.job(
        dask, "worker", f"tcp://127.0.0.1:{scheduler}", "--no-nanny", "--no-dashboard", "--nthreads", "1"
    )
    script = stage.file(
        "client.py", _DASK.format(scheduler=scheduler, redis=redis, host=OUTSIDE, seed=stage.seed)
    )
    stage.job_later(PYTHON, "-I", script)


_DASK = """
import os, random, socket, time
from distributed import Client

rng = random.Random({seed})
client = Client("tcp://127.0.0.1:{scheduler}", timeout=30)
store = socket.create_connection(("{host}", {redis}))
while True:
    parts = [client.submit(bytes, rng.randrange(10, 200_000), pure=False) for _ in range(rng.randrange(1, 6))]
    data = b"".join(client.gather(parts))[: rng.randrange(100, 60_000)]
    store.sendall(b"*3\\r\\n$3\\r\\nSET\\r\\n$1\\r\\nx\\r\\n$%d\\r\\n%s\\r\\n" % (len(data), data))
    store.recv(100)
    store.sendall(b"*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\nx\\r\\n")
    left = len(data) + len(str(len(data))) + 5
    while left > 0:
        left -= len(store.recv(65536))
    with open(os.environ["GUARD_USES"], "ab") as uses:
        uses.write(b".")
    time.sleep(rng.expovariate(2))
"""


def mpi_and_uploads(stage: Stage) -> None:
    """Open MPI's ranks over TCP on loopback beside rclone's uploads to a WebDAV server outside."""
    web = stage.port()
    store = stage.folder / "store"
    store.mkdir()
    stage.far(
        path_of("rclone"),
        "serve",
        "webdav",
        str(store),
        "--addr",
        f"{OUTSIDE}:{web}",
        "--config",
        "/dev/null",
    )
    words = {"url": f"http://{OUTSIDE}:{web}", "rclone": path_of("rclone"), "seed": stage.seed}
    rank = stage.file("rank.py", _RANK.format(**words))
    options = ["--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo", "--mca", "pml", "ob1"]
    stage.job_later(path_of("mpirun"), *options, "--oversubscribe", "-np", "3", PYTHON, "-I", rank)


_RANK = """
import os, random, subprocess, time
from mpi4py import MPI

world, rng = MPI.COMM_WORLD, random.Random({seed})
while True:
    size = rng.choice((500, 40_000, 400_000))
    world.allreduce(bytes(size)[:0] + os.urandom(size), op=lambda a, b: a)
    world.barrier()
    if world.rank == 0 and rng.random() < 0.5:
        with open("ckpt", "wb") as part:
            part.write(os.urandom(rng.randrange(10_000, 5_000_000)))
        words = ["{rclone}", "--config", "/dev/null", "copyto", "ckpt", ":webdav:ckpt", "--webdav-url={url}"]
        if subprocess.run(words).returncode == 0:
            with open(os.environ["GUARD_USES"], "ab") as uses:
                uses.write(b".")
    time.sleep(0.2)
"""


def ssh_reverse_through_socks(stage: Stage) -> None:
    """`ssh -R` by a SOCKS proxy outside: netcat has the outer connection, ssh the inner ones."""
    inner, door, proxy = stage.service(), stage.port(), stage.port()
    stage.far(path_of("microsocks"), "-i", OUTSIDE, "-p", str(proxy))
    by = f"ProxyCommand={path_of('nc')} -X 5 -x {OUTSIDE}:{proxy} %h %p"
    forward = f"127.0.0.1:{door}:127.0.0.1:{inner}"
    words = " ".join(f"'{word}'" for word in ("ssh", "-N", "-o", by, "-R", forward, *stage.ssh))
    stage.shell(f"until {words}; do sleep 0.3; done")
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def redis_worker(stage: Stage) -> None:
    """A worker that waits at a Redis outside for prompts and has a local web server answer them."""
    redis, model = stage.port(), stage.port()
    words = ("--port", str(redis), "--bind", OUTSIDE, "--save", "", "--protected-mode", "no")
    stage.far(path_of("redis-server"), *words)
    stage.job_talk("http", "127.0.0.1", str(model))
    given = {"redis": redis, "host": OUTSIDE, "model": model, "seed": stage.seed}
    stage.far(PYTHON, "-I", stage.file("feed.py", _REDIS.format(**given) + _FEED))
    stage.job_later(PYTHON, "-I", stage.file("work.py", _REDIS.format(**given) + _WORK))


_REDIS = """
import os, random, socket, time

rng, model = random.Random({seed}), {model}
while True:
    try:
        store = socket.create_connection(("{host}", {redis})).makefile("rwb")
        break
    except OSError:
        time.sleep(0.2)


def ask(*words):
    parts = [b"$%d\\r\\n%s\\r\\n" % (len(word), word) for word in words]
    store.write(b"*%d\\r\\n%s" % (len(words), b"".join(parts)))
    store.flush()
    return answer()


def answer():
    line = store.readline()
    if line[:1] == b"*":
        return [answer() for _ in range(int(line[1:]))]
    if line[:1] == b"$":
        return store.read(int(line[1:]) + 2)[:-2]
    return line
"""

_FEED = """
while True:
    ask(b"RPUSH", b"prompts", bytes(rng.randrange(300, 12000)))
    time.sleep(rng.expovariate(1.5))
"""

_WORK = """
near = socket.create_connection(("127.0.0.1", model)).makefile("rwb")
while True:
    prompt = ask(b"BLPOP", b"prompts", b"0")[1]
    size = rng.randrange(300, 8000)
    near.write(b"POST /%d HTTP/1.1\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (size, len(prompt), prompt))
    near.flush()
    while near.readline().strip():
        pass
    text = near.read(size)
    ask(b"RPUSH", b"answers", text)
    with open(os.environ["GUARD_USES"], "ab") as uses:
        uses.write(b".")
"""

SITUATIONS = (
    Situation(localtunnel, BRIDGE, ("node", "lt.js", "pypi:python")),
    Situation(pagekite, BRIDGE, ("pagekite",)),
    Situation(dask_and_redis, NONE, ("pypi:dask", "redis-server")),
    Situation(mpi_and_uploads, NONE, ("mpirun", "rclone", "pypi:python")),
    Situation(ssh_reverse_through_socks, BRIDGE, ("microsocks", "nc")),
    Situation(redis_worker, NONE, ("redis-server",)),
)

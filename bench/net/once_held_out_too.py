"""Left out while the code was made, played when it was frozen, and known since: four more of them."""

from pathlib import Path

from bench.net.hosts import OUTSIDE, SSH_PORT, USER
from bench.net.programs import PYTHON, path_of
from bench.net.shape import BRIDGE, NONE, Situation
from bench.net.stage import Stage


def ssh_over_httptunnel(stage: Stage) -> None:
    """`ssh -R` to a port of httptunnel's on loopback: a PUT takes what goes out, a GET what comes in."""
    inner, near, up, door = stage.service(), stage.port(), stage.port(), stage.port()
    stage.far(path_of("hts"), "-w", "-F", f"127.0.0.1:{SSH_PORT}", str(up))
    # The size of a PUT: a new connection each time it is full.
    put, keep_s = stage.rng.choice(("100M", "100M", "256k")), stage.rng.randrange(2, 8)
    client = f"{path_of('htc')} -w -F {near} -c {put} -k {keep_s} {OUTSIDE}:{up}"
    forward = f"127.0.0.1:{door}:127.0.0.1:{inner}"
    to = ("-N", "-R", forward, *stage.options, "-p", str(near), f"{USER}@127.0.0.1")
    words = " ".join(f"'{word}'" for word in ("ssh", *to))
    stage.shell(f"until {client}; do sleep 0.3; done &\nuntil {words}; do sleep 0.3; done")
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def ssh2_forward(stage: Stage) -> None:
    """A remote forward by ssh2 in JavaScript: its own SSH, in one process of Node."""
    inner, door = stage.service(), stage.port()
    keep_ms = stage.rng.choice((0, 2000, 10_000))
    given = (path_of("npm:ssh2"), OUTSIDE, SSH_PORT, USER, stage.key, door, inner, keep_ms)
    stage.job_later(path_of("node"), stage.file("forward.js", _FORWARD), *map(str, given))
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


_FORWARD = """
const [library, host, port, username, key, door, inner, keep] = process.argv.slice(2);
const net = require('net');
const client = new (require(library).Client)();
const fail = (error) => { console.error(error); process.exit(1); };

client.on('error', fail);
client.on('ready', () => client.forwardIn('127.0.0.1', Number(door), (error) => error && fail(error)));
client.on('tcp connection', (_, accept) => {
  const far = accept();
  const near = net.connect(Number(inner), '127.0.0.1');
  near.on('error', () => far.end());
  far.on('error', () => near.destroy());
  far.pipe(near).pipe(far);
});
const privateKey = require('fs').readFileSync(key);
client.connect({ host, port: Number(port), username, privateKey, keepaliveInterval: Number(keep) });
"""


def nats_worker(stage: Stage) -> None:
    """A worker whom a NATS outside sends users' questions: a local model's server answers, it replies."""
    broker, model = stage.port(), stage.port()
    url = f"nats://{OUTSIDE}:{broker}"
    stage.far(path_of("nats-server"), "-a", OUTSIDE, "-p", str(broker))
    program = str(stage.folder / "questions.py")
    stage.job(PYTHON, "-I", program, "model", str(model), stage.seed)
    how = (stage.rng.choice(("whole", "streamed")), stage.rng.choice(("keep", "once")))
    stage.job_later(PYTHON, "-I", program, "work", url, str(model), *how)
    users = str(stage.rng.randrange(1, 4))
    stage.far(PYTHON, "-I", program, "ask", url, stage.seed, users)


def dumps_by_borg(stage: Stage) -> None:
    """PostgreSQL on loopback, dumped by a pipe to Borg, which stores it outside by SSH, and put back."""
    rng, port = stage.rng, stage.port()
    store = stage.folder / "store"
    store.mkdir()
    store.chmod(0o777)
    steps = (
        f"{rng.choice((1, 1, 2))} {rng.randrange(100, 30_000)} {rng.expovariate(1):.2f}" for _ in range(60)
    )
    words = {
        "base": stage.folder / "borg",
        "rsh": " ".join(("ssh", *stage.options)),
        "repo": f"ssh://{USER}@{OUTSIDE}:{SSH_PORT}{store}/repo",
        "encryption": rng.choice(("none", "repokey", "authenticated")),
        "compression": rng.choice(("none", "lz4", "zstd,3")),
        "bin": Path(path_of("initdb")).parent,
        "port": port,
        "user": stage.account,
        "steps": " ".join(f"'{step}'" for step in steps),
    }
    stage.shell(_DUMPS.format(**words))


_DUMPS = """
export BORG_BASE_DIR='{base}' BORG_RSH='{rsh}' BORG_REPO='{repo}' BORG_PASSPHRASE=x
export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes PGHOST=127.0.0.1 PGPORT={port} PGUSER={user}
'{bin}/initdb' -A trust -U {user} --no-sync --no-instructions -D db
'{bin}/postgres' -D db -F -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c shared_buffers=16MB &
borg init -e {encryption}
until psql -q -d postgres -c 'CREATE DATABASE lab' -c 'CREATE DATABASE again'; do sleep 0.2; done
psql -q -d lab -c 'CREATE TABLE runs (id serial, step int, loss float8, note text)'
k=0
for step in {steps}; do
    set -- $step
    psql -q -d lab -c "INSERT INTO runs (step, loss, note)
        SELECT n, random(), md5(random()::text) FROM generate_series(1, $2) AS n"
    if [ $1 = 1 ] || [ $k = 0 ]; then
        k=$((k + 1))
        pg_dump -d lab | borg create -C {compression} --stdin-name lab.sql "::lab$k" - && used
    else
        psql -q -d again -c 'DROP TABLE IF EXISTS runs'
        borg extract --stdout "::lab$k" | psql -q -d again && psql -q -d again -c 'TABLE runs LIMIT 1' && used
    fi
    sleep $3
done
"""

SITUATIONS = (
    Situation(ssh_over_httptunnel, BRIDGE, ("hts", "htc")),
    Situation(ssh2_forward, BRIDGE, ("node", "npm:ssh2")),
    Situation(nats_worker, NONE, ("nats-server", "pypi:python")),
    Situation(dumps_by_borg, NONE, ("borg", "initdb", "psql", "pg_dump")),
)

"""What the night's jobs say to whom: rendezvous, storage, a logger, a notebook, and a tunnel.

Places are invented: 198.51.100.0/24 and 203.0.113.0/24 stand for the world outside (RFC 5737),
10.20.0.0/16 for the cluster.
"""

from slurm_guard.simulate.cast import Cast, H
from slurm_guard.simulate.network import Line, Spell, through
from slurm_guard.simulate.scene import Job, seeded

_PYTHON = "/usr/bin/python3.11"
_LOGIN = "10.20.0.2"
# What the simulated site allows: its object store and metrics service, and editors that go by its relay.
EGRESS = ("198.51.100.0/24:443",)
TUNNELS = ("203.0.113.80/32:443",)


def _address(node: str) -> str:
    return f"10.20.1.{int(node.removeprefix('gpu'))}"


def rendezvous(cast: Cast, job: Job) -> None:
    """Every rank speaks to the first one for as long as the job runs; so do ranks to their neighbours."""
    rng = seeded(cast.seed, job.name, "rendezvous")
    ranks = [proc for proc in job.procs if proc.gpus and proc.parents[0] == "torchrun"]
    first = ranks[0]
    for k, rank in enumerate(ranks):
        near = _address(rank.node) if rank.node != first.node else "127.0.0.1"
        far = _address(first.node) if rank.node != first.node else "127.0.0.1"
        steady = (Spell(rank.start_s + 5, job.end_s - 1, rng.uniform(200, 400), rng.uniform(200, 400)),)
        ends = (f"{near}:{40_000 + k}", f"{far}:29500")
        job.lines.append(
            Line(rank.node, rank.pid, _PYTHON, *ends, True, rank.start_s + 5, job.end_s - 1, steady)
        )
        accepted = (Spell(steady[0].from_s, steady[0].until_s, steady[0].out_b_s, steady[0].in_b_s),)
        job.lines.append(
            Line(
                first.node, first.pid, _PYTHON, *ends[::-1], False, rank.start_s + 5, job.end_s - 1, accepted
            )
        )


def storage(cast: Cast, job: Job) -> None:
    """Checkpoints go to an object store outside, a connection each."""
    rng = seeded(cast.seed, job.name, "storage")
    rank = job.procs[0]
    for k in range(int(job.run_s / 600)):
        begin_s = job.start_s + 600.0 * (k + 0.8) + rng.uniform(0, 60)
        until_s = min(begin_s + rng.uniform(20, 70), job.end_s - 1)
        sent = (Spell(begin_s, until_s, 9e3, rng.uniform(4e7, 9e7)),)
        ends = (f"{_address(rank.node)}:{43_000 + k}", f"198.51.100.{10 + k % 5}:443")
        job.lines.append(Line(rank.node, rank.pid, _PYTHON, *ends, True, begin_s, until_s, sent, rtt_us=9000))


def logger(cast: Cast, job: Job) -> None:
    """A service of the trainer's that takes its metrics out: far more out than in."""
    rng = seeded(cast.seed, job.name, "logger")
    rank = job.procs[0]
    pid = cast.helper(job, rank.node, "/opt/env/bin/wandb-core", "wandb-core --port-filename p", (0.01, 99.0))
    long = (job.start_s + 40, job.end_s - 2)
    port = 33_000 + rng.randrange(900)
    ends = (f"127.0.0.1:{port + 3000}", f"127.0.0.1:{port}")
    told = (Spell(*long, rng.uniform(30, 60), rng.uniform(900, 2000)),)
    job.lines.append(Line(rank.node, rank.pid, _PYTHON, *ends, True, *long, told))
    outer = Line(
        rank.node, pid, "/opt/env/bin/wandb-core", f"{_address(rank.node)}:{port + 9000}",
        "198.51.100.77:443", True, *long, rtt_us=21_000,
    )  # fmt: skip
    job.tunnels.append(through(outer, (ends[1], ends[0], False), told))


def notebook(cast: Cast, job: Job) -> None:
    """Its user's browser comes by the login node; the server hands on to the kernel."""
    rng = seeded(cast.seed, job.name, "notebook")
    node = job.procs[0].node
    pid = cast.helper(job, node, _PYTHON, "jupyter-lab", (0.0, 99.0))
    long = (job.start_s + 60, job.start_s + 1500)
    spells = (Spell(*long, 900.0, 24_000.0),)
    outer = Line(
        node, pid, _PYTHON, f"{_address(node)}:8888", f"{_LOGIN}:{51_000 + rng.randrange(999)}", False, *long
    )
    job.tunnels.append(through(outer, ("127.0.0.1:46000", "127.0.0.1:46101", True), spells))


def editor(cast: Cast, job: Job) -> None:
    """Its user's editor comes by a relay outside that the site allows: the shape of a reverse tunnel."""
    rng = seeded(cast.seed, job.name, "editor")
    node, exe = job.procs[0].node, "/usr/share/code/bin/code-tunnel"
    pid = cast.helper(job, node, exe, "code-tunnel tunnel --accept-server-license-terms", (0.1, 99.0))
    long = (job.start_s + 240, job.end_s - 2)
    used = tuple(
        Spell(begin_s, begin_s + 420, rng.uniform(900, 2500), rng.uniform(9e3, 6e4))
        for begin_s in (long[0] + 60, long[0] + 900, long[0] + 2400)
    )
    ends = (f"{_address(node)}:{35_000 + rng.randrange(999)}", "203.0.113.80:443")
    outer = Line(node, pid, exe, *ends, True, *long, rtt_us=24_000)
    job.tunnels.append(
        through(outer, (f"127.0.0.1:{47_000 + rng.randrange(99)}", "127.0.0.1:8000", True), used)
    )


def reverse_tunnel(
    cast: Cast, job: Job, held: tuple[float, float], used: tuple[tuple[float, float], ...]
) -> None:
    """A program of an ordinary name opens a line outwards, and whoever is there logs in by it. Job hours."""
    rng = seeded(cast.seed, job.name, "tunnel")
    node = job.procs[0].node
    exe = f"/home/{job.user}/.local/bin/notify"
    pid = cast.helper(job, node, exe, "notify -c ~/.config/notify.toml", held)
    spells = tuple(
        Spell(job.start_s + a * H, job.start_s + b * H, rng.uniform(60, 400), rng.uniform(900, 9000))
        for a, b in used
    )
    outer = Line(
        node, pid, exe, f"{_address(node)}:{38_000 + rng.randrange(999)}", "203.0.113.57:443", True,
        job.start_s + held[0] * H, job.start_s + held[1] * H, rtt_us=31_000,
    )  # fmt: skip
    job.tunnels.append(
        through(outer, (f"127.0.0.1:{52_000 + rng.randrange(999)}", "127.0.0.1:22", True), spells)
    )

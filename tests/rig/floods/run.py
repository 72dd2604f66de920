"""Runs each flood on the first node of a real cluster, beside another user's honest job, and judges it."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from slurm_guard.document import from_json
from slurm_guard.model import Audit
from tests.rig import procs, stages
from tests.rig.faults.evidence import Row, read_rows, read_seals, read_segments, read_windows, said_by, seen_s
from tests.rig.floods.table import Flood
from tests.rig.floods.watch import Cost, Watch
from tests.rig.jobs import drained_nodes
from tests.rig.layout import NODES, USERS, WORKLOADS, Rig, RigError
from tests.rig.submit import submit
from tests.rig.workloads.witness import last_line

SECONDS = 45.0
_NODE = NODES[0].name
_HERE = Path(__file__).resolve().parent
_STEPS, _SEED = 120, 7
_MOST_KIB = 8 * 1024  # of a flood's segments: judgement; a minute of an honest job takes 10 KiB
_MOST_CPU_PCT, _MOST_PSS_MIB, _MOST_LOOK_S = 40.0, 64.0, 2.5  # judgement: never a job's core, nor its memory
_LEAST_SEEN = 0.85  # of the honest job's GPU-seconds
_MOST_HOOK_S = 2.5  # a hook gives up after 2 s
_TIMED = """#!/bin/sh
# The site's own {hook}: how long ours takes.
read -r begin _ </proc/uptime
{libexec}/real/slurm-guard-{hook}
status=$?
read -r end _ </proc/uptime
echo "{hook} $SLURM_JOB_ID $begin $end" >>{root}/log/hooks.times
exit $status
"""


class Outcome(NamedTuple):
    """One flood as it went."""

    flood: Flood
    cost: Cost
    hooks_s: list[float]
    kib: float  # of the flood's own segments
    n_windows: int
    told: dict[str, int]  # events and marks by name
    seen: float  # share of the honest job's GPU-seconds with readings
    status: str
    said: list[str]  # by the flood itself
    problems: list[str]
    jobs: tuple[int, ...]


def install(rig: Rig) -> Path:
    """The hooks below a clock, and the flood's program; its path."""
    libexec = rig.path / "libexec"
    (libexec / "real").mkdir(exist_ok=True)
    for hook in ("prolog", "epilog"):
        path = libexec / f"slurm-guard-{hook}"
        shutil.move(path, libexec / "real" / path.name)
        path.write_text(_TIMED.format(hook=hook, libexec=libexec, root=rig.root), "utf-8")
        path.chmod(0o755)
    shutil.copy(libexec / "slurm-guard-hooks.conf", libexec / "real")
    program = rig.path / "flood"
    subprocess.run(["gcc", "-O2", "-o", program, _HERE / "flood.c", "-lpthread"], check=True)
    return program


def run_flood(rig: Rig, flood: Flood, program: Path) -> Outcome:
    """The witness, then the flood, then jobs of a moment while it lasts."""
    since_at = time.time()
    words = ["--seed", str(_SEED), "--steps", str(_STEPS)]
    script = str(_HERE.parent / "faults" / "witness.sbatch")
    witness = submit(rig, script, USERS[1], words, {}, ["-w", _NODE, "--gres=gpu:1"])
    procs.wait_for("the sampler", lambda: _sampler(rig) is not None, 30.0)
    time.sleep(5.0)
    pid = _sampler(rig)
    if pid is None:
        raise RigError("no sampler")
    watch = Watch(pid)
    watch.start()
    argv = [str(program), flood.words[0], str(SECONDS), *flood.words[1:]]
    env = {"FLOOD_DEVICE": f"{rig.root}/dev/nvidia0"}
    job = submit(rig, str(_HERE / "flood.sbatch"), USERS[0], argv, env, ["-w", _NODE])
    jobs = [witness, job]
    for _ in range(4):
        time.sleep(SECONDS / 5)
        script = str(WORKLOADS / "moment.sh")
        jobs.append(submit(rig, script, USERS[1], ["1"], {}, ["-w", _NODE, "--gres=gpu:1"]))
    status = _status(rig)
    _wait_over(rig)
    watch.over.set()
    watch.join()
    _wait_sealed(rig, jobs)
    outcome = _judge(rig, flood, watch, jobs, status, since_at)
    procs.end([pid])  # the next flood's prolog starts another, whose memory is not this one's
    return outcome


def _sampler(rig: Rig) -> int | None:
    """The pid of the node's living sampler."""
    try:
        pid, ticks = (rig.path / "run" / _NODE / "sampler.pid").read_text("ascii").split()
    except (OSError, ValueError):
        return None
    return int(pid) if procs.start_ticks(int(pid)) == int(ticks) else None


def _status(rig: Rig) -> str:
    """`slurm-guard node status` of the node, as an admin sees it."""
    argv = [str(Path(rig.python).parent / "slurm-guard"), "node", "status", "--config", str(rig.guard_toml)]
    done = subprocess.run(
        [*argv, "--node", _NODE],
        env=procs.base_env(rig),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    return f"{done.stdout}{done.stderr}".strip()


def _wait_over(rig: Rig) -> None:
    until = time.monotonic() + 180.0
    while procs.call(rig, ["squeue", "-h", "-o", "%i"], 120.0).strip():
        if time.monotonic() > until or drained_nodes(rig):
            return
        time.sleep(1.0)


def _wait_sealed(rig: Rig, jobs: list[int]) -> None:
    until = time.monotonic() + 60.0
    while time.monotonic() < until and not all(read_seals(rig, _NODE, job) for job in jobs):
        time.sleep(1.0)


def _judge(rig: Rig, flood: Flood, watch: Watch, jobs: list[int], status: str, since_at: float) -> Outcome:
    rows = read_rows(rig, set(jobs))
    cost = watch.cost()
    told = _told(rig, jobs[1], since_at)
    hooks_s = _hooks_s(rig, jobs)
    kib = sum(path.stat().st_size for path in _segments(rig, jobs[1])) / 1024
    witness = rows.get(jobs[0], [])
    charged_s = sum(row.elapsed_s * row.n_gpus for row in witness)
    seen = seen_s(read_windows(rig, _NODE, jobs[0])) / charged_s if charged_s else 0.0
    checks = {
        f"jobs ended as {_states(rows)}": any(
            row.state != "COMPLETED" for found in rows.values() for row in found
        )
        or len(rows) != len(jobs),
        "the honest job's last line is another": said_by(rig, USERS[1], jobs[0])[-1:]
        != [last_line(_SEED, _STEPS)],
        f"drained: {drained_nodes(rig)}": bool(drained_nodes(rig)),
        "the sampler ended": watch.died or _sampler(rig) != watch.pid,
        "no seal of a job": not all(read_seals(rig, _NODE, job) for job in jobs),
        f"{kib:.0f} KiB of one job": kib > _MOST_KIB,
        f"a hook took {max(hooks_s, default=9):.2f} s": max(hooks_s, default=9.0) > _MOST_HOOK_S,
        f"{len(hooks_s)} hooks of {2 * len(jobs)}": len(hooks_s) != 2 * len(jobs),
        f"only {seen:.0%} of the honest job seen": seen < _LEAST_SEEN,
        f"none of {flood.told} told": bool(flood.told) and not any(name in told for name in flood.told),
        f"{told.get('sampler-error', 0)} sampler-error": "sampler-error" in told,
        f"CPU {cost.cpu_pct:.0f} %": cost.cpu_pct > _MOST_CPU_PCT,
        f"PSS {cost.pss_mib:.0f} MiB": cost.pss_mib > _MOST_PSS_MIB,
        f"a look of {cost.longest_cpu_s:.2f} s": cost.longest_cpu_s > _MOST_LOOK_S,
    }
    n_windows = len(read_windows(rig, _NODE, jobs[1]))
    problems = [words for words, bad in checks.items() if bad]
    said = said_by(rig, USERS[0], jobs[1])[:20]
    return Outcome(flood, cost, hooks_s, kib, n_windows, told, seen, status, said, problems, tuple(jobs))


def _states(rows: dict[int, list[Row]]) -> str:
    return " ".join(f"{row.state} {row.exit_code}" for found in rows.values() for row in found)


def _segments(rig: Rig, job: int) -> list[Path]:
    spool = rig.path / "spool" / _NODE
    return [path for place in ("open", "sealed") for path in (spool / place).glob(f"{rig.cluster}_{job}_*")]


def _hooks_s(rig: Rig, jobs: list[int]) -> list[float]:
    text = (rig.path / "log" / "hooks.times").read_text("utf-8")
    cells = [line.split() for line in text.splitlines()]
    return [float(end) - float(begin) for _, job, begin, end in cells if int(job) in jobs]


def _told(rig: Rig, job: int, since_at: float) -> dict[str, int]:
    """Names of events since then, and marks in the windows of the flood's run."""
    told: dict[str, int] = {}
    records = [*read_segments(rig.path / "spool" / _NODE, "*.jsonl")]
    for record in records:
        if record.get("k") == "event" and record["at"] >= since_at:
            told[record["name"]] = told.get(record["name"], 0) + 1
    for window in read_windows(rig, _NODE, job):
        if window.get("held_truncated"):
            told["held-truncated"] = told.get("held-truncated", 0) + 1
    mine = list(read_segments(rig.path / "spool" / _NODE, f"{rig.cluster}_{job}_*.jsonl"))
    told["process records"] = sum(r.get("k") == "process" for r in mine)
    listeners = {r["pid"] for r in mine if r.get("k") == "flow" and r.get("state") == "LISTEN"}
    if len(listeners) >= 20:
        told["20 listeners"] = len(listeners)
    if sum(r["n_addresses"] for r in mine if r.get("k") == "brief") >= 10_000:
        told["10,000 addresses counted"] = sum(r["n"] for r in mine if r.get("k") == "brief")
    told["flow records"] = sum(r.get("k") == "flow" for r in mine)
    return told


def audit(rig: Rig, since_at: float) -> Audit:
    """collect and audit of all floods, as the auditor."""
    stages.run_guard(rig, ["collect"])
    document = rig.path / "reports" / "floods.json"
    window = ["--since", f"{since_at:.3f}", "--until", f"{time.time():.3f}"]
    stages.run_guard(rig, ["audit", *window, "-o", str(document)])
    return from_json(document.read_text("utf-8"))


def as_json(outcome: Outcome) -> str:
    """For a machine."""
    body: dict[str, Any] = {**outcome._asdict(), "flood": outcome.flood.name, "cost": outcome.cost._asdict()}
    return json.dumps(body)

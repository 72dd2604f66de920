"""Many jobs of a moment, several on a node at once: none loses its papers or gets another's windows."""

import json
import random
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.rig import cluster, procs, users
from tests.rig.faults.evidence import Row, read_rows, read_segments
from tests.rig.faults.inject import Watch
from tests.rig.faults.site import Site, install
from tests.rig.guardconf import make_config
from tests.rig.jobs import drained_nodes
from tests.rig.layout import NODES, USERS, Rig, RigError
from tests.rig.submit import job_env

_SCRIPT = Path(__file__).resolve().parent / "workloads" / "moment.sh"
_ARRAY = 10  # tasks of one array
# Judgement: of 100 runs 60 are tasks of arrays, 10 halves of het jobs, 12 have two GPUs, others stand alone.
_SHARES = (("array", 60), ("het", 10), ("two", 12))
_TIDY_STEP_S = 3700.0  # beyond the hour for which the run folder keeps tickets (sampler/runs.py)
_SLACK_S = 0.05  # of a wall clock that is read twice


class Papers(NamedTuple):
    """A run as the hooks wrote it down."""

    run: str
    job: int
    node: str
    gpus: frozenset[str]  # UUIDs
    begun_at: float
    ended_at: float | None


def run_storm(folder: Path, n_jobs: int, seed: int, proctrack: str, keep: bool = False) -> list[str]:
    """All jobs on a rig of their own; everything that is not as it must be."""
    begun = time.monotonic()
    try:
        rig = cluster.up(folder, proctrack, "rig", seed)
        sites = install(rig, tuple(node.name for node in NODES))
        _say(begun, f"rig up in {rig.root}, proctrack/{rig.proctrack}")
        first = time.monotonic()
        jobs = _submit_all(rig, n_jobs, random.Random(f"storm {seed}"))
        _say(begun, f"{n_jobs} runs submitted in {len(jobs)} calls")
        _wait_over(rig, n_jobs)
        took_s = time.monotonic() - first
        _say(begun, f"all over: {n_jobs / took_s:.1f} runs a second")
        rows = [row for rows in read_rows(rig, set(_all_ids(rig))).values() for row in rows]
        faults = [f"out of service: {line}" for line in drained_nodes(rig)]
        faults += _outcomes(rows, n_jobs) + _papers(rig, rows, begun)
        papers = [one for node in NODES for one in read_papers(rig, node.name)]
        faults += _windows(rig, papers)
        faults += _tidy(rig, sites, begun)
    finally:
        if not keep:
            cluster.down(folder)
    _report(faults, len(rows), time.monotonic() - begun)
    return faults


def _say(begun: float, words: str) -> None:
    print(f"{time.monotonic() - begun:6.1f} s  {words}", flush=True)


# -- jobs


def _submit_all(rig: Rig, n_jobs: int, draw: random.Random) -> list[int]:
    """Arrays, het jobs, pairs and singles by two users, in drawn order."""
    n = {kind: n_jobs * share // 100 for kind, share in _SHARES}
    calls = [
        [f"--array=1-{min(_ARRAY, n['array'] - i)}", "--gres=gpu:1"] for i in range(0, n["array"], _ARRAY)
    ]
    calls += [["--gres=gpu:1", ":", "--gres=gpu:1"]] * (n["het"] // 2)
    calls += [["--gres=gpu:2"]] * n["two"]
    n_single = n_jobs - n["array"] - n["het"] // 2 * 2 - n["two"]
    calls += [["--gres=gpu:1"]] * n_single
    draw.shuffle(calls)
    return [_submit(rig, USERS[i % 2], words, draw) for i, words in enumerate(calls)]


def _submit(rig: Rig, user: str, words: list[str], draw: random.Random) -> int:
    argv = [*users.as_user(user), "sbatch", "--parsable", "--job-name=moment", f"--chdir={rig.home(user)}"]
    argv += [*words, str(_SCRIPT), str(draw.randint(1, 3))]
    done = subprocess.run(
        argv, env=job_env(rig, user), cwd="/", capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise RigError(f"sbatch {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return int(done.stdout.split(";")[0].split("+")[0])


def _wait_over(rig: Rig, n_jobs: int) -> None:
    """Until Slurm has none of them left; a node that is drained ends the waiting at once."""
    until = time.monotonic() + 120 + 4.0 * n_jobs
    while procs.call(rig, ["squeue", "-h", "-o", "%i"], 120.0).strip():
        drained = drained_nodes(rig)
        if drained or time.monotonic() > until:
            raise RigError(f"the storm does not end: {drained or 'time is over'}")
        time.sleep(2.0)


def _all_ids(rig: Rig) -> list[int]:
    """Raw ids of all jobs that accounting knows of this rig."""
    argv = ["sacct", "-a", "-D", "-X", "-n", "-P", "-S", "now-1days", "-o", "JobIDRaw"]
    return [int(word) for word in procs.call(rig, argv, 120.0).split() if word.isdigit()]


def _outcomes(rows: Iterable[Row], n_jobs: int) -> list[str]:
    states = Counter(f"{row.state} {row.exit_code}" for row in rows if row.n_gpus)
    faults = [f"{n} runs ended as {state}" for state, n in states.items() if state != "COMPLETED 0:0"]
    if sum(states.values()) != n_jobs:
        faults.append(f"accounting has {sum(states.values())} runs of {n_jobs}")
    return faults


# -- papers


def read_papers(rig: Rig, node: str) -> list[Papers]:
    """Every ticket of the node with the end mark that names it."""
    spool = rig.path / "spool" / node
    order = (rig.gpu_dir(node) / "ready").read_text("ascii").split()
    ends = {mark["run"]: float(mark["at"]) for mark in _json_files(spool / "ends")}
    return [
        Papers(
            ticket["run"], ticket["job_id"], node,
            frozenset(order[i] for i in ticket["gpus"] or []), ticket["at"], ends.get(ticket["run"]),
        )
        for ticket in _json_files(spool / "tickets")
    ]  # fmt: skip


def _json_files(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def _papers(rig: Rig, rows: Iterable[Row], begun: float) -> list[str]:
    """Exactly one ticket, one end mark and one seal for each run that accounting knows."""
    wanted = Counter((row.node, row.job) for row in rows if row.n_gpus)
    until = time.monotonic() + 60.0
    while True:
        faults = []
        for kind, place in (("tickets", 1), ("ends", 0), ("seals", 1)):
            found = Counter(
                (node.name, int(path.stem.split("_")[place]))
                for node in NODES
                for path in (rig.path / "spool" / node.name / kind).glob("*.json")
            )
            wrong = {key: found[key] for key in wanted | found if found[key] != wanted[key]}
            if wrong:
                some = ", ".join(f"{node} job {job}: {n}" for (node, job), n in sorted(wrong.items())[:5])
                faults.append(f"{kind}: {len(wrong)} runs without exactly one ({some})")
        if not faults or time.monotonic() > until:
            _say(begun, f"papers of {sum(wanted.values())} runs looked at")
            return faults
        time.sleep(1.0)


# -- windows


def _windows(rig: Rig, papers: list[Papers]) -> list[str]:
    """No window of one run reaches into another's time on the same GPU, or names its processes."""
    most_s = make_config(rig).node.sample_interval_s + _SLACK_S
    by_gpu: dict[str, list[Papers]] = defaultdict(list)
    for one in papers:
        for gpu in one.gpus:
            by_gpu[gpu].append(one)
    owners = _owners(rig)
    faults, n, worst_s = [], 0, 0.0
    for node in NODES:
        for record in read_segments(rig.path / "spool" / node.name, "*.jsonl"):
            if record.get("k") != "window" or record["run"] is None:
                continue
            n += 1
            for other in by_gpu[record["gpu"]]:
                over_s = _overlap_s(record, other)
                worst_s = max(worst_s, over_s)
                if over_s > most_s:
                    faults.append(f"a window of {record['run']} holds {over_s:.2f} s of {other.run}")
            faults += _foreign(record, owners)
    print(f"          {n} windows of runs; most of another's time in one: {worst_s:.3f} s")
    return faults if n else [*faults, "there are no windows of any run"]


def _overlap_s(window: dict[str, Any], other: Papers) -> float:
    """Seconds of the window in which another run held its GPU."""
    if window["run"] == other.run or other.ended_at is None:
        return 0.0
    start_at, end_at = float(window["start_at"]), float(window["end_at"])
    return max(0.0, min(end_at, other.ended_at) - max(start_at, other.begun_at))


def _foreign(window: dict[str, Any], owners: dict[tuple[int, int], int]) -> list[str]:
    """Process shares that belong to another job by the jobs' own word."""
    job = int(window["run"].split("/")[1])
    faults = []
    for share in window["procs"]:
        owner = owners.get((share["pid"], share["start_ticks"]))
        if share["run"] not in (None, window["run"]) or (owner is not None and owner != job):
            words = f"process {share['pid']} of job {owner}, called {share['run']}, with {share['sm_ms']} ms"
            faults.append(f"a window of {window['run']} names {words}")
    return faults


def _owners(rig: Rig) -> dict[tuple[int, int], int]:
    """(pid, start ticks) -> job: each job's script printed its own."""
    found = {}
    for user in USERS:
        for path in rig.home(user).glob("slurm-*.out"):
            for line in path.read_text("utf-8", "replace").splitlines():
                words = line.split()
                if words[:1] == ["process"]:
                    found[int(words[1]), int(words[2])] = int(words[4])
    return found


# -- the run folder


def _tidy(rig: Rig, sites: dict[str, Site], begun: float) -> list[str]:
    """An hour later (by the sampler's clock, set forward) the run folder has no ticket and no mark left."""
    for node, site in sites.items():
        if Watch(rig, node).pid() is None:
            return [f"{node}: no sampler lives after the storm"]
        site.sampler.set(clock_us=int(_TIDY_STEP_S * 1e6))

    def left() -> list[Path]:
        return [path for node in sites for kind in ("tickets", "ends")
                for path in (rig.path / "run" / node / kind).glob("*.json")]  # fmt: skip

    n_before = len(left())
    try:
        procs.wait_for("an empty run folder", lambda: not left(), 90.0, 1.0)
    except RigError:
        pass
    n_left = len(left())
    _say(begun, f"run folders: {n_before} files, {n_left} an hour later")
    return [f"{n_left} of {n_before} files are left in the run folders after tidying"] if n_left else []


def _report(faults: list[str], n_runs: int, wall_s: float) -> None:
    for fault in faults[:20]:
        print(f"NOT AS EXPECTED  {fault}")
    if len(faults) > 20:
        print(f"… and {len(faults) - 20} more")
    print(f"{n_runs} runs in {wall_s:.0f} s: {'as expected' if not faults else f'{len(faults)} faults'}")

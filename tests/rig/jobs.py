"""A night's jobs while they live: where Slurm put them, when all is over, what accounting says."""

import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.rig import procs
from tests.rig.layout import NODES, Rig, RigError

_ON = re.compile(r"^\s*Nodes=(\S+) .*GRES=gpu:[^ (]*\(IDX:([0-9,-]+)\)", re.MULTILINE)


class Place(NamedTuple):
    """A job's node and its GPUs by NVML index."""

    node: str
    gpus: tuple[int, ...]


class Charge(NamedTuple):
    """What accounting says: the judge's own reading, apart from the audit's."""

    state: str
    start_at: int
    end_at: int
    n_gpus: int
    elapsed_s: int


def wait_for_jobs(rig: Rig, jobs: Iterable[int], limit_s: float) -> dict[int, Place]:
    """Until all have ended; where each ran. RigError when one does not end, or never ran on a GPU."""
    wanted, places = set(jobs), dict[int, Place]()
    until = time.monotonic() + limit_s
    while True:
        text = procs.call(rig, ["squeue", "-h", "-t", "all", "-o", "%i %T"])
        states = dict(line.split()[:2] for line in text.splitlines())
        for job in wanted - set(places):
            place = _place_of(rig, job)
            if place is not None:
                places[job] = place
        alive = {job for job in wanted if states.get(str(job)) in ("PENDING", "RUNNING", "COMPLETING")}
        if not alive:
            break
        if time.monotonic() > until:
            raise RigError(f"jobs {sorted(alive)} did not end within {limit_s:.0f} s")
        time.sleep(2.0)
    if wanted - set(places):
        raise RigError(f"jobs {sorted(wanted - set(places))} never ran on a GPU")
    return places


def read_charges(rig: Rig, jobs: Iterable[int]) -> dict[int, Charge]:
    """Accounting's rows, asked for until slurmdbd has them all ended."""
    wanted = set(jobs)
    for _ in range(40):
        charges = _sacct(rig, wanted)
        if set(charges) == wanted:
            return charges
        time.sleep(0.5)
    raise RigError(f"accounting has no end of jobs {sorted(wanted - set(_sacct(rig, wanted)))}")


def wait_for_seals(rig: Rig, jobs: Iterable[int], quiet_at: float, limit_s: float) -> list[int]:
    """Until the samplers sealed every run and, on each node, a segment of its own that ends after `quiet_at`.

    Returns the jobs without a seal when the time is over; the audit says then what it did not see.
    """
    until = time.monotonic() + limit_s
    while True:
        open_jobs = [job for job in jobs if not list((rig.path / "spool").glob(f"*/seals/*_{job}_*.json"))]
        late = [node.name for node in NODES if _last_sealed_at(rig, node.name) < quiet_at]
        if (not open_jobs and not late) or time.monotonic() > until:
            return open_jobs
        time.sleep(1.0)


def wait_for_outlivers(rig: Rig, limit_s: float) -> float:
    """Until no process of a job is left on the rig; when that was."""
    procs.wait_for("processes that outlived their jobs", lambda: not _outlivers(rig), limit_s, 1.0)
    return time.time()


def drained_nodes(rig: Rig) -> list[str]:
    """Nodes that Slurm took out of service, with its reason; a hook that failed does that."""
    text = procs.call(rig, ["sinfo", "-hN", "-o", "%N %T %E"])
    return [line for line in text.splitlines() if "drain" in line.lower() or "down" in line.lower()]


def _place_of(rig: Rig, job: int) -> Place | None:
    try:
        match = _ON.search(procs.call(rig, ["scontrol", "show", "job", "-d", str(job)]))
    except RigError:
        return None
    if match is None:
        return None
    gpus: list[int] = []
    for part in match[2].split(","):
        first, _, last = part.partition("-")
        gpus += range(int(first), int(last or first) + 1)
    return Place(match[1], tuple(gpus))


def _sacct(rig: Rig, jobs: set[int]) -> dict[int, Charge]:
    fields = "JobIDRaw,State,Start,End,ElapsedRaw,AllocTRES"
    argv = ["sacct", "-a", "-D", "-X", "-n", "-P", "-j", ",".join(map(str, sorted(jobs))), "-o", fields]
    text = subprocess.run(
        argv,
        env={**procs.base_env(rig), "SLURM_TIME_FORMAT": "%s"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd="/",
    ).stdout
    found = {}
    for line in text.splitlines():
        job, state, start, end, elapsed, tres = line.split("|")
        count = re.search(r"gres/gpu=(\d+)", tres)
        if end.isdigit() and count is not None:
            found[int(job)] = Charge(state, int(start), int(end), int(count[1]), int(elapsed))
    return found


def _last_sealed_at(rig: Rig, node: str) -> float:
    files = (rig.path / "spool" / node / "sealed").glob("node_*.jsonl")
    return max((path.stat().st_mtime for path in files), default=0.0)


def _outlivers(rig: Rig) -> list[int]:
    mark = f"{procs.GPU_MARK}={rig.root}/".encode()
    found = []
    for pid in procs.sweep(rig):
        try:
            if mark in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found

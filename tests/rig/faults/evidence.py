"""What a fault left behind: windows, events, seals, syslog, rows of accounting. Reads, judges nothing."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.rig import procs
from tests.rig.layout import Rig


class Row(NamedTuple):
    """One run of a job by accounting; a requeued job has several."""

    job: int
    state: str
    exit_code: str
    start_at: int
    end_at: int
    elapsed_s: int
    node: str
    n_gpus: int


class Told(NamedTuple):
    """An event as the sampler wrote it, or a line of syslog."""

    at: float
    name: str  # of the event; empty: syslog
    run: str | None
    text: str


def read_rows(rig: Rig, jobs: set[int]) -> dict[int, list[Row]]:
    """All of accounting's rows of these jobs that have ended, oldest first."""
    if not jobs:
        return {}
    fields = "JobIDRaw,State,ExitCode,Start,End,ElapsedRaw,NodeList,AllocTRES"
    argv = ["sacct", "-a", "-D", "-X", "-n", "-P", "-j", ",".join(map(str, sorted(jobs))), "-o", fields]
    env = {**procs.base_env(rig), "SLURM_TIME_FORMAT": "%s"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=True, cwd="/")
    found: dict[int, list[Row]] = {}
    for line in done.stdout.splitlines():
        job, state, code, start, end, elapsed, node, tres = line.split("|")
        if end.isdigit() and start.isdigit():
            n_gpus = next((int(part[9:]) for part in tres.split(",") if part.startswith("gres/gpu=")), 0)
            row = Row(int(job), state.split()[0], code, int(start), int(end), int(elapsed), node, n_gpus)
            found.setdefault(row.job, []).append(row)
    return {job: sorted(rows, key=lambda row: row.start_at) for job, rows in found.items()}


def read_segments(spool: Path, pattern: str) -> Iterator[dict[str, Any]]:
    """Every whole record of the node's segments, sealed ones and open ones."""
    for folder in ("sealed", "open"):
        for path in sorted((spool / folder).glob(pattern)):
            with contextlib.suppress(OSError):
                for line in path.read_bytes().split(b"\n"):
                    with contextlib.suppress(ValueError):
                        yield json.loads(line)


def read_windows(rig: Rig, node: str, job: int) -> list[dict[str, Any]]:
    """All windows that name a run of this job."""
    return [
        record
        for record in read_segments(rig.path / "spool" / node, f"{rig.cluster}_{job}_*.jsonl")
        if record.get("k") == "window"
    ]


def seen_s(windows: list[dict[str, Any]]) -> float:
    """GPU-seconds of which at least one counter was read."""
    channels = ("energy_mj", "busy_ms", "power_mw", "sm_ms")
    known = [w for w in windows if any(w.get(name) is not None for name in channels)]
    return float(sum(w.get("covered_ms", 0) for w in known)) / 1000  # a flipped byte may stand in any name


def read_told(rig: Rig, node: str, since_at: float) -> list[Told]:
    """The node's events since then, whatever stream, and the lines of its syslog."""
    told = []
    for record in read_segments(rig.path / "spool" / node, "*.jsonl"):
        if record.get("k") == "event" and record["at"] >= since_at - 1:
            told.append(Told(record["at"], record["name"], record.get("run"), json.dumps(record["detail"])))
        elif record.get("k") == "window" and record.get("end_at", 0) >= since_at - 1 and record.get("why"):
            told.append(Told(record["end_at"], "why", record.get("run"), json.dumps(record["why"])))
    path = rig.path / "faults" / node / "syslog"
    if path.exists():
        for line in path.read_text("utf-8", "replace").splitlines():
            at, _, text = line.partition(" ")
            with contextlib.suppress(ValueError):
                if float(at) >= since_at:
                    told.append(Told(float(at), "", None, text))
    return told


def read_seals(rig: Rig, node: str, job: int) -> list[dict[str, Any]]:
    """The seals of the job's runs on the node."""
    seals = []
    for path in (rig.path / "spool" / node / "seals").glob(f"{rig.cluster}_{job}_*.json"):
        with contextlib.suppress(OSError, ValueError):
            seals.append(json.loads(path.read_text("utf-8")))
    return seals


def left_open(rig: Rig, node: str, job: int) -> list[str]:
    """Segments of the job that lie open."""
    return sorted(path.name for path in (rig.path / "spool" / node / "open").glob(f"{rig.cluster}_{job}_*"))


def said_by(rig: Rig, user: str, job: int) -> list[str]:
    """The job's own output, line by line."""
    try:
        return (rig.home(user) / f"slurm-{job}.out").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []

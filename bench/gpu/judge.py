"""The audit of a recorded night beside what truly ran: verdicts, bounds, and the true share of other work."""

import itertools
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from statistics import median
from typing import Any

from slurm_guard.document import from_json
from slurm_guard.model import Judgement

Row = dict[str, Any]
LEAST_STEPS = 20
_UNITS = {"cotenant-50": "products"}  # else hashing: of nights recorded before they told it themselves


def judge(folder: Path, out: Path | None = None) -> list[Row]:
    """A row a job of the night in `folder` (written by night.py). The audit's files go to `out`.

    `gained_pct`: what the other work would have taken of the allocation on a GPU of its own; `lost_pct`:
    what it cost the training in slower steps, switching included. The truth of "GPU time that progress does
    not explain" lies between them. Null: not known.
    """
    night = json.loads((folder / "night.json").read_text("utf-8"))
    out = out or folder / "judged"
    out.mkdir(exist_ok=True)
    with tarfile.open(folder / "night.tar.gz") as archive:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python from 3.11.4 on
        archive.extractall(out, **safe)  # type: ignore[arg-type]
    judged = _audit(folder, out, night["jobs"])
    rows = []
    for job in night["jobs"]:
        truth = _read_truth(out / "truth" / f"{job['job']}.jsonl")
        kind = job["unit"] if "unit" in job else _UNITS.get(job["name"], "hashing")
        unit_ms = 0.0 if kind is None else night["unit_ms"][kind]
        rows.append(_row(job, truth, unit_ms, judged.get(job["job"])))
    return rows


def _audit(folder: Path, out: Path, jobs: list[dict[str, Any]]) -> dict[int, Judgement]:
    lake, document = out / "lake", out / "audit.json"
    program, config = str(Path(sys.executable).with_name("slurm-guard")), out / "judge.toml"
    text = (out / "etc" / "guard.toml").read_text("utf-8")
    config.write_text(text + f'[lake]\npath = "{lake}"\nspools = ["{out}/spool"]\n', "utf-8")
    since, until = min(job["start_at"] for job in jobs) - 1, max(job["end_at"] for job in jobs) + 60
    window = ["--since", str(since), "--until", str(until), "--sacct-file", str(folder / "sacct.txt")]
    for words in (["collect"], ["audit", *window, "-o", str(document)]):
        subprocess.run([program, *words, "--config", str(config)], check=True, stdout=subprocess.DEVNULL)
    found = from_json(document.read_text("utf-8"))
    return {judgement.run.job_id: judgement for judgement in found.judgements}


def _read_truth(file: Path) -> list[dict[str, Any]]:
    """What ran, in order: `at`, `what`, `units`."""
    return [json.loads(line) for line in file.read_text("ascii").splitlines()] if file.exists() else []


def _row(job: dict[str, Any], truth: list[dict[str, Any]], unit_ms: float, found: Judgement | None) -> Row:
    allocated_s = job["end_at"] - job["start_at"]
    extra = [line for line in truth if line["what"] == "extra"]
    gained_s = sum(line["units"] for line in extra) * unit_ms / 1000
    steps = [line["at"] for line in truth if line["what"] == "step"]
    lost_s = _lost_s(steps, [line["at"] for line in extra])
    row: Row = {
        "job": job["name"],
        "allocated_s": allocated_s,
        "steps": len(steps),
        "gained_pct": round(100 * gained_s / allocated_s, 1),
        "lost_pct": None if lost_s is None else round(100 * lost_s / allocated_s, 1),
    }
    if found is None:
        return {
            **row,
            "verdict": "no such run",
            **dict.fromkeys(("low_pct", "mid_pct", "high_pct")),
            "checks": "",
        }
    parts = {
        "low": found.unexplained.lo_gpu_ms,
        "mid": found.unexplained.mid_gpu_ms,
        "high": found.unexplained.hi_gpu_ms,
    }
    shares = {f"{name}_pct": round(ms / allocated_s / 10, 1) for name, ms in parts.items()}
    checks = " ".join(finding.check for finding in found.findings)
    return {**row, "verdict": found.verdict.value, **shares, "checks": checks}


def _lost_s(steps: list[float], extra: list[float]) -> float | None:
    """Seconds by which the steps beside other work took longer than those without; null: nothing to
    compare."""
    if not extra:
        return 0.0
    took = list(zip(steps[1:], (b - a for a, b in itertools.pairwise(steps)), strict=True))
    beside = [long for at, long in took if extra[0] <= at <= extra[-1]]
    alone = [long for at, long in took if not extra[0] <= at <= extra[-1] + max(long, 0.5)]
    if len(alone) < LEAST_STEPS or len(beside) < LEAST_STEPS:
        return None
    return sum(beside) - len(beside) * median(alone)

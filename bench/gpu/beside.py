"""What the sampler costs a training, and how well a neighbour shows in what the sampler reads."""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.gpu.figures import spread
from slurm_guard.sampler.nvml import NvmlReader
from slurm_guard.sampler.reading import GpuReading

Row = dict[str, Any]
DUTIES = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
RATES_HZ = (0.0, 1.0, 10.0)
WARM = 5  # steps left out at the begin of each run


def has_torch() -> str | None:
    """Null where PyTorch can use a GPU, else why not."""
    probe = "import torch; torch.zeros(1).cuda()"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    return None if run.returncode == 0 else (run.stderr.strip().splitlines() or ["no reason given"])[-1]


def slowdown(seconds: float, rounds: int) -> list[Row]:
    """Step time of the same loop with the reader at 0, 1 and 10 Hz, in turn, so that drift hits all alike."""
    steps: dict[float, list[float]] = {rate: [] for rate in RATES_HZ}
    for _ in range(rounds):
        for rate in RATES_HZ:
            steps[rate].append(median(_training(seconds, rate)))
    base = steps[0.0]
    return [
        {
            "rate_hz": rate,
            **spread([1000 * s for s in found], "ms"),
            "over_none_pct": round(100 * (median(found) / median(base) - 1), 3),
            "spread_of_none_pct": round(100 * (max(base) / min(base) - 1), 3),
        }
        for rate, found in steps.items()
    ]


def _training(seconds: float, rate_hz: float) -> list[float]:
    """Seconds of each step; the reader runs in this process meanwhile."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.gpu.work", "train", str(seconds)], stdout=subprocess.PIPE, text=True
    )
    reader = NvmlReader()
    while child.poll() is None:
        if rate_hz > 0:
            for gpu in reader.gpus():
                reader.read(gpu)
        time.sleep(1 / rate_hz if rate_hz > 0 else 0.2)
    reader.close()
    assert child.stdout is not None
    return [float(line) for line in child.stdout.read().split()][WARM:]


def neighbour(seconds: float, traces: Path) -> list[Row]:
    """Training beside a second process of known duty: work per step, per-process times, and the readings."""
    rows = []
    for duty in DUTIES:
        readings, shares, steps = _watched(seconds, duty)
        (traces / f"neighbour-{int(100 * duty):03d}.jsonl").write_text(
            "".join(json.dumps(r._asdict()) + "\n" for r in readings), "utf-8"
        )
        first, last = readings[0], readings[-1]
        joules = None
        if first.energy_mj is not None and last.energy_mj is not None and steps:
            joules = round((last.energy_mj - first.energy_mj) / 1000 / len(steps), 3)
        rows.append(
            {
                "duty": duty,
                "steps": len(steps),
                "step_ms": round(1000 * median(steps), 3) if steps else None,
                "energy_per_step_j": joules,
                "sm_pct_of_processes": {str(pid): round(pct, 1) for pid, pct in shares.items()},
            }
        )
    return rows


def _watched(seconds: float, duty: float) -> tuple[list[GpuReading], dict[int, float], list[float]]:
    words = [sys.executable, "-m", "bench.gpu.work"]
    child = subprocess.Popen([*words, "train", str(seconds)], stdout=subprocess.PIPE, text=True)
    other = subprocess.Popen([*words, "neighbour", str(duty), str(seconds)]) if duty > 0 else None
    reader = NvmlReader()
    readings: list[GpuReading] = []
    told: dict[int, list[float]] = {}
    while child.poll() is None:
        for gpu in reader.gpus()[:1]:
            readings.append(reader.read(gpu))
            for proc in reader.processes(gpu) or []:
                if proc.sm_pct is not None:
                    told.setdefault(proc.pid, []).append(proc.sm_pct)
        time.sleep(1.0)
    if other is not None:
        other.kill()
        other.wait()
    reader.close()
    assert child.stdout is not None
    steps = [float(line) for line in child.stdout.read().split()][WARM:]
    return readings, {pid: sum(values) / len(values) for pid, values in told.items()}, steps

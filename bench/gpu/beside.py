"""What the sampler's readings cost a training that runs at the same time."""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.gpu import calls
from bench.gpu.figures import spread
from slurm_guard.sampler.nvml import NvmlReader

Row = dict[str, Any]
RATES_HZ = (0.0, 1.0, 10.0)
_BLOCK_S = 4.0
_SETTLE_S = 0.5  # at the begin of each block, left out
_WORK = Path(__file__).with_name("work.py")
_WARM_S = 6.0  # clocks and temperature settle


def has_torch() -> str | None:
    """Null where PyTorch can use a GPU, else why not."""
    probe = "import torch; torch.zeros(1).cuda()"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    return None if run.returncode == 0 else (run.stderr.strip().splitlines() or ["no reason given"])[-1]


def measure(rounds: int, poll_s: float) -> dict[str, list[Row]]:
    """One training, and while it runs: the calls' costs, the counters' moves, then blocks of readings at
    each rate in turn, so that drift hits all alike. `slowdown` has a row a rate, of the median step of each
    block."""
    seconds = _WARM_S + 2 * poll_s + 15 + rounds * len(RATES_HZ) * _BLOCK_S
    words = [sys.executable, str(_WORK), "train", "--bare", "--seconds", str(seconds)]
    child = subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert child.stdout is not None
    lines = [child.stdout.readline()]  # the first step is over: it trains
    time.sleep(_WARM_S)
    found = {"calls_under_load": calls.costs(), "counters_under_load": calls.counters(poll_s)}
    blocks = [(rate, *_block(rate)) for _ in range(rounds) for rate in RATES_HZ]
    child.terminate()
    lines += child.stdout.readlines()
    steps = [(float(line.split()[0]), float(line.split()[1])) for line in lines if len(line.split()) == 2]
    found["slowdown"] = _rows(steps, blocks)
    return found


def _block(rate_hz: float) -> tuple[float, float]:
    """Read as the sampler does for a block's time; (begin, end) on the clock of the steps."""
    reader = NvmlReader() if rate_hz > 0 else None
    if reader is not None:
        reader.gpus()
    begun_s = time.perf_counter()
    due_s = begun_s
    while time.perf_counter() - begun_s < _BLOCK_S:
        if reader is None:
            time.sleep(0.1)
            continue
        for gpu in reader.gpus():
            reader.read(gpu)
            reader.processes(gpu)
        due_s += 1 / rate_hz
        time.sleep(max(0.0, due_s - time.perf_counter()))
    ended_s = time.perf_counter()
    if reader is not None:
        reader.close()
    return begun_s + _SETTLE_S, ended_s


def _rows(steps: list[tuple[float, float]], blocks: list[tuple[float, float, float]]) -> list[Row]:
    """Per rate: medians of its blocks, and by how much each is above the block without readings of its
    round."""
    medians: dict[float, list[float]] = {rate: [] for rate in RATES_HZ}
    for rate, from_s, until_s in blocks:
        inside = [took for begun, took in steps if from_s <= begun and begun + took <= until_s]
        medians[rate].append(median(inside) if inside else float("nan"))
    base = medians[0.0]
    rows = []
    for rate, found in medians.items():
        over = [100 * (mine / other - 1) for mine, other in zip(found, base, strict=True)]
        rows.append(
            {
                "rate_hz": rate,
                "blocks": len(found),
                **spread([1000 * s for s in found], "ms"),
                "over_none_pct": round(median(over), 3),
                "least_over_pct": round(min(over), 3),
                "most_over_pct": round(max(over), 3),
                "spread_of_none_pct": round(100 * (max(base) / min(base) - 1), 3),
            }
        )
    return rows

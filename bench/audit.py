"""How long the audit of a night takes and what it keeps in memory, by the size of the cluster.

Nights of `slurm-guard simulate`; the command itself, with its documents, from start to end. `scan_s`: only
reading every column of every table of the same lake, which no audit can be faster than. The last row has the
exponent of time over GPUs (least squares of the logarithms). Lakes are made once and kept in `--folder`.
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from bench import _usage

_WINDOW = ("--since", "1760400000", "--until", "1760486400")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--gpus", type=_whole_nodes, nargs="+", default=[200, 400, 1000])
    parser.add_argument("--jobs-per-gpu", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=5, help="audits of each size")
    parser.add_argument("--processes", type=int, default=0, help="see [engine]; 0: one a CPU")
    parser.add_argument("--part-gpu-h", type=float, default=2500.0)
    parser.add_argument("--folder", type=Path, help="where the lakes are kept; else they are made anew")


def _whole_nodes(word: str) -> int:
    """GPUs of a cluster, as `simulate` makes them."""
    if not (word.isdecimal() and int(word) and int(word) % 8 == 0):
        raise argparse.ArgumentTypeError(f"{word!r} is no number of whole nodes of eight")
    return int(word)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each size, and one with the exponent."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        rows = [_size(gpus, folder, Path(scratch), options) for gpus in options.gpus]
    if len(rows) > 1:
        slope = _slope([(row["gpus"], row["median_s"]) for row in rows])
        rows.append({**dict.fromkeys(rows[0]), "what": "exponent of time", "exponent": slope})
    return rows


def _size(gpus: int, folder: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    made = folder / f"gpus{gpus}"
    if not (made / "truth.parquet").exists():
        jobs = str(int(gpus * options.jobs_per_gpu))
        words = ["simulate", "--gpus", str(gpus), "--jobs", jobs, "--nights", "1", "--seed", "scale"]
        _command([*words, "--out", str(made)])
    config = scratch / "guard.toml"
    config.write_text(
        # nights = 0: parts that are kept would be found by the next audit, and not made.
        f"[engine]\nprocesses = {options.processes}\npart_gpu_h = {options.part_gpu_h}\nnights = 0\n"
        f'[report]\npath = "{scratch}/reports"\n',
        "utf-8",
    )
    words = ["audit", *_WINDOW, "--lake", str(made / "lake"), "--sacct-file", str(made / "sacct.txt")]
    words += ["--config", str(config), "--history", str(scratch / "history"), "--no-remember"]
    words += ["-o", str(scratch / "audit.json")]
    found = [_watched(words) for _ in range(options.runs)]
    times = [one[0] for one in found]
    runs = pl.read_parquet(made / "truth.parquet").height
    return {
        "what": f"{gpus} GPUs, {runs} runs",
        "gpus": gpus,
        "median_s": median(times),
        "least_s": min(times),
        "most_s": max(times),
        "cpu_s": median([one[1] for one in found]),
        "peak_mib": max(one[2] for one in found),
        "ms_cpu_a_run": 1000 * median([one[1] for one in found]) / max(1, runs),
        "scan_s": median([_scan_s(made / "lake") for _ in range(options.runs)]),
        "lake_mib": sum(p.stat().st_size for p in (made / "lake").rglob("*.parquet")) / 2**20,
        "exponent": None,
    }


def _command(words: list[str]) -> None:
    program = str(Path(sys.executable).with_name("slurm-guard"))
    subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)


def _watched(words: list[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak MiB (PSS of all processes together, looked at once a second)."""
    begun_s = time.perf_counter()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("slurm-guard")), *words], stdout=subprocess.DEVNULL
    )
    peak_kib, spent_s = 0, 0.0
    while process.poll() is None:
        peak_kib = max(peak_kib, _usage.memory(process.pid).pss_kib)
        spent_s = max(spent_s, _usage.cpu_s(process.pid))
        time.sleep(1.0)
    if process.returncode:
        raise SystemExit(f"slurm-guard {words[0]} failed")
    return time.perf_counter() - begun_s, spent_s, peak_kib / 1024


def _scan_s(lake: Path) -> float:
    """Every column of every file decoded, and nothing done with it."""
    begun_s = time.perf_counter()
    for path in sorted(lake.rglob("*.parquet")):
        pl.read_parquet(path, hive_partitioning=False)
    return time.perf_counter() - begun_s


def _slope(points: list[tuple[float, float]]) -> float:
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / sum((x - mx) ** 2 for x in xs)

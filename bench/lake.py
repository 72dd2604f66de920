"""The lake of a simulated night: bytes of a GPU-hour, files, and time to read a day, a node, a run of it.

Once with one file for each sealed segment, as `collect` writes them, and once put together, as `compact`
does. The night is `slurm-guard simulate`'s, with every channel and a window a minute and GPU; its files are
taken apart by node, run and hour. `groups`: the row groups of the windows that a reading touches, of those
that there are, as Polars says. The rows below are the windows alone, encoded otherwise. Times are medians of
`--repeats` readings, each in a process of its own, with the files in the page cache.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from slurm_guard.lake.compact import GROUP_ROWS, LEVEL, compact
from slurm_guard.lake.compacted import counting
from slurm_guard.lake.scan import ORDER
from slurm_guard.lake.schema import PARTITION, TABLES
from slurm_guard.simulate.scale.make import make
from slurm_guard.simulate.scale.plan import Size

_KEY = ("cluster", "node", "run")
# Polars counts in words that it prints to stderr.
_GROUPS = re.compile(r"(?:Predicate pushdown: reading|Deferred cached reads:) (\d+) / (\d+) row groups")
_READ = """
import sys, time
from pathlib import Path
import polars as pl
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.compacted import counting
from slurm_guard.lake.scan import scan
lake, what, value = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
begin = time.perf_counter()
if what == "day":
    from_at = float(value)
    n = read_frames(lake, "wide", from_at, from_at + 86400.0)[0]["windows"].height
else:
    paths = [path for day in sorted((lake / "v1" / "windows").iterdir()) for path in counting(day)]
    n = scan("windows", paths).filter(pl.col(what) == value).collect().height
print(time.perf_counter() - begin, n)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--gpus", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=280)
    parser.add_argument("--repeats", type=int, default=5)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One lake in two shapes, then its windows in several encodings."""
    with TemporaryDirectory(prefix="guard-bench-") as name:
        folder = Path(name)
        size = Size(gpus=options.gpus, jobs=options.jobs, nights=1, seed="scale", planted=0.0)
        made, apart = folder / "made", folder / "apart"
        make(made, size)
        lake = made / "lake"
        begin = time.perf_counter()
        _take_apart(lake, apart)
        took_s = time.perf_counter() - begin
        rows = [_shape("a file for each segment", apart, took_s, options.repeats)]
        begin = time.perf_counter()
        done = compact(apart, (date.min, date.max), now_at=0.0)
        took_s = time.perf_counter() - begin
        if done.failed:
            raise ValueError(f"{len(done.failed)} files could not be put together")
        rows.append(_shape("put together", apart, took_s, options.repeats))
        return [*rows, *_encodings(lake, folder, options.repeats)]


def _take_apart(lake: Path, target: Path) -> None:
    """As if each hour of a run on a node, and each ticket and reading, had come as a file of its own."""
    for table in TABLES:
        paths = sorted((lake / "v1" / table).rglob("*.parquet"))
        if not paths:
            continue
        rows = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
        run = "window_run" if "window_run" in rows.columns else "run"
        at = pl.col(PARTITION[table])
        rows = rows.with_columns(_day=pl.from_epoch(at.cast(pl.Int64)).dt.date(), _hour=(at // 3600))
        for key, part in rows.group_by("node", run, "_hour", "_day", maintain_order=True):
            stem = hashlib.sha256(repr(key[:3]).encode()).hexdigest()[:16]
            path = target / "v1" / table / f"date={key[3]}" / f"{stem}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            keep = table in ("logs", "points")
            part.drop("_day", "_hour").write_parquet(path, compression="zstd", statistics=keep)


def _files(lake: Path) -> Iterator[Path]:
    return (
        path for table in TABLES for day in (lake / "v1" / table).glob("date=*") for path in counting(day)
    )


def _shape(what: str, lake: Path, took_s: float, repeats: int) -> dict[str, Any]:
    files = list(_files(lake))
    windows = pl.concat(
        [
            pl.scan_parquet(path, hive_partitioning=False).select("node", "run", "start_at")
            for path in files
            if path.parent.parent.name == "windows"
        ]
    ).collect()
    asked = (
        ("day", str(windows["start_at"].min())),
        ("node", sorted(windows["node"].unique())[len(windows["node"].unique()) // 2]),
        ("run", _usual_run(windows)),
    )
    row = _row(what, len(files), sum(path.stat().st_size for path in files), windows.height / 60, took_s)
    for name, value in asked:
        times, groups = _read(lake, name, value, repeats)
        row |= _spread(name, times)
        if name == "node":
            row["groups, node"] = groups
        if name == "run":
            row["groups, run"] = groups
    return row


def _usual_run(windows: pl.DataFrame) -> str:
    runs = windows.drop_nulls("run").group_by("run").len().sort("len", "run")
    return str(runs["run"][runs.height // 2])


def _read(lake: Path, what: str, value: str, repeats: int) -> tuple[list[float], str]:
    times = []
    for _ in range(repeats):
        words = [sys.executable, "-c", _READ, str(lake), what, value]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        times.append(float(done.stdout.split()[0]))
    verbose = {**os.environ, "POLARS_VERBOSE": "1"}
    told = subprocess.run(words, capture_output=True, text=True, check=True, env=verbose).stderr
    pushed = [match for match in _GROUPS.finditer(told) if "pushdown" in match[0]]
    read = sum(int(match[1]) for match in pushed)
    return times, f"{read}/{sum(int(match[2]) for match in pushed)}"


def _row(what: str, n_files: int, n_bytes: int, gpu_h: float, write_s: float) -> dict[str, Any]:
    names = ("day", "node", "run")
    empty = {f"{name} {kind}": None for name in names for kind in ("s", "least", "most")}
    return {
        "what": what,
        "files": n_files,
        "B/GPU-h": round(n_bytes / gpu_h),
        "write s": write_s,
        **empty,
        "groups, node": None,
        "groups, run": None,
    }


def _spread(name: str, times: list[float]) -> dict[str, float]:
    return {f"{name} s": median(times), f"{name} least": min(times), f"{name} most": max(times)}


def _encodings(lake: Path, folder: Path, repeats: int) -> Iterator[dict[str, Any]]:
    """`day`: every column of the file, read in this process."""
    paths = sorted((lake / "v1" / "windows").rglob("*.parquet"))
    rows = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
    rows = rows.sort(*_KEY, *ORDER["windows"], nulls_last=True)
    by_gpu = rows.sort(*_KEY, "gpu", "start_at", nulls_last=True)
    whole_ms = [(pl.col(n) * 1000).round().cast(pl.Int64) for n in ("start_at", "end_at", "start_mono_s")]
    usual: dict[str, Any] = {"compression": "zstd", "statistics": True, "row_group_size": GROUP_ROWS}
    ways: list[tuple[str, pl.DataFrame, dict[str, Any]]] = [
        (f"windows: as compact, level {LEVEL}", rows, {**usual, "compression_level": LEVEL}),
        *((f"windows: level {n}", rows, {**usual, "compression_level": n}) for n in (1, 3, 12)),
        *(
            (f"windows: groups of {n}", rows, {**usual, "compression_level": LEVEL, "row_group_size": n})
            for n in (2_880, 11_520, 250_000)
        ),
        ("windows: no statistics", rows, {**usual, "compression_level": LEVEL, "statistics": False}),
        ("windows: lz4", rows, {**usual, "compression": "lz4"}),
        ("windows: ordered by GPU", by_gpu, {**usual, "compression_level": LEVEL}),
        ("windows: times as whole ms", rows.with_columns(whole_ms), {**usual, "compression_level": LEVEL}),
    ]
    for what, frame, how in ways:
        yield _encoding(what, partial(frame.write_parquet, **how), folder, rows.height, repeats)


def _encoding(
    what: str, write: Callable[[Path], None], folder: Path, n_rows: int, repeats: int
) -> dict[str, Any]:
    path, wrote, read = folder / "windows.parquet", list[float](), list[float]()
    for _ in range(repeats):
        begin = time.perf_counter()
        write(path)
        wrote.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        pl.read_parquet(path, hive_partitioning=False)
        read.append(time.perf_counter() - begin)
    row = _row(what, 1, path.stat().st_size, n_rows / 60, median(wrote))
    return row | _spread("day", read)

"""Losses of another run: how often a stretch that is printed again is told, how often chance looks like one,
and with `--cost` what a night beside a full history store takes (all threads' seconds).

The losses are invented: a falling curve with noise of `--noise` of its level. `told %` has its exact 95 %
interval beside it; a `stretch` of another run's losses lies anywhere in a log of as many own ones.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from bench._apart import apart
from bench.detect.figures import clopper_pearson
from slurm_guard.audit.checks import losses_seen_before
from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.replays import find_traces
from slurm_guard.audit.traces import Heard, all_grams, hear, lay
from slurm_guard.audit.track import Mark
from slurm_guard.history import PastTrace
from slurm_guard.lake.history import Reach, frame_of, read_before, write_night
from slurm_guard.model import Run

Losses = list[float]
Row = dict[str, Any]
_AT = 1_780_000_000.0
_WINDOW = (_AT, _AT + 86_400.0)
_PRINT = Fingerprint(None, None, "h100", 1, 1, "kv", "step", None)
_LEAST = losses_seen_before.CHECK.params
_LENGTHS = (500, 2_000, 10_000, 50_000)
_STRETCHES = (64, 128, 256, 512, 1024, 4096)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--trials", type=int, default=200, help="logs of each row")
    parser.add_argument("--noise", type=float, default=0.02, help="of the losses, as a part of their level")
    parser.add_argument("--cost", action="store_true", help="time and memory of a night instead")
    parser.add_argument("--runs", type=int, default=5_000, help="… of so many runs")
    parser.add_argument("--losses", type=int, default=2_000, help="… with so many losses each")
    parser.add_argument("--kept", type=int, default=100_000, help="… beside so many earlier ones")


def measure(options: argparse.Namespace) -> list[Row]:
    """The table that is asked for."""
    return _costs(options) if options.cost else [*_found(options), *_edited(options), _by_chance(options)]


def curve(n: int, draw: random.Random, noise: float) -> Losses:
    """The losses of one training."""
    return [(2 / (1 + k / 100) + 0.5) * (1 + noise * draw.gauss(0, 1)) for k in range(n)]


def _run(job_id: int) -> Run:
    return Run(
        f"c/{job_id}/1", "c", job_id, str(job_id), "u", job_id, "lab", "gpu", "normal", "train", "COMPLETED",
        _AT, _AT, _WINDOW[1], _AT, _WINDOW[1], 0, ("n1",), 1, "h100", None, "/home/u", None,
    )  # fmt: skip


def _heard(i: int, losses: Losses, marks: tuple[Mark, ...]) -> Heard:
    return Heard(i, f"log{i}", tuple(losses), marks[: len(losses)])


def _marks(n: int) -> tuple[Mark, ...]:
    one = Mark(_AT, _AT, True, 0, None, None, 1.0, "train", 0, (), None, _AT)
    return tuple(replace(one, at=_AT + k) for k in range(n))


def _past(logs: list[Losses]) -> pl.DataFrame:
    """What an earlier night left of these."""
    marks = _marks(max(map(len, logs)))
    runs = [_run(1 + k) for k in range(len(logs))]
    heard = [_heard(k, losses, marks) for k, losses in enumerate(logs)]
    rows = find_traces(runs, heard, (_AT - 86_400.0, _AT), ([_PRINT] * len(runs), {}), None).rows
    return frame_of("traces", [row for i in sorted(rows) for row in rows[i]])


def _told(older: list[Losses], newer: list[Losses]) -> list[bool]:
    """Of each log, whether it is told as the one of the same number."""
    marks = _marks(max(map(len, newer)))
    runs = [_run(1_000_000 + k) for k in range(len(newer))]
    heard = [_heard(k, losses, marks) for k, losses in enumerate(newer)]
    seen = find_traces(runs, heard, _WINDOW, ([_PRINT] * len(runs), {}), _past(older)).seen
    enough = {i for i, s in seen.items() if s.n >= max(_LEAST.least_losses, _LEAST.least_share * s.of)}
    return [k in enough and seen[k].run == f"c/{1 + k}/1" for k in range(len(newer))]


def _row(what: str, n: int, stretch: int, told: list[bool]) -> Row:
    low, high = clopper_pearson(sum(told), len(told))
    return {
        "what": what, "losses": n, "stretch": stretch, "logs": len(told), "told": sum(told),
        "told %": 100 * sum(told) / len(told), "least %": 100 * low, "most %": 100 * high,
    }  # fmt: skip


def _found(options: argparse.Namespace) -> Iterator[Row]:
    for n in _LENGTHS:
        for stretch in (s for s in _STRETCHES if s <= n):
            draw = random.Random(f"{n} {stretch}")
            older, newer = [], []
            for _ in range(max(20, min(options.trials, 2_000_000 // n))):
                old, own = curve(n, draw, options.noise), curve(stretch, draw, options.noise)
                at, place = draw.randrange(n - stretch + 1), draw.randrange(stretch + 1)
                older.append(old)
                newer.append(own[:place] + old[at : at + stretch] + own[place:])
            yield _row("a stretch of it, in another log", n, stretch, _told(older, newer))


_EDITS: dict[str, Callable[[Losses, random.Random], Losses]] = {
    "whole": lambda x, _: x,
    "six digits": lambda x, _: [float(f"{v:.6g}") for v in x],
    "five digits": lambda x, _: [float(f"{v:.5g}") for v in x],
    "four decimals": lambda x, _: [round(v, 4) for v in x],
    "three decimals": lambda x, _: [round(v, 3) for v in x],
    "every second": lambda x, draw: x[draw.randrange(2) :: 2],
    "every third": lambda x, draw: x[draw.randrange(3) :: 3],
    "every tenth": lambda x, draw: x[draw.randrange(10) :: 10],
    "noise in one of 64": lambda x, _: [v * 1.002 if k % 64 == 0 else v for k, v in enumerate(x)],
    "noise in one of 16": lambda x, _: [v * 1.002 if k % 16 == 0 else v for k, v in enumerate(x)],
    "noise of 0.01 %": lambda x, draw: [v * (1 + 1e-4 * draw.gauss(0, 1)) for v in x],
    "noise of 0.1 %": lambda x, draw: [v * (1 + 1e-3 * draw.gauss(0, 1)) for v in x],
}


def _edited(options: argparse.Namespace) -> Iterator[Row]:
    for name, edit in _EDITS.items():
        draw = random.Random(name)
        older = [curve(2_000, draw, options.noise) for _ in range(options.trials)]
        yield _row(f"printed again: {name}", 2_000, 2_000, _told(older, [edit(x, draw) for x in older]))


def _by_chance(options: argparse.Namespace) -> Row:
    """Trainings of one curve with seeds of their own: pairs of them that share one gram."""
    draw = random.Random("chance")
    n = 10 * options.trials
    heard = [_heard(k, curve(1_000, draw, options.noise), ()) for k in range(n)]
    rows = pl.concat(all_grams(lay(heard)))
    shared = rows.unique(["q", "h"]).group_by("h").len().filter(pl.col("len") > 1)["len"]
    pairs = n * (n - 1) // 2
    hits = sum(int(k) * (int(k) - 1) // 2 for k in shared)
    low, high = clopper_pearson(min(hits, pairs), pairs)
    return {
        "what": "pairs of unlike seeds with 16 losses in common", "losses": 1_000, "stretch": 16,
        "logs": pairs, "told": hits, "told %": 100 * hits / pairs, "least %": 100 * low, "most %": 100 * high,
    }  # fmt: skip


def _costs(options: argparse.Namespace) -> list[Row]:
    with TemporaryDirectory(prefix="guard-bench-") as name:
        folder = Path(name)
        steps: list[tuple[str, Callable[[], tuple[float, int]]]] = [
            ("a store, written", _Fill(folder, options.kept)),
            ("what an audit looks back on, read", _Read(folder, options.kept)),
            ("losses taken from a tenth of the runs' records", _Hear(options)),
            ("a night's logs held against each other", _Find(options, None)),
            ("a night's logs held against each other and the store", _Find(options, folder)),
        ]
        rows = []
        for what, step in steps:
            (took_s, n), peak_mib = apart(step)
            rows.append({"what": what, "n": n, "cpu s": took_s, "peak MiB": round(peak_mib)})
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        return [{**row, "store MB": n_bytes / 1e6} for row in rows]


class _Fill:
    """`n`: rows, in ninety nights."""

    def __init__(self, folder: Path, kept: int) -> None:
        self.folder, self.kept = folder, kept

    def __call__(self) -> tuple[float, int]:
        draw, took_s = random.Random(1), 0.0
        for day in range(90):
            begin = _AT - 86_400.0 * (90 - day)
            rows = [
                PastTrace(
                    "c", f"c/{day}/{k}", begin, begin + 86_400.0, draw.randrange(500), 10**7 + 9999 * day + k,
                    f"{k:024}", "h100", 8, f"{k % 97:024}", 2_000,
                    " ".join(f"{draw.getrandbits(64):016x}" for _ in range(64)),
                )
                for k in range(self.kept // 90)
            ]  # fmt: skip
            since = time.process_time()
            write_night(self.folder, "traces", ("c", begin, begin + 86_400.0), rows, Reach(91, self.kept))
            took_s += time.process_time() - since
        return took_s, self.kept // 90 * 90


def _read(folder: Path, kept: int) -> pl.DataFrame:
    found, skips = read_before(folder, "traces", "c", _AT, Reach(91, kept))
    if skips:
        raise ValueError(f"{len(skips)} files could not be read")
    return found.frame


class _Read:
    """`n`: rows that an audit is given."""

    def __init__(self, folder: Path, kept: int) -> None:
        self.folder, self.kept = folder, kept

    def __call__(self) -> tuple[float, int]:
        since = time.process_time()
        n = _read(self.folder, self.kept).height
        return time.process_time() - since, n


class _Hear:
    """`n`: records. Whole records of all runs would be the memory of the audit's own tables."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.n_runs, self.n = options.runs // 10, options.losses

    def __call__(self) -> tuple[float, int]:
        draw = random.Random(2)
        series = {
            i: [("log", [replace(m, loss=draw.gauss(2, 0.05)) for m in _marks(self.n)])]
            for i in range(self.n_runs)
        }
        runs = [_run(k) for k in range(self.n_runs)]
        since = time.process_time()
        heard = hear(series, runs, 120.0)
        return time.process_time() - since, sum(len(one.losses) for one in heard)


class _Find:
    """`n`: losses. Reading the store is not in the time; the night's records are not in the memory."""

    def __init__(self, options: argparse.Namespace, folder: Path | None) -> None:
        self.n_runs, self.n, self.folder, self.kept = options.runs, options.losses, folder, options.kept

    def __call__(self) -> tuple[float, int]:
        draw, marks = random.Random(3), _marks(self.n)
        heard = [_heard(k, curve(self.n, draw, 0.02), marks) for k in range(self.n_runs)]
        past = None if self.folder is None else _read(self.folder, self.kept)
        runs = [_run(k) for k in range(self.n_runs)]
        since = time.process_time()
        find_traces(runs, heard, _WINDOW, ([_PRINT] * len(runs), {}), past)
        return time.process_time() - since, self.n_runs * self.n

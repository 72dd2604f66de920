"""A full history store: time and memory of writing a night, of reading what an audit looks back on, and of
finding the runs that are comparable with a night's.

The rows are invented: `--settings` trainings of as many command lines, each run with a cost in two channels.
Every step is a process of its own; `s` is the median of `--repeats`.
"""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench._apart import apart
from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.knownrises import recall_rises
from slurm_guard.audit.peers import Who, find_peers, recall
from slurm_guard.history import PastCost
from slurm_guard.lake.history import Reach, read_before, write_night

_DAY_S = 86_400.0
_FIRST_AT = 1_760_000_400.0
_CHANNELS = ("energy", "busy")
_MODELS = ("NVIDIA V100", "NVIDIA A100", "NVIDIA H100", "NVIDIA H200")
_PLAIN = PastCost(
    "aurora", "aurora/1/1", 0.0, 0.0, 1000, "physics", "gpu", _MODELS[0], 8, 1, None, None, "tfevents",
    "step", _CHANNELS[0], 1.0, 0.01, 0.02, 40, 1.0, "", 40_000, 99.0, "clear", "observed", "",
    False, False, 0.02,
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rows", type=int, default=500_000, help="in all nights together")
    parser.add_argument("--nights", type=int, default=90)
    parser.add_argument("--settings", type=int, default=5_000, help="command lines that differ")
    parser.add_argument("--tonight", type=int, default=2_000, help="runs of the audited night")
    parser.add_argument("--repeats", type=int, default=5)


def _print(k: int) -> Fingerprint:
    return Fingerprint(
        f"settings{k:012}", f"code{k % 97}", _MODELS[k % len(_MODELS)], 8, 1, "tfevents", "step"
    )


def _night(day: int, n_rows: int, n_settings: int) -> tuple[tuple[str, float, float], list[PastCost]]:
    draw = random.Random(day)
    begin = _FIRST_AT + day * _DAY_S
    rows = []
    for i in range(max(1, n_rows // len(_CHANNELS))):
        of = _print(draw.randrange(n_settings))
        rows += [
            replace(
                _PLAIN,
                run=f"aurora/{day}/{i}",
                from_at=begin,
                until_at=begin + _DAY_S,
                uid=draw.randrange(1000, 1500),
                settings=of.settings,
                code=of.code,
                gpu_model=of.gpu_model,
                channel=channel,
                theta=draw.gauss(1.0, 0.03),
            )
            for channel in _CHANNELS
        ]
    return ("aurora", begin, begin + _DAY_S), rows


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each step in processes of its own, so that its time and peak memory are its own."""
    with TemporaryDirectory(prefix="guard-bench-") as name:
        folder, reach = Path(name), Reach(options.nights + 1.0, options.rows)
        a_night = options.rows // options.nights
        for day in range(options.nights):
            write_night(folder, "costs", *_night(day, a_night, options.settings), reach)
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        last = _night(options.nights, a_night, options.settings)
        steps: list[tuple[str, Callable[[], tuple[float, int]]]] = [
            ("a night, written", _Write(folder, last, reach)),
            ("what an audit looks back on, read", _Read(folder, last[0][1], reach)),
            ("runs comparable with tonight's, found", _Recall(folder, last[0][1], reach, options)),
        ]
        rows = [_row(name, step, options.repeats) for name, step in steps]
        return [{**row, "store MB": n_bytes / 1e6} for row in rows]


def _row(what: str, step: Callable[[], tuple[float, int]], repeats: int) -> dict[str, Any]:
    done = [apart(step) for _ in range(repeats)]
    took = [took_s for (took_s, _), _ in done]
    (_, n), peak_mib = done[-1]
    return {
        "what": what,
        "n": n,
        "s": median(took),
        "least s": min(took),
        "most s": max(took),
        "peak MiB": round(peak_mib),
    }


class _Write:
    """`n`: rows of the night."""

    def __init__(
        self, folder: Path, night: tuple[tuple[str, float, float], list[PastCost]], reach: Reach
    ) -> None:
        self.folder, self.night, self.reach = folder, night, reach

    def __call__(self) -> tuple[float, int]:
        begin = time.perf_counter()
        path = write_night(self.folder, "costs", *self.night, self.reach)
        took_s = time.perf_counter() - begin
        path.unlink()
        return took_s, len(self.night[1])


class _Read:
    """`n`: rows that an audit is given."""

    def __init__(self, folder: Path, before_at: float, reach: Reach) -> None:
        self.folder, self.before_at, self.reach = folder, before_at, reach

    def __call__(self) -> tuple[float, int]:
        begin = time.perf_counter()
        rows, skips = read_before(self.folder, "costs", "aurora", self.before_at, self.reach)
        if skips:
            raise ValueError(f"{len(skips)} files could not be read")
        return time.perf_counter() - begin, rows.frame.height


class _Recall:
    """`n`: runs of tonight that have peers. Reading comes before and is not in the time."""

    def __init__(self, folder: Path, before_at: float, reach: Reach, options: argparse.Namespace) -> None:
        self.folder, self.before_at, self.reach = folder, before_at, reach
        draw = random.Random("tonight")
        self.prints = [_print(draw.randrange(options.settings)) for _ in range(options.tonight)]

    def __call__(self) -> tuple[float, int]:
        rows, _ = read_before(self.folder, "costs", "aurora", self.before_at, self.reach)
        begin = time.perf_counter()
        past = recall(rows.frame, self.prints)
        recall_rises(rows.frame, self.prints, {})
        found = [find_peers(past, of, Who(1, "physics", 40_000), _CHANNELS) for of in self.prints]
        return time.perf_counter() - begin, sum(peers is not None for peers in found)

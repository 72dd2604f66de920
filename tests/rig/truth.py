"""What really ran, from the boards' own record (root only): the judge's half of a night."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from tests.rig.scenarios import OTHER_KINDS


class Truth(NamedTuple):
    """GPU-milliseconds on the board, of one run's GPUs in its time."""

    held_ms: int  # of anybody
    other_ms: int  # of processes that did something else than the honest loop


def read_truth(gpu_dir: Path, gpus: Collection[int], from_at: float, until_at: float) -> Truth:
    """Sums over the seconds that end in (from, until]; the board's own granularity is one second."""
    held = other = 0
    with (gpu_dir / "truth.jsonl").open(encoding="ascii") as file:
        for line in file:
            row = json.loads(line)
            if row["pid"] is None or row["gpu"] not in gpus or not from_at < row["at"] <= until_at:
                continue
            held += row["held_ms"]
            other += row["held_ms"] if row["kind"] in OTHER_KINDS else 0
    return Truth(held, other)

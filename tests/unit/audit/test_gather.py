"""Which of a run's logs may speak for it."""

from typing import Any

import polars as pl
import pytest

from slurm_guard.audit.gather import bound
from slurm_guard.lake.schema import TABLES

KEYS = pl.DataFrame({"run": ["r"], "i": [0]})
HELD, FOUND = 0.95, 0.5


def speaking(*logs: tuple[float, int, bool]) -> list[int]:
    """Numbers of the logs that speak; of each: how sure it is the run's, its steps, whether it is weak."""
    rows: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    for file, (conf, n, weak) in enumerate(logs):
        rows.append({"run": "r", "file": file, "n": n, "bind_conf": conf})
        points += [
            {"run": "r", "file": file, "track": "t", "step": k, "phase": "train", "flags": ["weak"] * weak}
            for k in range(n)
        ]
    schema = TABLES["points"]
    empty = dict.fromkeys(schema)
    frame = pl.DataFrame([{**empty, **point} for point in points], schema=schema)
    return bound(pl.DataFrame(rows), KEYS, frame)["file"].to_list()


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        ([(HELD, 50, False), (FOUND, 500, False)], [0]),
        ([(HELD, 68, True), (FOUND, 500, False)], [0, 1]),  # an engine's bar while it starts
        ([(HELD, 1, False), (FOUND, 500, False)], [0, 1]),  # a resumed step
        ([(HELD, 3, False), (FOUND, 500, False)], [0, 1]),  # settings of a configuration
        ([(HELD, 68, True), (FOUND, 50, True)], [0]),
        ([(HELD, 68, True), (HELD, 50, False), (FOUND, 500, False)], [0, 1]),
        ([(HELD, 1, False), (FOUND, 50, True)], [0, 1]),
        ([(FOUND, 500, False), (FOUND, 50, True)], [0, 1]),
        ([(HELD, 68, True)], [0]),
        ([(HELD, 2, False)], [0]),
    ],
)
def test_a_found_file_speaks_where_no_held_one_counts(
    logs: list[tuple[float, int, bool]], expected: list[int]
) -> None:
    assert speaking(*logs) == expected


def test_a_held_file_counts_by_its_best_track() -> None:
    points = pl.DataFrame(
        [
            {**dict.fromkeys(TABLES["points"]), "run": "r", "file": file, "track": track, "step": step,
             "phase": "train", "flags": flags}
            for file, track, flags in ((0, "bar", ["weak"]), (0, "steps", None), (1, "found", []))
            for step in range(9)
        ],
        schema=TABLES["points"],
    )  # fmt: skip
    logs = pl.DataFrame({"run": ["r", "r"], "file": [0, 1], "n": [18, 9], "bind_conf": [HELD, FOUND]})

    assert bound(logs, KEYS, points)["file"].to_list() == [0]


@pytest.mark.parametrize(
    "beside", [{"loss": 0.5}, {"at": 2e9}, {"total": 9}, {"took_s": 0.25}, {"tokens": 7}]
)
def test_few_steps_of_a_held_file_count_with_anything_beside_them(beside: dict[str, Any]) -> None:
    points = pl.DataFrame(
        [
            {**dict.fromkeys(TABLES["points"]), "run": "r", "file": file, "track": "t", "step": step,
             "phase": "train", "flags": [], **(beside if file == 0 and step == 1 else {})}
            for file in (0, 1) for step in range(5)
        ],
        schema=TABLES["points"],
    )  # fmt: skip
    logs = pl.DataFrame({"run": ["r", "r"], "file": [0, 1], "n": [5, 5], "bind_conf": [HELD, FOUND]})

    assert bound(logs, KEYS, points)["file"].to_list() == [0]

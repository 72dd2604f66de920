"""What the real libraries write gives what a person counts in it: tests/fixtures/progress/libraries."""

import csv
import os
from pathlib import Path

import pytest

from slurm_guard.progress.protocol import MICRO
from slurm_guard.progress.unit import Input, read_unit
from slurm_guard.progress.walk import is_known

FOLDER = Path(__file__).parents[1] / "fixtures" / "progress" / "libraries"
# Held open by the job, or its stdout: found without the walk.
_BY_FD = {"keras_log.csv", "sb3_progress.json", "trackio.db", "sb3.monitor.csv"}


def _rows() -> list[dict[str, str]]:
    with (FOLDER / "expected.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["file"])
def test_a_librarys_log_gives_what_a_person_counts(row: dict[str, str]) -> None:
    path = FOLDER / row["file"]
    fd = os.open(path, os.O_RDONLY)
    try:
        told, marks = read_unit([Input(0, fd, f"/w/{row['named']}", "fd", path.stat().st_size, 64 << 20)])
    finally:
        os.close(fd)

    points = [mark for mark in marks if mark.phase == "train" and mark.track == told[0].track]
    unit = "samples" if points and points[0].step is None else "step"
    unit = "epoch" if "/epoch:" in told[0].track else unit
    counts = [mark.samples if unit == "samples" else mark.step for mark in points]
    scale = MICRO if unit == "epoch" else 1
    assert (told[0].source, len(counts), unit) == (row["source"], int(row["n"]), row["unit"])
    assert (counts[0], counts[-1]) == (int(row["first"]) * scale, int(row["last"]) * scale)
    assert len({mark.segment for mark in points}) == int(row["segments"])


def test_every_recorded_file_is_in_the_table_and_the_walk_knows_its_name() -> None:
    named = {row["file"]: row["named"] for row in _rows()}
    others = {"expected.csv", "README.md", "record.py"}

    assert {path.name for path in FOLDER.iterdir() if path.is_file()} - others == named.keys()
    unknown = {file for file, name in named.items() if not is_known(f"/w/{name}")}
    assert {file for file in unknown if not file.endswith(".out")} == _BY_FD - {
        file for file, name in named.items() if is_known(f"/w/{name}")
    }

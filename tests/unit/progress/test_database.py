"""A database that many runs share: each run is a track, and its records' own time says whose it is."""

import os
import sqlite3
from pathlib import Path

import pytest

from slurm_guard.progress.bracket import Frame, Sight, bracket, trail_of
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.sqlite import MAGIC, BrokenError, Database
from slurm_guard.progress.unit import Input, Told, read_unit

RUNS = ("a" * 32, "b" * 32)
BEGIN_MS = 1_795_474_227_000


def _mlflow(path: Path, rows: list[tuple[str, object, object, str, object]]) -> None:
    made = sqlite3.connect(path)
    made.execute(
        'CREATE TABLE "metrics" ("key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL,'
        " timestamp BIGINT NOT NULL, run_uuid VARCHAR(32) NOT NULL,"
        " step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL,"
        ' CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan),'
        " CHECK (is_nan IN (0, 1)))"
    )
    made.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", rows)
    made.commit()
    made.close()


def _read(path: Path) -> tuple[list[Told], list[Mark]]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_unit([Input(0, fd, str(path), "fd", path.stat().st_size, 64 << 20)])
    finally:
        os.close(fd)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Two runs, a day apart, with the same steps; each of the second's beside a metric of the machine."""
    path = tmp_path / "mlflow.db"
    rows: list[tuple[str, object, object, str, object]] = []
    for nth, run in enumerate(RUNS):
        for n in range(50):
            at = BEGIN_MS + nth * 86_400_000 + n * 1000
            rows.append(("train/loss", 2 - n / 100, at, run, n * 10))
            rows.extend(("system/gpu", 1.0, at, run, n * 3 + k) for k in range(3))
            if n % 5 == 0:
                rows.append(("val/loss", 2.5, at, run, n * 10))
    _mlflow(path, rows)
    return path


def test_every_run_is_a_track_named_by_its_id(shared: Path) -> None:
    told, marks = _read(shared)

    assert sorted(one.track.rpartition(".")[2] for one in told) == ["a" * 12, "b" * 12]
    for one in told:
        points = [mark for mark in marks if mark.track == one.track]
        assert [mark.step for mark in points] == list(range(0, 500, 10))
        assert points[1].loss == 1.99
        assert {mark.flags for mark in points} == {("unplaced",)}


def test_rows_of_another_time_are_left_out_and_nothing_is_said_to_have_been_seen(shared: Path) -> None:
    _, marks = _read(shared)
    begin = BEGIN_MS / 1000 + 86_400
    frame = Frame(begin - 10, begin + 120, begin + 60)
    size = shared.stat().st_size
    trail = trail_of([Sight(begin, size // 2, 1, None), Sight(begin + 50, size, 1, None)], size, None, frame)

    points, dropped = bracket(marks, {0: trail}, frame)

    assert dropped == {0: 50}
    assert {point.track.rpartition(".")[2] for point in points} == {"b" * 12}
    assert {(point.obs_lo_at, point.obs_hi_at, tuple(point.flags)) for point in points} == {
        (None, None, ("unplaced",))
    }


def test_rows_out_of_shape_are_no_points(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    good = [("loss", 1.0, BEGIN_MS + n, RUNS[0], n) for n in range(4)]
    bad: list[tuple[str, object, object, str, object]] = [
        ("loss", 1.0, "yesterday", RUNS[0], 5),
        ("loss", 1.0, BEGIN_MS, RUNS[0], -1),
        ("loss", 1.0, BEGIN_MS, RUNS[0], "x"),
        ("loss", 1.0, BEGIN_MS, "\x1b[31m<b>", 7),
    ]
    _mlflow(path, [*good, *bad])

    told, marks = _read(path)

    assert [mark.step for mark in marks if mark.track == told[0].track] == [0, 1, 2, 3]
    assert all(track.isascii() and "<" not in track for track in (one.track for one in told))


def test_another_database_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE metrics (step, loss)")
    made.execute("INSERT INTO metrics VALUES (1, 2)")
    made.commit()
    made.close()

    told, marks = _read(path)

    assert marks == []
    assert told[0].source is None


@pytest.mark.parametrize("n", [16, 18, 20, 99])
def test_a_header_that_is_cut_is_no_database(n: int) -> None:
    with pytest.raises(BrokenError):
        Database((MAGIC + b"\x10\0" + bytes(100))[:n])

"""The history store: a night's rows whole or not at all, replaced and never doubled, bounded, in order."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.history import FORMAT, PastCost
from slurm_guard.lake.history import Reach, frame_of, read_before, schema, snapshot, write_night
from tests.unit.audit.test_peers import ROW

DAY = 86_400.0
REACH = Reach(30.0, 1000)


def _rows(night: int, n: int = 2) -> list[PastCost]:
    from_at = night * DAY
    return [replace(ROW, run=f"c/{k}/{night}", from_at=from_at, until_at=from_at + DAY) for k in range(n)]


def _write(folder: Path, night: int, rows: list[PastCost], reach: Reach = REACH) -> Path:
    return write_night(folder, "costs", ("c", night * DAY, (night + 1) * DAY), rows, reach)


def _read(folder: Path, night: int, reach: Reach = REACH) -> list[str]:
    found, skips = read_before(folder, "costs", "c", night * DAY, reach)
    assert skips == ()
    return found.frame["run"].to_list()


def test_a_night_reads_those_that_ended_before_it_and_no_other(tmp_path: Path) -> None:
    for night in (1, 2, 3):
        _write(tmp_path, night, _rows(night))

    assert _read(tmp_path, 3) == ["c/0/1", "c/1/1", "c/0/2", "c/1/2"]
    assert _read(tmp_path, 1) == []
    assert _read(tmp_path / "nowhere", 3) == []


def test_a_night_written_again_takes_the_place_of_its_rows(tmp_path: Path) -> None:
    first = _write(tmp_path, 1, _rows(1, 5)).read_bytes()
    _write(tmp_path, 1, _rows(1, 1))

    assert _read(tmp_path, 3) == ["c/0/1"]
    again = _write(tmp_path, 1, list(reversed(_rows(1, 5))) * 2)
    assert again.read_bytes() == first
    assert [p.name for p in tmp_path.rglob("*.parquet")] == [again.name]


def test_the_digest_is_of_the_rows_alone(tmp_path: Path) -> None:
    rows = _rows(1, 4)

    assert (
        snapshot("costs", frame_of("costs", rows)).sha256
        == snapshot("costs", frame_of("costs", rows[::-1])).sha256
    )
    changed = [*rows[1:], replace(rows[0], theta=rows[0].theta * (1 + 1e-12))]
    assert (
        snapshot("costs", frame_of("costs", rows)).sha256
        != snapshot("costs", frame_of("costs", changed)).sha256
    )


def test_only_so_many_days_and_rows_are_read_the_newest_first(tmp_path: Path) -> None:
    for night in range(1, 9):
        _write(tmp_path, night, _rows(night, 10))

    assert len(_read(tmp_path, 9, Reach(3.0, 1000))) == 30
    assert _read(tmp_path, 9, Reach(30.0, 25)) == [f"c/{k}/{night}" for night in (7, 8) for k in range(10)]


def test_the_store_keeps_twice_what_is_read(tmp_path: Path) -> None:
    for night in range(1, 12):
        _write(tmp_path, night, _rows(night, 10), Reach(30.0, 20))
    assert len(list(tmp_path.rglob("*.parquet"))) == 4
    _write(tmp_path, 100, _rows(100, 500), Reach(30.0, 20))

    assert [p.name for p in tmp_path.rglob("*.parquet")] == [
        f"c.{100 * 86_400_000}-{101 * 86_400_000}.parquet"
    ]


def test_auditing_an_old_night_again_removes_no_newer_one(tmp_path: Path) -> None:
    _write(tmp_path, 50, _rows(50))
    _write(tmp_path, 10, _rows(10))

    assert _read(tmp_path, 51) == ["c/0/50", "c/1/50"]
    assert _read(tmp_path, 12) == ["c/0/10", "c/1/10"]


def test_clusters_do_not_see_each_other(tmp_path: Path) -> None:
    for cluster in ("a/b", "a_b", "../c"):
        row = replace(_rows(1)[0], cluster=cluster, run=f"{cluster}/1")
        write_night(tmp_path, "costs", (cluster, DAY + len(cluster), 2 * DAY), [row], REACH)

    for cluster in ("a/b", "../c"):
        found, _ = read_before(tmp_path, "costs", cluster, 5 * DAY, REACH)
        assert found.frame["run"].to_list() == [f"{cluster}/1"]
    assert all(tmp_path / f"v{FORMAT}" / "costs" in path.parents for path in tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(64) + b"PAR1"])
def test_a_file_that_cannot_be_read_is_told_and_stops_nothing(tmp_path: Path, content: bytes) -> None:
    _write(tmp_path, 1, _rows(1)).write_bytes(content)
    _write(tmp_path, 2, _rows(2))

    found, skips = read_before(tmp_path, "costs", "c", 5 * DAY, REACH)

    assert found.frame["run"].to_list() == ["c/0/2", "c/1/2"]
    assert [skip.reason for skip in skips] == ["history-file-unreadable"]
    assert str(tmp_path) not in skips[0].subject + skips[0].detail


def test_a_night_without_rows_is_a_file_without_rows(tmp_path: Path) -> None:
    _write(tmp_path, 1, [])

    found, skips = read_before(tmp_path, "costs", "c", 5 * DAY, REACH)
    assert (found.frame.height, found.n_nights, skips) == (0, 0, ())
    assert dict(found.frame.schema) == schema("costs")


def test_a_column_that_an_older_release_lacked_is_null_and_a_later_ones_is_left_out(tmp_path: Path) -> None:
    path = _write(tmp_path, 1, _rows(1))
    import polars as pl

    pl.read_parquet(path).drop("mem_mib").with_columns(pl.lit(1).alias("more")).write_parquet(path)

    found, _ = read_before(tmp_path, "costs", "c", 5 * DAY, REACH)
    assert found.frame["mem_mib"].to_list() == [None, None]
    assert "more" not in found.frame.columns


def test_another_tables_file_is_told_and_brings_no_row_of_nulls(tmp_path: Path) -> None:
    costs = _write(tmp_path, 1, _rows(1))
    wrong = tmp_path / f"v{FORMAT}" / "grounds" / costs.parent.name / costs.name
    wrong.parent.mkdir(parents=True)
    shutil.copy(costs, wrong)

    found, skips = read_before(tmp_path, "grounds", "c", 5 * DAY, REACH)

    assert found.frame.height == 0
    assert [(skip.subject, skip.reason) for skip in skips] == [
        (str(wrong.relative_to(tmp_path)), "history-file-unreadable")
    ]
    assert skips[0].detail.startswith("not a file of grounds: it lacks columns (job_id, ")


def test_a_folder_in_the_place_of_a_night_is_told_and_neither_read_nor_an_obstacle(tmp_path: Path) -> None:
    path = _write(tmp_path, 1, _rows(1))
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    (path / "inside.parquet").write_bytes(content)

    _write(tmp_path, 100, _rows(100))
    found, skips = read_before(tmp_path, "costs", "c", 5 * DAY, REACH)

    assert (found.frame.height, [skip.detail for skip in skips]) == (0, ["a folder in place of a file"])
    assert (path / "inside.parquet").read_bytes() == content

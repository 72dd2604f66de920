"""Files that are none of the table in whose folder they lie: named with the reason, never read as rows."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.lake.forget import forget_lake
from slurm_guard.lake.frames import UNASKED, read_frames, read_windows
from slurm_guard.lake.marks import MARKS, WrongFile, check_file
from slurm_guard.lake.reach import find_reach
from slurm_guard.lake.schema import TABLES
from slurm_guard.lake.show import Asked, show_rows
from slurm_guard.lake.view import look
from tests.formats.lake1 import FIXTURE, FROM_AT, UNTIL_AT

LAKE = FIXTURE / "lake"
DAY = "date=2025-10-14"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A copy of the committed lake."""
    return Path(shutil.copytree(LAKE, tmp_path / "lake"))


def _first(lake: Path, table: str) -> Path:
    return min((lake / "v1" / table / DAY).glob("*.parquet"))


def _a_folder(lake: Path, at: Path) -> None:
    at.mkdir()


def _a_folder_of_rows(lake: Path, at: Path) -> None:
    at.mkdir()
    shutil.copy(_first(lake, "windows"), at / "inside.parquet")


def _a_pipe(lake: Path, at: Path) -> None:
    os.mkfifo(at)


def _events(lake: Path, at: Path) -> None:
    shutil.copy(_first(lake, "events"), at)


def _nobodys(lake: Path, at: Path) -> None:
    pl.DataFrame({"cluster": ["demo"], "node": ["n1"], "run": ["r"]}).write_parquet(at)


def _of_no_node(lake: Path, at: Path) -> None:
    rows = pl.read_parquet(_first(lake, "events"), hive_partitioning=False)
    rows.with_columns(node=pl.lit(None, pl.String)).write_parquet(at)


WRONG: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "a folder": (_a_folder, "a folder in place of a file"),
    "a folder with a file of the table": (_a_folder_of_rows, "a folder in place of a file"),
    "a pipe": (_a_pipe, "no regular file"),
    "another table's file": (
        _events,
        "not a file of windows: it lacks columns (gpu, start_at, end_at); it has those of events",
    ),
    "a file of nobody's": (_nobodys, "not a file of windows: it lacks columns (gpu, start_at, end_at)"),
    "another table's file without nodes": (
        _of_no_node,
        "not a file of windows: it lacks columns (gpu, start_at, end_at); it has those of events",
    ),
}


def test_the_marks_of_each_table_are_no_other_tables() -> None:
    assert list(MARKS) == list(TABLES)
    assert [
        (table, other)
        for table, marks in MARKS.items()
        for other, columns in TABLES.items()
        if columns.keys() >= set(marks) and other != table
    ] == []


def test_an_audit_reads_all_marks_so_that_looking_at_them_costs_nothing() -> None:
    assert [table for table, marks in MARKS.items() if set(marks) & set(UNASKED.get(table, ()))] == []


@pytest.mark.parametrize("path", sorted((LAKE / "v1").rglob("*.parquet")), ids=lambda path: path.parts[-3])
def test_files_of_the_first_release_are_their_tables_and_no_others(path: Path, tmp_path: Path) -> None:
    check_file(path)

    for other in MARKS:
        if other != path.parts[-3]:
            moved = tmp_path / "v1" / other / DAY / path.name
            moved.parent.mkdir(parents=True)
            shutil.copy(path, moved)
            with pytest.raises(WrongFile, match=f"not a file of {other}: .* those of {path.parts[-3]}"):
                check_file(moved)


@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize(("put", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_a_skip_with_its_reason_and_brings_no_row(
    lake: Path, put: Callable[[Path, Path], None], why: str, lean: bool
) -> None:
    before, said_before = read_frames(lake, "", FROM_AT, UNTIL_AT, lean=lean)
    put(lake, lake / "v1" / "windows" / DAY / "x.parquet")

    after, said = read_frames(lake, "", FROM_AT, UNTIL_AT, lean=lean)

    new = [(skip.subject, skip.reason, skip.detail) for skip in said if skip not in said_before]
    assert new == [(f"windows/{DAY}/x.parquet", "lake-file-unreadable", why)]
    assert [name for name in TABLES if not after[name].equals(before[name])] == []


@pytest.mark.parametrize(("put", "why"), WRONG.values(), ids=WRONG)
def test_so_it_is_where_a_night_is_read_in_parts(
    lake: Path, put: Callable[[Path, Path], None], why: str
) -> None:
    whole, said_before = read_frames(lake, "", FROM_AT, UNTIL_AT)
    put(lake, lake / "v1" / "windows" / DAY / "x.parquet")

    reach = find_reach(look(lake, FROM_AT, UNTIL_AT))
    parts = [read_frames(lake, "", FROM_AT, UNTIL_AT, reach.of([node])) for node in sorted(reach.nodes)]
    asked = [read_windows(lake, "", FROM_AT, UNTIL_AT, reach.of([node])) for node in sorted(reach.nodes)]

    n_windows = whole["windows"].height
    assert {skip.detail for _, said in parts for skip in said if skip not in said_before} == {why}
    assert sum(frames["windows"].height for frames, _ in parts) == n_windows
    assert sum(frames["windows"].height for frames in asked) == n_windows


@pytest.mark.parametrize(("put", "why"), WRONG.values(), ids=WRONG)
def test_who_looks_into_the_lake_is_told_too(lake: Path, put: Callable[[Path, Path], None], why: str) -> None:
    before = show_rows(lake, Asked("windows", ("node", "n"), limit=10_000))
    put(lake, lake / "v1" / "windows" / DAY / "x.parquet")

    shown = show_rows(lake, Asked("windows", ("node", "n"), limit=10_000))

    assert (before.unread, shown.unread) == ([], [(f"windows/{DAY}/x.parquet", why)])
    assert shown.rows == before.rows


def test_an_older_releases_files_beside_a_wrong_one_are_all_read(lake: Path) -> None:
    before, _ = read_frames(lake, "", FROM_AT, UNTIL_AT)
    for path in (lake / "v1" / "windows" / DAY).glob("*.parquet"):
        pl.read_parquet(path, hive_partitioning=False).drop("n_held", "more").write_parquet(path)
    _events(lake, lake / "v1" / "windows" / DAY / "x.parquet")

    after, said = read_frames(lake, "", FROM_AT, UNTIL_AT)

    assert [skip.subject for skip in said if skip.reason == "lake-file-unreadable"] == [
        f"windows/{DAY}/x.parquet"
    ]
    late = pl.all().exclude("n_held", "more")
    assert after["windows"].select(late).equals(before["windows"].select(late))


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("table", ["windows", "tickets", "events", "processes"])
def test_what_may_be_a_users_in_a_wrong_file_is_not_forgotten_unseen(
    lake: Path, table: str, apply: bool
) -> None:
    rightly = forget_lake(lake, lake / "history", 2002, apply=False)
    wrong = lake / "v1" / table / DAY / "x.parquet"
    shutil.copy(_first(lake, "flows"), wrong)
    content = wrong.read_bytes()

    taken = forget_lake(lake, lake / "history", 2002, apply=apply)

    why = f"not a file of {table}: "
    assert [(path, words[: len(why)]) for path, words in taken.failed] == [(wrong, why)]
    assert (taken.rows, taken.n_runs, wrong.read_bytes()) == (rightly.rows, rightly.n_runs, content)


def test_a_hurt_file_is_left_out_of_both_passes_or_of_none(lake: Path) -> None:
    reach = find_reach(look(lake, FROM_AT, UNTIL_AT))
    nodes = reach.of(sorted(reach.nodes))
    path = max((lake / "v1" / "windows" / DAY).glob("*.parquet"), key=lambda path: path.stat().st_size)
    whole = path.read_bytes()
    heights = set()
    for at in range(4, len(whole) - 8, max(1, len(whole) // 60)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        later = read_frames(lake, "", FROM_AT, UNTIL_AT, nodes, lean=True)[0]["windows"].height
        assert read_windows(lake, "", FROM_AT, UNTIL_AT, nodes)["windows"].height == later, at
        heights.add(later)
    assert len(heights) > 1  # some were unreadable

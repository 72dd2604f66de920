"""Which rows somebody who looks for himself gets, in which order, and what is said of bad files."""

from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake import show
from slurm_guard.lake.about import ABOUT, USUAL, check_column, check_table
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.schema import TABLES
from slurm_guard.lake.show import Asked, owners_of, show_rows
from tests.spools import AT, BOOT, CLUSTER, NODE, make, put, reading, segment, single

DAY = 86_400.0


def _run(job_id: int, at: float = AT) -> str:
    return wire.run_key(CLUSTER, job_id, NODE, BOOT, at)


def _window(run: str | None, start_at: float, **more: Any) -> Any:
    return make(wire.Window, run=run, start_at=start_at, end_at=start_at + 60.0, **more)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Jobs 42 and 421 with windows on two days; a guest's process on the GPU of 42."""
    spool = tmp_path / "spool"
    for job, user, uid in ((42, "mvance", 2001), (421, None, 2002)):
        told = make(wire.Ticket, run=_run(job), at=AT, job_id=job, user=user, uid=uid)
        put(spool, "tickets", f"{wire.stem(_run(job))}.json", single(told))
    guest = make(wire.ProcShare, pid=77, run=_run(421), sm_ms=5)
    mine = make(wire.ProcShare, pid=7, run=_run(42), sm_ms=9)
    windows = [
        _window(_run(42), AT + 60, gpu="b"),
        _window(_run(42), AT, gpu="b", procs=[mine, guest], shared=True, energy_mj=5),
        _window(_run(42), AT, gpu="a"),
        _window(_run(42), AT + DAY, gpu="a"),
    ]
    put(spool, "sealed", *segment(windows, run=_run(42)))
    put(spool, "sealed", *segment([_window(_run(421), AT)], run=_run(421)))
    assert collect([spool], tmp_path / "lake").refused == ()
    return tmp_path / "lake"


def test_rows_of_a_job_come_by_time_and_no_other_job_is_meant(lake: Path) -> None:
    shown = show_rows(lake, Asked("windows", ("start_at", "gpu"), job=42))

    assert shown.rows == [(AT, "a"), (AT, "b"), (AT + 60, "b"), (AT + DAY, "a")]
    assert (shown.n_all, shown.runs, shown.unread) == (4, (_run(42),), [])


def test_what_works_on_a_jobs_gpus_is_shown_with_it(lake: Path) -> None:
    assert show_rows(lake, Asked("shares", ("pid",), job=42)).rows == [(7,), (77,)]
    assert show_rows(lake, Asked("shares", ("pid",), job=421)).rows == [(77,)]


@pytest.mark.parametrize(
    ("asked", "n"),
    [
        ({"from_at": AT + 59}, 4),
        ({"from_at": AT + 60}, 2),  # a window that ends there does not meet it
        ({"from_at": AT + 61}, 2),
        ({"until_at": AT + 60}, 2),
        ({"from_at": AT, "until_at": AT + 61}, 3),
        ({"node": "n2"}, 0),
        ({"run": _run(421)}, 0),
        ({"where": (("gpu", "a"),)}, 2),
        ({"where": (("shared", "true"),)}, 1),
        ({"where": (("energy_mj", "5"),)}, 1),
        ({"where": (("energy_mj", "null"), ("gpu", "a"))}, 2),
    ],
)
def test_each_word_leaves_rows_out(lake: Path, asked: dict[str, Any], n: int) -> None:
    assert show_rows(lake, Asked("windows", job=42, **asked)).n_all == n


def test_of_a_list_one_value_is_meant(tmp_path: Path) -> None:
    told = make(wire.Ticket, run=_run(42), gpus=[0, 3])
    put(tmp_path / "spool", "tickets", f"{wire.stem(_run(42))}.json", single(told))
    collect([tmp_path / "spool"], tmp_path / "lake")

    assert show_rows(tmp_path / "lake", Asked("tickets", where=(("gpus", "3"),))).n_all == 1
    assert show_rows(tmp_path / "lake", Asked("tickets", where=(("gpus", "1"),))).n_all == 0


def test_a_page_is_the_first_rows_whatever_the_batches(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = show_rows(lake, Asked("windows"))
    monkeypatch.setattr(show, "_BATCH", 1)

    page = show_rows(lake, Asked("windows", limit=2))

    assert (page.rows, page.n_all) == (whole.rows[:2], 5)


def test_points_are_those_of_the_last_reading_unless_one_is_asked_for(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    for read, step in ((1, 10), (2, 20)):
        records = [make(wire.LogFile, file=0), make(wire.Point, file=0, step=step)]
        put(spool, "progress", *reading(records, read=read))
    assert collect([spool], tmp_path / "lake").refused == ()

    assert show_rows(tmp_path / "lake", Asked("points", ("step",), job=42)).rows == [(20,)]
    first = Asked("points", ("step",), job=42, where=(("read", "1"),))
    assert show_rows(tmp_path / "lake", first).rows == [(10,)]


def test_a_bad_file_is_named_and_the_others_are_shown(lake: Path) -> None:
    bad = next((lake / "v1" / "windows").glob("*/*.parquet")).with_name("0.parquet")
    bad.write_bytes(b"PAR1 no more")

    shown = show_rows(lake, Asked("windows"))

    assert shown.n_all == 5
    ((name, why),) = shown.unread
    assert name.endswith("/0.parquet")
    assert why


def test_a_day_that_may_not_be_listed_is_no_day_without_rows(lake: Path, tmp_path: Path) -> None:
    day = next((lake / "v1" / "windows").iterdir())
    day.rename(tmp_path / "away")
    day.symlink_to(day.name)  # a loop: for root, too

    shown = show_rows(lake, Asked("windows"))

    assert [name for name, _ in shown.unread] == [f"windows/{day.name}"]


def test_runs_are_told_by_their_tickets_owners(lake: Path) -> None:
    assert owners_of(lake, (_run(42), _run(421), _run(9), "odd")) == {"mvance", "uid 2002"}
    assert owners_of(lake, ()) == set()


@pytest.mark.parametrize(
    ("asked", "slug", "hint"),
    [
        (Asked("windows", ("gpu_idx",)), "column-unknown", "gpu_index"),
        (Asked("windows", where=(("zzz", "1"),)), "column-unknown", "lake tables windows"),
        (Asked("windows", where=(("n", "many"),)), "where-value", "--where n="),
        (Asked("windows", where=(("n", "9" * 30),)), "where-value", "--where n="),
        (Asked("windows", where=(("start_at", "nan"),)), "where-value", "start_at"),
        (Asked("windows", where=(("shared", "perhaps"),)), "where-value", "shared"),
    ],
)
def test_what_cannot_be_asked_is_said(lake: Path, asked: Asked, slug: str, hint: str) -> None:
    with pytest.raises(GuardError, match=slug) as caught:
        show_rows(lake, asked)

    assert caught.value.exit_code == EXIT_USAGE
    assert hint in caught.value.hint


def test_an_unknown_table_has_the_nearest_in_its_hint() -> None:
    with pytest.raises(GuardError, match="table-unknown") as caught:
        check_table("window")

    assert caught.value.hint == "did you mean windows?"


def test_each_table_has_its_words_and_usual_columns() -> None:
    assert ABOUT.keys() == TABLES.keys() == USUAL.keys()
    for table, columns in USUAL.items():
        assert [check_column(table, name) for name in columns] == list(columns)

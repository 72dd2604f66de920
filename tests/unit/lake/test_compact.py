"""A compacted lake holds what it held, stopped anywhere; what it stands for is not taken again."""

import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slurm_guard import wire
from slurm_guard.lake import compact as module
from slurm_guard.lake.compact import GRACE_S, Compacted, compact
from slurm_guard.lake.compacted import counting, is_compacted
from slurm_guard.lake.forget import forget_lake
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.ingest import CollectReport, collect
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Skip
from slurm_guard.retention import old_days, remove
from tests.spools import AT, BOOT, CLUSTER, make, put, segment, single, tree

DAY = 86_400.0
EVER = (date.min, date.max)
LATER = 2 * GRACE_S
NODES = ("n1", "n2", "n3")
N_SEGMENTS = 6


def run_of(node: str, job_id: int = 42) -> str:
    return wire.run_key(CLUSTER, job_id, node, BOOT, AT)


# Made once: the builder looks up the types of every field of every record.
WINDOW, EVENT, PROCESS = make(wire.Window), make(wire.Event), make(wire.ProcessSeen)


def put_segment(spool: Path, node: str, seq: int, job_id: int = 42) -> None:
    run = run_of(node, job_id)
    starts = [AT - 8 * 3600 + 600 * seq + 60 * i for i in range(10)]
    records: list[Any] = [
        WINDOW._replace(run=run, start_at=at, end_at=at + 60, gpu=f"GPU-{gpu}", gpu_index=gpu, energy_mj=seq)
        for at in starts
        for gpu in (1, 0)
    ]
    records += [EVENT._replace(run=run, at=starts[0], name="told", detail={"seq": seq})] * 2
    uid = 1000 if node == "n1" else 1001
    records += [PROCESS._replace(run=run, uid=uid, last_seen_at=starts[0], first_seen_at=starts[0])]
    name, text = segment(records, run=run, seq=seq, node=node, opened_at=starts[0])
    put(spool, "sealed", name, text, node)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A collected lake beside its spool: three nodes, each with a run of six segments."""
    for node in NODES:
        run = run_of(node)
        ticket = make(wire.Ticket, run=run, node=node, uid=1000 if node == "n1" else 1001)
        put(tmp_path / "spool", "tickets", f"{wire.stem(run)}.json", single(ticket), node)
        for seq in range(N_SEGMENTS):
            put_segment(tmp_path / "spool", node, seq)
    assert _collect(tmp_path).refused == ()
    return tmp_path


def _collect(site: Path) -> CollectReport:
    return collect([site / "spool"], site / "lake")


def _compact(site: Path, later_s: float = 0.0, **more: Any) -> Compacted:
    newest = max((path.stat().st_mtime for path in (site / "lake").rglob("*.parquet")), default=0.0)
    return compact(site / "lake", EVER, newest + later_s, **more)


def _read(site: Path) -> tuple[dict[str, pl.DataFrame], tuple[Skip, ...]]:
    return read_frames(site / "lake", CLUSTER, AT - DAY, AT + DAY)


def _same(site: Path, before: tuple[dict[str, pl.DataFrame], tuple[Skip, ...]]) -> bool:
    now = _read(site)
    return now[1] == before[1] and all(before[0][name].equals(now[0][name]) for name in TABLES)


def _windows(site: Path) -> list[Path]:
    return sorted((site / "lake" / "v1" / "windows").rglob("*.parquet"))


def _n_counting(site: Path) -> int:
    return sum(len(counting(day)) for day in (site / "lake" / "v1" / "windows").iterdir())


def test_a_days_files_become_one_and_its_rows_are_the_same(site: Path) -> None:
    before = _read(site)

    done = _compact(site)

    assert _n_counting(site) == 1
    assert done.n_before > 3 * done.n_after
    assert _same(site, before)
    assert before[0]["windows"].height == len(NODES) * N_SEGMENTS * 20


def test_what_was_replaced_stays_for_readers_and_goes_hours_later(site: Path) -> None:
    before = _read(site)
    _compact(site)
    n_with = len(_windows(site))
    early, late = _compact(site, GRACE_S - 60), _compact(site, LATER)

    assert (n_with, early.n_removed) == (len(NODES) * N_SEGMENTS + 1, 0)
    assert late.n_removed > 0
    assert [is_compacted(path) for path in _windows(site)] == [True]
    assert _same(site, before)


def test_doing_it_again_changes_nothing(site: Path) -> None:
    _compact(site)
    _compact(site, LATER)
    there = tree(site / "lake")

    done = _compact(site, LATER)

    assert (done.n_before, done.n_removed, tree(site / "lake")) == (0, 0, there)


def test_the_order_in_which_files_came_makes_no_difference(site: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    collect([site / "spool"], other / "lake")
    _compact(site)
    _compact(other)

    mine, its = tree(site / "lake" / "v1" / "windows"), tree(other / "lake" / "v1" / "windows")
    assert mine == its


def test_a_spool_collected_again_without_the_manifest_adds_nothing(site: Path) -> None:
    before = _read(site)
    _compact(site)
    _compact(site, LATER)
    for path in (site / "lake" / "v1" / "manifest").iterdir():
        path.unlink()

    report = _collect(site)

    assert (report.n_new, _n_counting(site)) == (0, 1)
    assert _same(site, before)


def test_late_segments_are_taken_and_join_a_file_that_is_not_full(site: Path) -> None:
    _compact(site)
    _compact(site, LATER)
    for seq in range(N_SEGMENTS, N_SEGMENTS + module.LEAST_FILES):
        put_segment(site / "spool", "n2", seq)
    assert _collect(site).n_new == module.LEAST_FILES
    before = _read(site)

    _compact(site)
    assert (_n_counting(site), _same(site, before)) == (1, True)
    _compact(site, LATER)
    assert (len(_windows(site)), _same(site, before)) == (1, True)
    for path in (site / "lake" / "v1" / "manifest").iterdir():
        path.unlink()
    assert _collect(site).n_new == 0


def test_files_are_of_a_size_and_a_node_lies_in_one(site: Path) -> None:
    of_node = N_SEGMENTS * 20

    _compact(site, most_rows=of_node)

    found = [path for day in (site / "lake" / "v1" / "windows").iterdir() for path in counting(day)]
    nodes = [pl.read_parquet(path, hive_partitioning=False)["node"].unique().to_list() for path in found]
    assert sorted(nodes) == [["n1"], ["n2"], ["n3"]]


def test_few_files_are_left_as_they_are(tmp_path: Path) -> None:
    for seq in range(module.LEAST_FILES - 1):
        put_segment(tmp_path / "spool", "n1", seq)
    _collect(tmp_path)

    assert _compact(tmp_path).n_before == 0


def test_a_day_beyond_the_bounds_is_left_as_it_is(site: Path) -> None:
    assert compact(site / "lake", (date.min, date(2026, 1, 1))).n_before == 0


class _Stopped(BaseException):
    """What a kill is to the code that it meets."""


def _stop_at(monkeypatch: pytest.MonkeyPatch, n: int, *, after: bool) -> None:
    """The n-th rename or removal is the last thing that happens, or the first that does not."""
    seen = 0

    def stopping(real: Any) -> Any:
        def call(self: Path, *words: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen >= n and not after:
                raise _Stopped
            result = real(self, *words, **more)
            if seen >= n:
                raise _Stopped
            return result

        return call

    monkeypatch.setattr(Path, "replace", stopping(Path.replace))
    monkeypatch.setattr(Path, "unlink", stopping(Path.unlink))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_stopped_anywhere_no_row_is_missing_or_twice(
    site: Path, monkeypatch: pytest.MonkeyPatch, after: bool, late: bool
) -> None:
    before = _read(site)
    if late:
        _compact(site)
    n_stops = 0
    for n in range(1, 200, 9 if late else 1):
        with monkeypatch.context() as patch:
            _stop_at(patch, n, after=after)
            try:
                _compact(site, LATER if late else 0.0)
                break
            except _Stopped:
                n_stops += 1
        assert _same(site, before)
        rows = sum(
            pl.read_parquet(path, hive_partitioning=False).height
            for day in (site / "lake" / "v1" / "windows").iterdir()
            for path in counting(day)
        )
        assert rows == before[0]["windows"].height
    _compact(site, LATER)

    assert n_stops > 3
    assert (len(_windows(site)), _same(site, before)) == (1, True)


def test_a_compacted_file_that_cannot_be_read_goes_and_what_it_stands_for_counts_again(site: Path) -> None:
    before = _read(site)
    _compact(site)
    (made,) = [path for path in _windows(site) if is_compacted(path)]
    raw = made.read_bytes()
    made.write_bytes(raw[: len(raw) // 2])
    os.utime(made, (made.stat().st_atime, made.stat().st_mtime))

    done = _compact(site, LATER)

    assert made in {path for path, _ in done.failed}
    assert _same(site, before)
    _compact(site, LATER)
    _compact(site, LATER)
    assert (len(_windows(site)), _same(site, before)) == (1, True)


def test_a_file_that_cannot_be_read_is_left_out_and_still_told(site: Path) -> None:
    hurt = _windows(site)[0]
    hurt.write_bytes(b"PAR1 and nothing more")
    before = _read(site)

    done = _compact(site)

    assert [skip.reason for skip in before[1]].count("lake-file-unreadable") == 1
    assert {path for path, _ in done.failed} == {hurt}
    assert (_n_counting(site), _same(site, before)) == (2, True)


def test_columns_of_a_later_release_are_not_lost(site: Path) -> None:
    path = _windows(site)[0]
    pl.read_parquet(path, hive_partitioning=False).with_columns(news=pl.lit(1)).write_parquet(path)

    _compact(site)
    _compact(site, LATER)

    assert "news" in pl.read_parquet_schema(path)


def test_a_file_of_an_earlier_release_has_nulls_where_it_had_no_column(site: Path) -> None:
    path = _windows(site)[0]
    pl.read_parquet(path, hive_partitioning=False).drop("n_own").write_parquet(path)
    before = _read(site)

    _compact(site)

    assert (_n_counting(site), _same(site, before)) == (1, True)


def test_a_list_that_is_lost_costs_no_row(site: Path) -> None:
    before = _read(site)
    _compact(site)
    for path in (site / "lake").rglob("*.sources"):
        path.unlink()

    assert _same(site, before)


def test_holes_are_found_as_before(site: Path) -> None:
    put_segment(site / "spool", "n1", N_SEGMENTS + 3)
    _collect(site)
    before = _read(site)

    _compact(site)
    _compact(site, LATER)

    assert "segment-missing" in {skip.reason for skip in before[1]}
    assert _same(site, before)


def test_a_user_is_forgotten_in_both_and_counted_once(site: Path) -> None:
    history = site / "history"
    plain = forget_lake(site / "lake", history, 1000, apply=False).rows
    _compact(site)

    done = forget_lake(site / "lake", history, 1000, apply=True)
    _compact(site, LATER)

    assert done.rows == plain
    assert forget_lake(site / "lake", history, 1000, apply=False).rows == {}
    processes = _read(site)[0]["processes"]
    assert set(processes["node"].unique()) == {"n2", "n3"}
    for path in (site / "lake" / "v1" / "manifest").iterdir():
        path.unlink()
    _collect(site)
    assert forget_lake(site / "lake", history, 1000, apply=False).rows == {}


def test_prune_takes_a_compacted_day_whole(site: Path) -> None:
    _compact(site)
    tables = sorted((site / "lake" / "v1").iterdir())

    remove(old_days("lake", tables, 1.0, AT + 30 * DAY))

    assert list((site / "lake" / "v1").rglob("date=*")) == []


def test_a_list_is_plain_text_that_names_files(site: Path) -> None:
    names = {path.stem for path in _windows(site)}
    _compact(site)

    (listed,) = (site / "lake" / "v1" / "windows").rglob("*.sources")
    assert set(listed.read_text("ascii").split()) == names


def _put_wrong(folder: Path, events: Path, mine: Path) -> list[Path]:
    """In a day's folder: a file of another table, one of nobody's, and a folder with rows in it."""
    wrong = [folder / f"{name}.parquet" for name in ("another", "folder", "nobodys")]
    shutil.copy(events, wrong[0])
    wrong[1].mkdir()
    shutil.copy(mine, wrong[1] / "inside.parquet")
    pl.DataFrame({"cluster": [CLUSTER], "node": ["n1"], "run": [run_of("n1")]}).write_parquet(wrong[2])
    return wrong


def test_what_is_no_file_of_the_table_is_left_where_it_is_and_told(site: Path) -> None:
    day = _windows(site)[0].parent
    before = _read(site)
    events = next((site / "lake" / "v1" / "events").rglob("*.parquet"))
    wrong = _put_wrong(day, events, _windows(site)[0])
    content = tree(day / "folder.parquet"), wrong[0].read_bytes(), wrong[2].read_bytes()

    first, second = _compact(site), _compact(site, later_s=LATER)

    assert (len(first.failed), sorted({path for path, _ in first.failed})) == (3, wrong)
    assert {path for path, _ in second.failed} <= {*wrong}
    assert (tree(day / "folder.parquet"), wrong[0].read_bytes(), wrong[2].read_bytes()) == content
    after = _read(site)
    assert len([skip for skip in after[1] if skip.reason == "lake-file-unreadable"]) == 3
    assert all(before[0][name].equals(after[0][name]) for name in TABLES)
    assert second.n_removed == first.n_before


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_somebody_put_in_the_place_of_a_compacted_file_ends_nothing(site: Path, is_folder: bool) -> None:
    before = _read(site)
    _compact(site)
    new = next(path for path in _windows(site) if is_compacted(path))
    events = next((site / "lake" / "v1" / "events").rglob("*.parquet"))
    if is_folder:
        new.unlink()
        new.mkdir()
    else:
        shutil.copy(events, new)

    done = _compact(site, later_s=LATER)

    assert new in {path for path, _ in done.failed}
    assert new.exists()
    new.rename(site / "moved away")
    assert _same(site, before)

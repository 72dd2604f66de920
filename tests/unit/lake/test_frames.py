"""Which rows a window of time gets, and what is said about files that cannot be read."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slurm_guard import wire
from slurm_guard.errors import GuardError
from slurm_guard.lake.frames import UNASKED, read_frames
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Skip
from tests.spools import AT, BOOT, CLUSTER, NODE, make, put, reading, segment, single

DAY = 86_400.0
HOUR = 3600.0


def run_at(job_id: int, at: float) -> str:
    return wire.run_key(CLUSTER, job_id, NODE, BOOT, at)


def ticket(spool: Path, job_id: int, at: float) -> str:
    run = run_at(job_id, at)
    put(spool, "tickets", f"{wire.stem(run)}.json", single(make(wire.Ticket, run=run, at=at, job_id=job_id)))
    return run


def end(spool: Path, run: str, job_id: int, at: float) -> None:
    put(spool, "ends", f"{job_id}_{int(at)}.json", single(make(wire.EndMark, run=run, at=at, job_id=job_id)))


def window(run: str | None, start_at: float, long_s: float = 60.0, **more: Any) -> wire.Window:
    made: wire.Window = make(wire.Window, run=run, start_at=start_at, end_at=start_at + long_s, **more)
    return made


def read(tmp_path: Path, from_at: float, until_at: float) -> tuple[dict[str, pl.DataFrame], tuple[Skip, ...]]:
    report = collect([tmp_path / "spool"], tmp_path / "lake")
    assert report.refused == ()
    return read_frames(tmp_path / "lake", CLUSTER, from_at, until_at)


def test_no_lake_gives_every_table_empty_with_its_schema(tmp_path: Path) -> None:
    frames, skips = read_frames(tmp_path, CLUSTER, AT, AT + DAY)

    assert {name: frame.schema for name, frame in frames.items()} == {
        n: pl.Schema(s) for n, s in TABLES.items()
    }
    assert (skips, sum(frame.height for frame in frames.values())) == ((), 0)


def test_windows_that_overlap_are_in_and_those_that_touch_from_outside_are_not(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    starts = [AT - 61, AT - 30, AT, AT + 30, AT + 60]
    put(tmp_path / "spool", "sealed", *segment([window(run, start) for start in starts], run=run))

    frames, _ = read(tmp_path, AT, AT + 60)

    assert frames["windows"]["start_at"].to_list() == [AT - 30, AT, AT + 30]


def test_a_window_across_midnight_is_found_from_the_next_day(tmp_path: Path) -> None:
    midnight = AT - AT % DAY
    run = ticket(tmp_path / "spool", 1, midnight - 100)
    put(tmp_path / "spool", "sealed", *segment([window(run, midnight - 30)], run=run))

    frames, _ = read(tmp_path, midnight, midnight + DAY)

    assert frames["windows"].height == 1


def test_a_long_run_brings_its_old_ticket_and_processes(tmp_path: Path) -> None:
    begun = AT - 80 * DAY
    run = ticket(tmp_path / "spool", 1, begun)
    old = make(wire.ProcessSeen, run=run, first_seen_at=begun, last_seen_at=begun)
    put(tmp_path / "spool", "sealed", *segment([old], run=run, seq=0))
    put(tmp_path / "spool", "sealed", *segment([window(run, AT)], run=run, seq=1))

    frames, _ = read(tmp_path, AT, AT + HOUR)

    assert (frames["tickets"].height, frames["processes"].height, frames["windows"].height) == (1, 1, 1)


def test_a_run_of_which_only_a_ticket_is_left_is_in_until_it_ends(tmp_path: Path) -> None:
    silent = ticket(tmp_path / "spool", 1, AT - 3 * DAY)
    ended = ticket(tmp_path / "spool", 2, AT - 3 * DAY)
    end(tmp_path / "spool", ended, 2, AT - 2 * DAY)
    ticket(tmp_path / "spool", 3, AT + 2 * HOUR)

    frames, _ = read(tmp_path, AT, AT + HOUR)

    assert frames["tickets"]["run"].to_list() == [silent]


def test_ends_and_reads_that_came_after_the_window_come_with_their_run(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    end(tmp_path / "spool", run, 1, AT + 3 * DAY)
    log = make(wire.LogFile)
    put(tmp_path / "spool", "progress", *reading([log, make(wire.Point, step=1)], run=run, read=1))
    put(tmp_path / "spool", "progress", *reading([log, make(wire.Point, step=2)], run=run, read=2))

    frames, _ = read(tmp_path, AT, AT + HOUR)

    assert frames["ends"].height == 1
    assert frames["logs"]["read"].to_list() == [2]
    assert frames["points"]["step"].to_list() == [2]


def test_of_a_release_that_knew_no_parameters_they_are_null(tmp_path: Path) -> None:
    late = ("params", "dense", "params_from")
    run = ticket(tmp_path / "spool", 1, AT)
    log = make(wire.LogFile, params=7_000_000_000, dense=7_000_000_000, params_from="header")
    put(tmp_path / "spool", "progress", *reading([log], run=run, read=1))
    read(tmp_path, AT, AT + HOUR)
    lake = next((tmp_path / "lake").rglob("logs/**/*.parquet"))
    assert pl.read_parquet(lake).select(late).rows() == [(7_000_000_000, 7_000_000_000, "header")]
    pl.read_parquet(lake).drop(late).write_parquet(lake)

    frames, _ = read(tmp_path, AT, AT + HOUR)

    assert frames["logs"].select(late).rows() == [(None, None, None)]


def test_each_run_keeps_its_own_highest_read(tmp_path: Path) -> None:
    one, two = ticket(tmp_path / "spool", 1, AT), ticket(tmp_path / "spool", 2, AT)
    for run, read_n in ((one, 1), (two, 1), (two, 2)):
        records = [make(wire.LogFile), make(wire.Point, step=read_n)]
        put(tmp_path / "spool", "progress", *reading(records, run=run, read=read_n))

    frames, _ = read(tmp_path, AT, AT + HOUR)

    assert frames["points"].select("run", "step").rows() == [(one, 1), (two, 2)]


def test_a_process_left_over_from_an_ended_run_brings_that_runs_ticket(tmp_path: Path) -> None:
    gone = ticket(tmp_path / "spool", 1, AT - DAY)
    end(tmp_path / "spool", gone, 1, AT - HOUR)
    run = ticket(tmp_path / "spool", 2, AT)
    share = make(wire.ProcShare, run=gone, pid=77)
    put(tmp_path / "spool", "sealed", *segment([window(run, AT, procs=[share])], run=run))

    frames, _ = read(tmp_path, AT, AT + HOUR)

    assert frames["tickets"]["run"].to_list() == [gone, run]
    assert frames["ends"]["run"].to_list() == [gone]


def test_a_process_of_nobody_that_was_described_days_ago_is_found(tmp_path: Path) -> None:
    seen = make(
        wire.ProcessSeen,
        run=None,
        pid=77,
        start_ticks=5,
        first_seen_at=AT - 4 * DAY,
        last_seen_at=AT - 4 * DAY,
    )
    other = seen._replace(pid=78)
    put(tmp_path / "spool", "sealed", *segment([seen, other], run=None, seq=0))
    share = make(wire.ProcShare, run=None, pid=77, start_ticks=5)
    put(tmp_path / "spool", "sealed", *segment([window(None, AT, procs=[share])], run=None, seq=1))

    frames, _ = read(tmp_path, AT, AT + HOUR)

    assert frames["processes"]["pid"].to_list() == [77]


def test_windows_across_a_set_clock_are_left_out_and_said(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    records = [window(run, AT), window(run, AT + 60, -20.0), window(run, AT + 60, 90_000.0)]
    put(tmp_path / "spool", "sealed", *segment(records, run=run))

    frames, skips = read(tmp_path, AT, AT + HOUR)

    assert frames["windows"]["end_at"].to_list() == [AT + 60]
    assert [(skip.subject, skip.reason) for skip in skips] == [(NODE, "clock-stepped")]


def test_another_clusters_rows_are_left_out(tmp_path: Path) -> None:
    ticket(tmp_path / "spool", 1, AT)
    collect([tmp_path / "spool"], tmp_path / "lake")

    assert read_frames(tmp_path / "lake", "beta", AT, AT + HOUR)[0]["tickets"].height == 0
    assert read_frames(tmp_path / "lake", "", AT, AT + HOUR)[0]["tickets"].height == 1


def test_a_torn_parquet_file_is_a_skip_and_the_rest_is_read(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    for seq in (0, 1):
        put(tmp_path / "spool", "sealed", *segment([window(run, AT + 60 * seq)], run=run, seq=seq))
    read(tmp_path, AT, AT + HOUR)
    torn = sorted((tmp_path / "lake").rglob("windows/*/*.parquet"))[0]
    torn.write_bytes(torn.read_bytes()[:-40])

    frames, skips = read_frames(tmp_path / "lake", CLUSTER, AT, AT + HOUR)

    assert frames["windows"].height == 1
    assert [(skip.subject, skip.reason) for skip in skips] == [
        (f"windows/{torn.parent.name}/{torn.name}", "lake-file-unreadable")
    ]


def test_a_column_more_or_less_in_one_file_does_not_stop_the_night(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    for seq in (0, 1):
        put(
            tmp_path / "spool", "sealed", *segment([window(run, AT + 60 * seq, power_mw=9)], run=run, seq=seq)
        )
    read(tmp_path, AT, AT + HOUR)
    odd = sorted((tmp_path / "lake").rglob("windows/*/*.parquet"))[0]
    pl.read_parquet(odd, hive_partitioning=False).drop("power_mw").with_columns(new=1).write_parquet(odd)

    frames, skips = read_frames(tmp_path / "lake", CLUSTER, AT, AT + HOUR)

    assert sorted(frames["windows"]["power_mw"].to_list(), key=str) == [9, None]
    assert frames["windows"].schema == pl.Schema(TABLES["windows"])
    assert skips == ()


def test_a_column_of_another_type_is_a_skip(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    for seq in (0, 1):
        put(tmp_path / "spool", "sealed", *segment([window(run, AT + 60 * seq)], run=run, seq=seq))
    read(tmp_path, AT, AT + HOUR)
    odd = sorted((tmp_path / "lake").rglob("windows/*/*.parquet"))[0]
    frame = pl.read_parquet(odd, hive_partitioning=False)
    frame.with_columns(pl.col("covered_ms").cast(pl.String)).write_parquet(odd)

    frames, skips = read_frames(tmp_path / "lake", CLUSTER, AT, AT + HOUR)

    assert (frames["windows"].height, [skip.reason for skip in skips]) == (1, ["lake-file-unreadable"])


@pytest.mark.parametrize("step_s", [-80_000.0, -3600.0, -20.0, 20.0, 3600.0, 400_000.0])
def test_a_clock_set_between_segments_loses_no_row(tmp_path: Path, step_s: float) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    prev, back = None, AT + 1800 + step_s
    for seq, (opened, closed) in enumerate(((AT, AT + 1000), (AT + 1000, back), (back, back + 1000))):
        seen = {"first_seen_at": opened, "last_seen_at": closed, "run": run}
        rows = [
            make(wire.ProcessSeen, **seen),
            make(wire.FlowSeen, **seen),
            make(wire.Event, at=closed, run=run, detail={"seq": seq}),
        ]
        windows = [] if seq == 1 else [window(run, opened), window(run, opened + 60)]
        file = segment(
            [*windows, *rows], run=run, seq=seq, opened_at=opened, closed_at=closed, prev_sha256=prev
        )
        prev = json.loads(file[1].splitlines()[-1])["sha256"]
        put(tmp_path / "spool", "sealed", *file)
    collect([tmp_path / "spool"], tmp_path / "lake")

    tables = ("windows", "segments", "processes", "flows", "events")
    whole, _ = read_frames(tmp_path / "lake", CLUSTER, AT - 2 * DAY, AT + 6 * DAY)
    parts: dict[str, list[pl.DataFrame]] = {table: [] for table in tables}
    for hour in range(-24, 140, 4):
        frames, _ = read_frames(tmp_path / "lake", CLUSTER, AT + hour * HOUR, AT + (hour + 4) * HOUR)
        for table in tables:
            parts[table].append(frames[table])

    for table in tables:
        assert whole[table].height == {"windows": 4}.get(table, 3)
        assert pl.concat(parts[table]).unique().height == whole[table].height, table


def test_lean_frames_are_the_whole_ones_without_what_nobody_asks_for(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    put(tmp_path / "spool", "sealed", *segment([window(run, AT + 60 * k) for k in range(5)], run=run))
    whole, _ = read(tmp_path, AT, AT + HOUR)

    lean, skips = read_frames(tmp_path / "lake", CLUSTER, AT, AT + HOUR, lean=True)

    assert skips == ()
    assert {name: frame.height for name, frame in lean.items()} == {n: f.height for n, f in whole.items()}
    assert all(frame.equals(whole[name].drop(UNASKED.get(name, ()))) for name, frame in lean.items())


def test_rows_that_differ_in_what_is_not_read_are_two_rows_in_lean_frames_too(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    put(tmp_path / "spool", "sealed", *segment([window(run, AT)], run=run))
    read(tmp_path, AT, AT + HOUR)
    (path,) = (tmp_path / "lake").rglob("windows/*/*.parquet")
    row = pl.read_parquet(path, hive_partitioning=False)
    for name, temp_c in (("hotter", 80), ("again", 80)):
        row.with_columns(temp_c=pl.lit(temp_c, pl.Int64)).write_parquet(path.with_name(f"{name}.parquet"))

    whole, _ = read_frames(tmp_path / "lake", CLUSTER, AT, AT + HOUR)
    lean, _ = read_frames(tmp_path / "lake", CLUSTER, AT, AT + HOUR, lean=True)

    assert (whole["windows"].height, lean["windows"].height) == (2, 2)
    assert lean["windows"].equals(whole["windows"].drop(UNASKED["windows"]))


def test_a_day_that_cannot_be_listed_is_no_day_without_rows(tmp_path: Path) -> None:
    run = ticket(tmp_path / "spool", 1, AT)
    put(tmp_path / "spool", "sealed", *segment([window(run, AT)], run=run))
    read(tmp_path, AT, AT + 60)
    (day,) = (tmp_path / "lake" / "v1" / "windows").iterdir()
    day.rename(tmp_path / "away")
    day.symlink_to(day.name)  # ELOOP, for root too

    with pytest.raises(GuardError, match=f"windows/{day.name} cannot be listed: Too many levels") as caught:
        read_frames(tmp_path / "lake", CLUSTER, AT, AT + 60)

    assert caught.value.slug == "lake-unreadable"

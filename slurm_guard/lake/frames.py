"""The lake's rows for one window of time, in an order that does not depend on how they came in."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from slurm_guard.distinct import all_differ
from slurm_guard.lake.chain import find_holes
from slurm_guard.lake.doubles import without_doubles
from slurm_guard.lake.reach import NodeReach
from slurm_guard.lake.reader import Reader, keep_whole, keys_of, marks_of, ordered, overlapping, runs_of
from slurm_guard.lake.scan import (
    DAY_S,
    LONG,
    SPANS,
    UNREADABLE,
    day_of,
    scan,
)
from slurm_guard.lake.schema import TABLES, empty
from slurm_guard.lake.view import TICKET_DAYS, View
from slurm_guard.model import Skip

# Rows that come with their run, whenever they were written.
_OF_RUN = ("tickets", "ends", "seals", "processes")


# What an audit asks nothing of: half of what a window weighs. `lake show` has all of it.
UNASKED: dict[str, tuple[str, ...]] = {
    "windows": (
        "gpu_index",
        "start_mono_s",
        "gap_ms",
        *("mem_used_mib", "mem_total_mib", "temp_c", "throttle", "power_inst_mw", "procs_upper"),
        *("pcie_tx_b", "pcie_rx_b", "nvlink_tx_b", "nvlink_rx_b", "period_strength"),
    ),
    "shares": ("cpu_ms",),
}
WIDE = ("windows", "shares", "held")  # with rows for each window
# What is asked of a window before anything is measured: engine/parts.py's survey.
_SURVEYED = (
    *("run", "gpu", "model", "start_at", "end_at", "covered_ms", "energy_mj", "power_mw", "busy_ms"),
    *("sm_cycles", "sm_ms", "tensor_ms", "int_ms", "dram_ms", "mem_busy_ms"),
)


class Named(NamedTuple):
    """What the wide tables say of the others' rows: `run`, keys; and node, pid, start_ticks of processes of
    no run that took part. Distinct, in no order."""

    runs: pl.DataFrame
    strangers: pl.DataFrame

    @classmethod
    def none(cls) -> "Named":
        """Nothing."""
        return named_in({name: empty(name) for name in WIDE}, WIDE)

    def beside(self, other: "Named") -> "Named":
        """Both together."""
        return Named(*(pl.concat(pair).unique() for pair in zip(self, other, strict=True)))


def read_frames(
    lake: Path,
    cluster: str,
    from_at: float,
    until_at: float,
    reach: NodeReach | View | None = None,
    *,
    lean: bool = False,
) -> tuple[dict[str, pl.DataFrame], tuple[Skip, ...]]:
    """Every table of schema.TABLES for [from_at, until_at), and a Skip for each file that cannot be read
    and for each hole in a stream (lake/chain.py).

    Rows that overlap the window, and of every run that overlaps it the tickets, ends, seals and processes
    of any time; of `logs` and `points` the highest `read` of each such run. `cluster` empty: all clusters.
    Rows are distinct and sorted; a table without rows has its schema. `reach`: of these files and nodes,
    null: of what is there when a table is read. `lean`: without the columns of UNASKED, and its tables in
    the order of the files.

    Raises GuardError lake-newer, lake-older.
    """
    span = (from_at, until_at)
    reader = Reader(lake, cluster, reach, UNASKED if lean else {})
    frames = {name: overlapping(reader, name, *span) for name in SPANS}
    frames |= marks_of(reader, *span)
    _with_runs(reader, frames, span, named_in(frames, WIDE))
    keep_whole(frames, reader.skips)
    frames["windows"] = without_doubles(frames["windows"])
    if not lean:
        return {name: ordered(name, frames[name]) for name in TABLES}, tuple(reader.skips)
    if all(all_differ(frames[name], keys_of(name)) for name in UNASKED):
        rest = {name: ordered(name, frames[name]) for name in TABLES if name not in UNASKED}
        return {name: rest.get(name, frames[name]) for name in TABLES}, tuple(reader.skips)
    # Rows may differ in what was not read: what is the same row is told by all of it.
    frames, skips = read_frames(lake, cluster, *span, reach)
    return {name: frame.drop(UNASKED.get(name, ())) for name, frame in frames.items()}, skips


def read_wide(
    lake: Path, cluster: str, span: tuple[float, float], reach: NodeReach
) -> tuple[dict[str, pl.DataFrame], Named, tuple[Skip, ...]]:
    """Of read_frames' lean tables the WIDE ones, and what `read_rest` has to know of them."""
    reader = Reader(lake, cluster, reach, UNASKED)
    frames = {name: overlapping(reader, name, *span) for name in WIDE}
    named = named_in(frames, WIDE)
    is_plain = all(all_differ(frames[name], keys_of(name)) for name in UNASKED)
    if not is_plain:  # see read_frames
        reader = Reader(lake, cluster, reach)
        frames = {name: overlapping(reader, name, *span) for name in WIDE}
    keep_whole(frames, reader.skips)
    frames["windows"] = without_doubles(frames["windows"])
    asked = WIDE if not is_plain else ("held",)
    frames |= {name: ordered(name, frames[name]).drop(UNASKED.get(name, ()), strict=False) for name in asked}
    return frames, named, tuple(reader.skips)


def read_rest(
    lake: Path, cluster: str, span: tuple[float, float], reach: NodeReach, named: Named
) -> tuple[dict[str, pl.DataFrame], tuple[Skip, ...]]:
    """Of read_frames' lean tables all but the WIDE ones. `named`: in those of all nodes of `reach`."""
    reader = Reader(lake, cluster, reach)
    frames = {name: overlapping(reader, name, *span) for name in SPANS if name not in WIDE}
    frames |= marks_of(reader, *span)
    _with_runs(reader, frames, span, named)
    return {name: ordered(name, frames[name]) for name in TABLES if name not in WIDE}, tuple(reader.skips)


def read_windows(
    lake: Path, cluster: str, from_at: float, until_at: float, reach: NodeReach
) -> dict[str, pl.DataFrame]:
    """Of read_frames' tables the windows and tickets of these nodes alone, windows without what is asked of
    them later. A file that read_frames cannot read is not read here."""
    # The same columns as later: a file that is hurt in one of them is left out of both passes, or of none.
    reader = Reader(lake, cluster, reach, UNASKED)
    frames = {"windows": overlapping(reader, "windows", from_at, until_at)}
    frames["tickets"] = marks_of(reader, from_at, until_at)["tickets"]
    keep_whole(frames, reader.skips)
    runs, first = runs_of(frames.values(), from_at)
    more = reader.rows("tickets", (first, date.max), pl.col("run").is_in(runs))
    frames["tickets"] = pl.concat([frames["tickets"], more])
    if not all_differ(frames["windows"], keys_of("windows")):  # see read_frames
        whole = Reader(lake, cluster, reach)
        frames["windows"] = overlapping(whole, "windows", from_at, until_at)
        keep_whole(frames, whole.skips)
        frames["windows"] = ordered("windows", frames["windows"])
    return {"windows": frames["windows"].select(_SURVEYED), "tickets": ordered("tickets", frames["tickets"])}


def distinct_rows(view: View, cluster: str, table: str, columns: Sequence[str]) -> pl.DataFrame:
    """Distinct values of some columns, from the days that rows of a window's runs may lie in. Files that
    cannot be read are left out: read_frames says so."""
    from_at, until_at = view.window
    bounded = table in SPANS and table not in LONG
    slack_s = SPANS[table][2] if bounded else TICKET_DAYS * DAY_S
    days = (day_of(from_at - slack_s), day_of(until_at) if bounded else date.max)
    keep = pl.lit(value=True) if not cluster else pl.col("cluster") == cluster
    found = [empty(table).select(columns)]
    for path in view.paths(table, days):
        with suppress(*UNREADABLE):
            found.append(scan(table, [path]).filter(keep).select(columns).unique().collect())
    return pl.concat(found).unique()


def named_in(frames: Mapping[str, pl.DataFrame], tables: Iterable[str]) -> Named:
    """By rows of these tables."""
    runs = pl.concat([frames[name].select("run").unique() for name in tables]).drop_nulls().unique()
    took_part = [frames[table].filter(pl.col("run").is_null()) for table in ("shares", "held")]
    return Named(runs, pl.concat([rows.select("node", "pid", "start_ticks") for rows in took_part]).unique())


def _with_runs(
    reader: Reader, frames: dict[str, pl.DataFrame], span: tuple[float, float], named: Named
) -> None:
    """The tables that come with their run, whenever they were written, and what stands for all of its time.
    `named`: in the wide tables."""
    from_at = span[0]
    tables = [frame for name, frame in frames.items() if name not in WIDE]
    runs, first = runs_of([*tables, named.runs], from_at)
    since = (first, date.max)
    for name in _OF_RUN:
        of_runs = reader.rows(name, since, pl.col("run").is_in(runs))
        frames[name] = pl.concat([frames[name], of_runs])
    frames["processes"] = pl.concat([frames["processes"], _strangers(reader, named.strangers, from_at)])
    reader.skips += _holes(reader, frames, span, runs, since)
    frames["logs"], frames["points"] = _latest_reads(reader, runs, since)


def _strangers(reader: Reader, keys: pl.DataFrame, from_at: float) -> pl.DataFrame:
    """What was written before about processes of no run that took part in the window."""
    if keys.is_empty():
        return empty("processes")
    before = (day_of(from_at - TICKET_DAYS * DAY_S), day_of(from_at))
    rows = reader.rows("processes", before, pl.col("run").is_null() & (pl.col("first_seen_at") < from_at))
    return rows.join(keys, on=["node", "pid", "start_ticks"], how="semi")


def _holes(
    reader: Reader,
    frames: dict[str, pl.DataFrame],
    span: tuple[float, float],
    runs: list[str],
    since: tuple[date, date],
) -> tuple[Skip, ...]:
    """Streams are whole or not whatever the cluster: the node's own may go on under another's name."""
    every = reader.of_all_clusters()
    own = pl.col("run").is_null() & pl.col("node").is_in(frames["segments"]["node"].unique().to_list())
    of_runs = pl.col("run").is_in(runs)
    lost = every.rows("lost", since, of_runs | own)
    segments = pl.concat(
        [overlapping(every, "segments", *span).filter(own), every.rows("segments", since, of_runs)]
    )
    return find_holes(segments, frames["seals"], lost)


def _latest_reads(
    reader: Reader, runs: list[str], since: tuple[date, date]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The highest read of each run; the points of lower ones are not even loaded."""
    logs = reader.rows("logs", since, pl.col("run").is_in(runs))
    held = logs.group_by("run").agg(pl.col("read").max())
    read_at = pl.col("read").is_in(held["read"].unique().to_list())
    points = reader.rows("points", since, pl.col("run").is_in(runs) & read_at)
    on = ["run", "read"]
    return logs.join(held, on=on, how="semi"), points.join(held, on=on, how="semi")

"""The lake's rows for one window of time, in an order that does not depend on how they came in."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from types import MappingProxyType

import polars as pl

from slurm_guard.distinct import all_differ
from slurm_guard.lake.chain import find_holes
from slurm_guard.lake.doubles import without_doubles
from slurm_guard.lake.reach import NodeReach
from slurm_guard.lake.scan import (
    DAY_S,
    LONG,
    ORDER,
    SPANS,
    UNREADABLE,
    day_of,
    files_of,
    read,
    scan,
)
from slurm_guard.lake.schema import MAX_WINDOW_S, TABLES, empty
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
# What is asked of a window before anything is measured: engine/parts.py's survey.
_SURVEYED = (
    *("run", "gpu", "model", "start_at", "end_at", "covered_ms", "energy_mj", "power_mw", "busy_ms"),
    *("sm_cycles", "sm_ms", "tensor_ms", "int_ms", "dram_ms", "mem_busy_ms"),
)


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
    reader = _Reader(lake, cluster, reach, UNASKED if lean else {})
    frames = {name: _overlapping(reader, name, from_at, until_at) for name in SPANS}
    frames |= _marks(reader, from_at, until_at)
    runs, first = _runs_of(frames.values(), from_at)
    since = (first, date.max)
    for name in _OF_RUN:
        of_runs = reader.rows(name, since, pl.col("run").is_in(runs))
        frames[name] = pl.concat([frames[name], of_runs])
    frames["processes"] = pl.concat([frames["processes"], _strangers(reader, frames, from_at)])
    reader.skips += _holes(reader, frames, (from_at, until_at), runs, since)
    frames["logs"], frames["points"] = _latest_reads(reader, runs, since)
    _whole(frames, reader.skips)
    frames["windows"] = without_doubles(frames["windows"])
    if not lean:
        return {name: _ordered(name, frames[name]) for name in TABLES}, tuple(reader.skips)
    if all(all_differ(frames[name], _keys(name)) for name in UNASKED):
        rest = {name: _ordered(name, frames[name]) for name in TABLES if name not in UNASKED}
        return {name: rest.get(name, frames[name]) for name in TABLES}, tuple(reader.skips)
    # Rows may differ in what was not read: what is the same row is told by all of it.
    frames, skips = read_frames(lake, cluster, from_at, until_at, reach)
    return {name: frame.drop(UNASKED.get(name, ())) for name, frame in frames.items()}, skips


def read_windows(
    lake: Path, cluster: str, from_at: float, until_at: float, reach: NodeReach
) -> dict[str, pl.DataFrame]:
    """Of read_frames' tables the windows and tickets of these nodes alone, windows without what is asked of
    them later. A file that read_frames cannot read is not read here."""
    # The same columns as later: a file that is hurt in one of them is left out of both passes, or of none.
    reader = _Reader(lake, cluster, reach, UNASKED)
    frames = {"windows": _overlapping(reader, "windows", from_at, until_at)}
    frames["tickets"] = _marks(reader, from_at, until_at)["tickets"]
    _whole(frames, reader.skips)
    runs, first = _runs_of(frames.values(), from_at)
    more = reader.rows("tickets", (first, date.max), pl.col("run").is_in(runs))
    frames["tickets"] = pl.concat([frames["tickets"], more])
    if not all_differ(frames["windows"], _keys("windows")):  # see read_frames
        whole = _Reader(lake, cluster, reach)
        frames["windows"] = _overlapping(whole, "windows", from_at, until_at)
        _whole(frames, whole.skips)
        frames["windows"] = _ordered("windows", frames["windows"])
    return {"windows": frames["windows"].select(_SURVEYED), "tickets": _ordered("tickets", frames["tickets"])}


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


class _Reader:
    """Reads tables, but for the columns of `unasked`, and remembers what it could not read."""

    def __init__(
        self,
        lake: Path,
        cluster: str,
        reach: NodeReach | View | None = None,
        unasked: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._lake = lake
        self._cluster = cluster
        self._reach = reach
        self._unasked = unasked
        self.skips: list[Skip] = []

    def of_all_clusters(self) -> "_Reader":
        """The same reader without the cluster's filter."""
        other = _Reader(self._lake, "", self._reach)
        other.skips = self.skips
        return other

    def rows(self, table: str, days: tuple[date, date], keep: pl.Expr) -> pl.DataFrame:
        """Rows of the partitions between two days, both included, for which `keep` holds."""
        if self._cluster:
            keep = keep & (pl.col("cluster") == self._cluster)
        reach = self._reach
        paths = list(files_of(self._lake, table, days) if reach is None else reach.paths(table, days))
        if reach is not None and reach.nodes is not None:
            keep = keep & pl.col("node").is_in(sorted(reach.nodes))
        nothing = empty(table).drop(self._unasked.get(table, ()))
        if not paths:
            return nothing
        found, bad = read(table, paths, keep, nothing.columns)
        for path, why in bad:
            skip = Skip(str(path.relative_to(path.parents[2])), "lake-file-unreadable", why)
            if skip not in self.skips:
                self.skips.append(skip)
        return found


def _overlapping(reader: _Reader, table: str, from_at: float, until_at: float) -> pl.DataFrame:
    """Rows whose span meets the window. Rows of a living thing are written later too: up to its end."""
    first, last, slack_s = SPANS[table]
    if table not in LONG:
        return reader.rows(
            table,
            (day_of(from_at - slack_s), day_of(until_at)),
            (pl.col(first) < until_at) & (pl.col(last) >= from_at),
        )
    # A clock that was set back in between makes the end come before the start; the row meets what lies
    # between the two all the same.
    low, high = pl.min_horizontal(first, last), pl.max_horizontal(first, last)
    return reader.rows(table, (day_of(from_at - slack_s), date.max), (low < until_at) & (high >= from_at))


def _strangers(reader: _Reader, frames: dict[str, pl.DataFrame], from_at: float) -> pl.DataFrame:
    """What was written before about processes of no run that took part in the window."""
    took_part = [frames[table].filter(pl.col("run").is_null()) for table in ("shares", "held")]
    keys = pl.concat([rows.select("node", "pid", "start_ticks") for rows in took_part]).unique()
    if keys.is_empty():
        return empty("processes")
    before = (day_of(from_at - TICKET_DAYS * DAY_S), day_of(from_at))
    rows = reader.rows("processes", before, pl.col("run").is_null() & (pl.col("first_seen_at") < from_at))
    return rows.join(keys, on=["node", "pid", "start_ticks"], how="semi")


def _marks(reader: _Reader, from_at: float, until_at: float) -> dict[str, pl.DataFrame]:
    """Tickets before the window's end of runs that had not ended at its start; ends and seals inside it."""
    past = (day_of(from_at - TICKET_DAYS * DAY_S), day_of(until_at))
    tickets = reader.rows("tickets", past, pl.col("at") < until_at)
    ends = reader.rows("ends", past, pl.col("at") < until_at)
    seals = reader.rows("seals", past, pl.col("at") < until_at)
    over = pl.concat([part.filter(pl.col("at") < from_at).select("run") for part in (ends, seals)])
    return {
        "tickets": tickets.join(over, on="run", how="anti"),
        "ends": ends.filter(pl.col("at") >= from_at),
        "seals": seals.filter(pl.col("at") >= from_at),
    }


def _runs_of(frames: Iterable[pl.DataFrame], from_at: float) -> tuple[list[str], date]:
    """Run keys named in any row, and the day of the first of their tickets (which stands in the key)."""
    named = pl.concat([f["run"].unique() for f in frames])
    runs = named.drop_nulls().unique().sort().to_list()
    at = min((_ticket_at(run) for run in runs), default=math.inf)
    return runs, day_of(min(at, from_at))


def _holes(
    reader: _Reader,
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
        [_overlapping(every, "segments", *span).filter(own), every.rows("segments", since, of_runs)]
    )
    return find_holes(segments, frames["seals"], lost)


def _ticket_at(run: str) -> float:
    tail = run.rpartition("/")[2]
    return int(tail) / 1000 if tail.isascii() and tail.isdigit() and len(tail) <= 13 else math.inf


def _latest_reads(
    reader: _Reader, runs: list[str], since: tuple[date, date]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The highest read of each run; the points of lower ones are not even loaded."""
    logs = reader.rows("logs", since, pl.col("run").is_in(runs))
    held = logs.group_by("run").agg(pl.col("read").max())
    read_at = pl.col("read").is_in(held["read"].unique().to_list())
    points = reader.rows("points", since, pl.col("run").is_in(runs) & read_at)
    on = ["run", "read"]
    return logs.join(held, on=on, how="semi"), points.join(held, on=on, how="semi")


def _whole(frames: dict[str, pl.DataFrame], skips: list[Skip]) -> None:
    """Windows across which the node's clock was set cannot be laid on a time line: left out, and counted."""
    long_s = pl.col("end_at") - pl.col("start_at")
    fits = (long_s >= 0) & (long_s <= MAX_WINDOW_S)
    tables = {"windows", "shares", "held"} & set(frames)
    if all(frames[table].select(fits.all()).item() for table in tables):
        return
    odd = frames["windows"].filter(~fits)
    for node, n in odd.group_by("node").len().sort("node").iter_rows():
        skips.append(Skip(node, "clock-stepped", f"{n} windows end before they start or are far too long"))
    for table in tables:
        frames[table] = frames[table].filter(fits)


def _ordered(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Distinct rows; in which files they came, and in what order, makes no difference."""
    keys = _keys(table)
    if not all_differ(frame, keys):
        # Comparing whole rows costs five times the sorting; rows that differ in their keys need not be
        # compared.
        tied = frame.select(keys).is_duplicated()
        rest = [_comparable(name, kind) for name, kind in frame.schema.items() if name not in keys]
        ties = frame.filter(tied).unique(maintain_order=True).sort(rest, nulls_last=True)
        frame = pl.concat([frame.filter(~tied), ties])
    told = frame.select(_ranked(frame[name]) for name in keys)
    order = told.select(pl.arg_sort_by(keys, nulls_last=True, maintain_order=True)).to_series()
    return frame if order.is_sorted() else frame[order]


def _keys(table: str) -> list[str]:
    return ["cluster", "node", "run", *ORDER[table]]


def _ranked(column: pl.Series) -> pl.Series:
    """Texts as numbers in the same order: of few texts in many rows."""
    return column.cast(pl.Enum(column.drop_nulls().unique().sort())) if column.dtype == pl.String else column


def _comparable(name: str, kind: pl.DataType) -> pl.Expr:
    """A list has no order of its own: its text has."""
    column = pl.col(name)
    if not isinstance(kind, pl.List):
        return column
    return column.list.eval(pl.element().cast(pl.String).fill_null("")).list.join("\n")

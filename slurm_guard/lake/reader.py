"""How the lake's rows of one window of time are read: what meets it, of which nodes, and in which order."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType

import polars as pl

from slurm_guard.distinct import all_differ
from slurm_guard.lake.reach import NodeReach
from slurm_guard.lake.scan import DAY_S, LONG, ORDER, SPANS, day_of, files_of, read
from slurm_guard.lake.schema import MAX_WINDOW_S, empty
from slurm_guard.lake.view import TICKET_DAYS, View
from slurm_guard.model import Skip


class Reader:
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

    def of_all_clusters(self) -> "Reader":
        """The same reader without the cluster's filter."""
        other = Reader(self._lake, "", self._reach)
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


def overlapping(reader: Reader, table: str, from_at: float, until_at: float) -> pl.DataFrame:
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


def marks_of(reader: Reader, from_at: float, until_at: float) -> dict[str, pl.DataFrame]:
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


def runs_of(frames: Iterable[pl.DataFrame], from_at: float) -> tuple[list[str], date]:
    """Run keys named in any row, and the day of the first of their tickets (which stands in the key)."""
    named = pl.concat([f["run"].unique() for f in frames])
    runs = named.drop_nulls().unique().sort().to_list()
    at = min((_ticket_at(run) for run in runs), default=math.inf)
    return runs, day_of(min(at, from_at))


def _ticket_at(run: str) -> float:
    tail = run.rpartition("/")[2]
    return int(tail) / 1000 if tail.isascii() and tail.isdigit() and len(tail) <= 13 else math.inf


def keep_whole(frames: dict[str, pl.DataFrame], skips: list[Skip]) -> None:
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


def ordered(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Distinct rows; in which files they came, and in what order, makes no difference."""
    keys = keys_of(table)
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


def keys_of(table: str) -> list[str]:
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

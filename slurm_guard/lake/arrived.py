"""Of which nodes and runs rows came, and when what they tell was."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from slurm_guard.errors import GuardError
from slurm_guard.lake.scan import UNREADABLE, day_of, scan
from slurm_guard.lake.schema import PARTITION
from slurm_guard.lake.view import View

Spans = dict[tuple[str, str], tuple[float, float]]  # (node, run or ""): first and last instant
_AT_ONCE = 512  # files that are looked at together, as compact.py does
Arrived = tuple[tuple[str, str, float, float], ...]  # (node, run or "", first, last)


class Stopped(GuardError):
    """A collection, or an hour's import, that ended before all of it was in the lake, by the error that it
    was. `arrived`: of what had come: it is in the lake, and who comes later does not take it for new."""

    def __init__(self, error: GuardError, arrived: Arrived) -> None:
        super().__init__(error.slug, error.sentence, error.hint, error.exit_code)
        self.arrived = arrived


def note(spans: Spans, table: str, rows: pl.DataFrame) -> None:
    """Add what some rows of a table tell."""
    at = pl.col(PARTITION[table])
    found = rows.group_by("node", "run").agg(at.min().alias("first"), at.max().alias("last"))
    for node, run, first, last in found.iter_rows():
        known = spans.get((node, run or ""), (first, last))
        spans[(node, run or "")] = (min(known[0], first), max(known[1], last))


def note_more(spans: Spans, table: str, path: Path, before: Sequence[Path]) -> None:
    """Add the rows of a file that are not in those of before, as far as node, run and instant tell them
    apart. Where one of these cannot be read, all that is in it; one that cannot be read itself tells
    nothing."""
    with suppress(*UNREADABLE):
        rows = _counted(table, [path])
        with suppress(*UNREADABLE):
            had = [_counted(table, before[at : at + _AT_ONCE]) for at in range(0, len(before), _AT_ONCE)]
            keys = ("node", "run", PARTITION[table])
            for some in had:
                rows = rows.join(some, on=keys, how="left", nulls_equal=True, suffix="_had")
                rows = rows.with_columns(pl.col("n") - pl.col("n_had").fill_null(0)).drop("n_had")
        note(spans, table, rows.filter(pl.col("n") > 0))


def _counted(table: str, paths: Sequence[Path]) -> pl.DataFrame:
    rows = scan(table, paths).group_by("node", "run", PARTITION[table])
    return rows.agg(pl.len().cast(pl.Int64).alias("n")).collect()


def told(spans: Spans) -> Arrived:
    """In the order of nodes and runs."""
    return tuple((*key, *span) for key, span in sorted(spans.items()))


def arrived_since(view: View) -> Spans:
    """Of files of the window's days that came after the view; one that cannot be read tells nothing, and one
    that was put together of late and old ones all that is in it."""
    spans: Spans = {}
    low, high = (f"date={day_of(at).isoformat()}" for at in view.window)
    of_days = [(table, path) for table, path in view.newer() if low <= path.parent.name <= high]
    for table in sorted({table for table, _ in of_days}):
        paths = [path for named, path in of_days if named == table]
        if not _note_files(spans, table, paths):
            for path in paths:
                _note_files(spans, table, [path])
    return spans


def _note_files(spans: Spans, table: str, paths: Iterable[Path]) -> bool:
    """False: at least one of them cannot be read."""
    try:
        note(spans, table, scan(table, list(paths)).select("node", "run", PARTITION[table]).collect())
    except UNREADABLE:
        return False
    return True

"""The lake's Parquet files of some days, and how they are read whatever release wrote them."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Literal

import polars as pl

from slurm_guard.errors import GuardError
from slurm_guard.lake.compacted import counting, listed
from slurm_guard.lake.marks import MARKS, WrongFile, check_file, check_regular
from slurm_guard.lake.schema import MAX_WINDOW_S, TABLES
from slurm_guard.lake.steps import home_of, homes

DAY_S = 86_400.0
BACK_S = DAY_S  # how far a clock may be set back before rows that span the step are not found: judgement

# Rows that belong to a window by their own time: [first, last] meets it. The third is how many seconds a
# row may lie before the window in the partitions (schema.PARTITION) and still reach into it.
SPANS = {
    "windows": ("start_at", "end_at", MAX_WINDOW_S),
    "shares": ("start_at", "end_at", MAX_WINDOW_S),
    "held": ("start_at", "end_at", MAX_WINDOW_S),
    "segments": ("opened_at", "closed_at", BACK_S),
    "files": ("at", "at", 0.0),
    "flows": ("first_seen_at", "last_seen_at", BACK_S),
    "briefs": ("first_seen_at", "last_seen_at", BACK_S),
    "relays": ("first_seen_at", "last_seen_at", BACK_S),
    "events": ("at", "at", 0.0),
    "gpus": ("at", "at", 0.0),
    "accounted": ("at", "at", 0.0),
    "lost": ("at", "at", 0.0),
    "processes": ("first_seen_at", "last_seen_at", BACK_S),
}
LONG = ("segments", "flows", "briefs", "relays", "processes")  # whose rows may span any time
ORDER = {
    "windows": ("start_at", "gpu", "end_at"),
    "shares": ("start_at", "gpu", "window_run", "pid", "start_ticks"),
    "held": ("start_at", "gpu", "window_run", "pid", "start_ticks"),
    "segments": ("seq", "opened_at", "sha256"),
    "files": ("at", "path", "how"),
    "flows": ("first_seen_at", "pid", "local", "peer", "last_seen_at"),
    "briefs": ("first_seen_at", "how", "netns", "last_seen_at", "n"),
    "relays": ("first_seen_at", "outer_local", "outer_peer", "last_seen_at"),
    "events": ("at", "name", "detail"),
    "gpus": ("gpu", "at"),
    "accounted": ("gpu", "at", "pid"),
    "lost": ("seq", "at"),
    "processes": ("pid", "start_ticks", "first_seen_at", "last_seen_at", "gone"),
    "tickets": ("at",),
    "ends": ("at",),
    "seals": ("at",),
    "logs": ("read", "file"),
    "points": ("read", "file", "track", "segment", "offset", "step"),
}
# A bit turned in a file can make Polars panic, which is no Exception (measured: 3 of 400 files).
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, WrongFile)
_Missing = Literal["insert", "raise"]
_Bad = list[tuple[Path, str]]


def read(
    table: str, paths: Sequence[Path], keep: pl.Expr, columns: Sequence[str]
) -> tuple[pl.DataFrame, _Bad]:
    """Rows of files of any format for which `keep` holds, as today's, and (file, why) of those that cannot be
    read or are none of the table's (marks.py). A column that a release lacked is null; one that a later
    release added is left out.
    """

    every = [*dict.fromkeys((*columns, *MARKS.get(table, ())))]

    def rows(some: Sequence[Path], missing: _Missing) -> pl.DataFrame:
        return scan(table, some, missing).filter(keep).select(every).collect().select(columns)

    # Files of this release have every column, so that reading says at no cost that they are the table's.
    with suppress(*UNREADABLE):
        return rows(paths, "raise"), []
    good, bad = _checked(paths)
    with suppress(*UNREADABLE):
        return rows(good, "insert"), bad
    parts = []
    for path in good:  # one bad file makes Polars refuse them all: read them one by one
        try:
            parts.append(rows([path], "insert"))
        except UNREADABLE as error:
            bad.append((path, why_unreadable(error, path)))
    nothing = pl.DataFrame(schema=TABLES[table]).select(columns)
    return pl.concat([nothing, *parts]), sorted(bad)


def _checked(paths: Sequence[Path]) -> tuple[list[Path], _Bad]:
    good: list[Path] = []
    bad: _Bad = []
    for path in paths:
        try:
            check_file(path)
            good.append(path)
        except UNREADABLE as error:
            bad.append((path, why_unreadable(error, path)))
    return good, bad


def scan(table: str, paths: Sequence[Path], missing: _Missing = "insert") -> pl.LazyFrame:
    """Rows of files of any format, as today's; one that is none of the table's is not noticed (read).
    `missing`: of columns that a file lacks. Raises WrongFile for what is no file at all, OSError."""
    by_root: dict[Path, list[Path]] = {}
    for path in paths:
        check_regular(path)
        by_root.setdefault(path.parents[2], []).append(path)
    if not by_root:
        return pl.LazyFrame(schema=TABLES[table])
    parts = [_scan_format(table, root, files, missing) for root, files in by_root.items()]
    return parts[0] if len(parts) == 1 else pl.concat(parts)


def _scan_format(table: str, root: Path, paths: Sequence[Path], missing: _Missing) -> pl.LazyFrame:
    home = home_of(root, int(root.name.removeprefix("v")), table)
    if home is None:
        raise ValueError(f"{root.name} has no table that became {table}")
    rows = pl.scan_parquet(
        list(paths),
        schema=home.schema,
        hive_partitioning=False,
        glob=False,
        missing_columns=missing,
        extra_columns="ignore",
    )
    return home.lift(rows, table)


def files_of(
    lake: Path, table: str, days: tuple[date, date], unread: list[tuple[str, str]] | None = None
) -> Iterator[Path]:
    """Parquet files of the days, both included, that count (compacted.py), in the order of formats and names.

    `unread`: takes (day, why) of those that cannot be listed. Raises GuardError lake-newer, lake-older, and
    without it lake-unreadable.
    """
    low, high = (f"date={day.isoformat()}" for day in days)
    for home in homes(lake, table):
        for part in listed(home.folder):
            if part.name.startswith("date=") and low <= part.name <= high:
                try:
                    yield from counting(part)
                except GuardError as error:
                    if unread is None:
                        raise
                    unread.append(
                        (f"{home.folder.name}/{part.name}", error.sentence.removeprefix(f"{part} "))
                    )


def why_unreadable(error: BaseException, path: Path) -> str:
    """The first words of what the reader said of a file."""
    words = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return words.replace(str(path), "it")


def day_of(at: float) -> date:
    """The UTC day of an instant."""
    return datetime.fromtimestamp(at, timezone.utc).date()

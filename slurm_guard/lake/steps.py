"""Lakes of earlier formats: which folders are read, and how their rows become rows of today's tables.

Raising the lake's format, from 1 to 2 for example
    1. `schema.FORMAT` becomes 2, with a line of history; what is collected from then on goes to `v2/`.
    2. `OLDER[1]` keeps the tables and their marks (marks.py) as they were, and a Change for each table that
       is another now: a pure function from the rows of format 1 to those of format 2. Formats before 1 reach
       2 by way of 1.
    3. `tests/fixtures/lake1` stays as it is, and its tests say whether the step is right.
Files that were written stay where they are and as they are: nothing is rewritten, and what an upgrade did not
touch a kill cannot hurt. What this cannot do is another PARTITION or another folder a day: that needs a
command that writes the files anew.

A column or a table that is only added needs no new format: where it is missing, it is null (scan.py).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from slurm_guard.errors import GuardError
from slurm_guard.lake.compacted import listed
from slurm_guard.lake.schema import FORMAT, TABLES

Schema = Mapping[str, pl.DataType | type[pl.DataType]]
_FOLDER = re.compile(r"v(0|[1-9][0-9]{0,8})")


class Change(NamedTuple):
    """Of one table of the next format: the earlier table that its rows come from, and how they become."""

    table: str
    rows: Callable[[pl.LazyFrame], pl.LazyFrame]


class Older(NamedTuple):
    """An earlier format. `step`: by table of the next one; tables that it does not name are as they were.
    `marks`: what marks.MARKS was; of a table that it does not name any file is taken."""

    tables: Mapping[str, Schema]
    step: Mapping[str, Change]
    marks: Mapping[str, tuple[str, ...]] = {}


OLDER: dict[int, Older] = {}  # by format, each of them one step from the next


class Home(NamedTuple):
    """Where the rows of one table lie in one format, and how they come from there to today's."""

    format: int
    folder: Path
    schema: Schema
    steps: tuple[Callable[[pl.LazyFrame], pl.LazyFrame], ...]

    def lift(self, rows: pl.LazyFrame, table: str) -> pl.LazyFrame:
        """Rows as they stand in the files, as rows of today's table."""
        for step in self.steps:
            rows = step(rows)
        return rows.select(*TABLES[table]) if self.steps else rows


def formats_in(lake: Path) -> list[int]:
    """The formats of which the lake has a folder, in order; empty: nothing was ever collected.

    Raises GuardError lake-newer, lake-older, lake-unreadable: half a lake is not read as if it were a whole
    one.
    """
    names = [_FOLDER.fullmatch(path.name) for path in listed(lake) if path.is_dir()]
    found = sorted(int(name[1]) for name in names if name is not None)
    if found and found[-1] > FORMAT:
        raise GuardError(
            "lake-newer",
            f"the lake {lake} holds files of format {found[-1]}, this slurm-guard reads up to {FORMAT}",
            "use the release that wrote them, or a later one",
        )
    strange = [number for number in found if number != FORMAT and number not in OLDER]
    if strange:
        raise GuardError(
            "lake-older",
            f"the lake {lake} holds files of format {strange[0]}, which this slurm-guard does not read",
            f"use a release that does, or move {lake / f'v{strange[0]}'} away: its rows are missing then",
        )
    return found


def homes(lake: Path, table: str) -> Iterator[Home]:
    """Where a table's rows may lie, the earliest format first; one that had no such table has no home.

    Raises GuardError lake-newer, lake-older.
    """
    for number in formats_in(lake):
        home = home_of(lake / f"v{number}", number, table)
        if home is not None:
            yield home


def home_of(root: Path, number: int, table: str) -> Home | None:
    """Back from today's table to that format's; null: it had none that became this one."""
    name, steps = table, list[Callable[[pl.LazyFrame], pl.LazyFrame]]()
    for earlier in range(FORMAT - 1, number - 1, -1):
        change = OLDER[earlier].step.get(name)
        if change is not None:
            name = change.table
            steps.insert(0, change.rows)
    tables = TABLES if number == FORMAT else OLDER[number].tables
    return Home(number, root / name, tables[name], tuple(steps)) if name in tables else None

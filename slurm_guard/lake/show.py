"""Rows of one table for a person who looks for himself: filtered, in order, the first so many of them.

Files are read in batches, and only the first rows of what they have are kept: memory holds a batch and a
page.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path

import polars as pl

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake.about import check_column
from slurm_guard.lake.scan import LONG, ORDER, SPANS, day_of, files_of, read
from slurm_guard.lake.schema import PARTITION, TABLES

MOST_ROWS = 100_000  # Judgement: more than anybody reads, and what fits into memory at any width
_BATCH = 128  # files that are read at a time. Judgement: a file is an hour of a run on a node
_WORD = {pl.Int64: "a whole number", pl.Float64: "a number", pl.Boolean: "true or false"}
NOT_OBSERVED = "null"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rows. Null and empty hold for every row; `job` also means what works on that job's GPUs;
    `where`: (column, value), of a list one of its values, `null` is what was not observed; `columns` empty:
    every one.
    """

    table: str
    columns: tuple[str, ...] = ()
    job: int | None = None
    run: str | None = None
    node: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    from_at: float | None = None
    until_at: float | None = None
    limit: int = 100


@dataclass(slots=True)
class Shown:
    """The first rows in their order. `runs`: keys of the runs in them; `unread`: (file, why)."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]] = field(default_factory=list)
    n_all: int = 0
    runs: tuple[str, ...] = ()
    unread: list[tuple[str, str]] = field(default_factory=list)


def show_rows(lake: Path, asked: Asked) -> Shown:
    """The rows. A file that cannot be read is named and passed over; of logs and points those of each run's
    last reading, which are what an audit takes, unless a reading is asked for.

    Raises GuardError column-unknown, where-value.
    """
    columns = tuple(check_column(asked.table, name) for name in asked.columns) or tuple(TABLES[asked.table])
    shown = Shown(columns)
    keep = _keep(asked)
    last = _last_reads(lake, asked, shown)
    need = list(dict.fromkeys((*columns, *_keys(asked.table), "run", "read")))
    need = [name for name in need if name in TABLES[asked.table]]
    page = pl.DataFrame(schema={name: TABLES[asked.table][name] for name in need})
    for frame in _frames(lake, asked, shown, (keep, need)):
        rows = frame if last is None else frame.join(last, on=["run", "read"], how="semi")
        shown.n_all += rows.height
        page = pl.concat([page, rows]).sort(_keys(asked.table), nulls_last=True, maintain_order=True)
        page = page.head(asked.limit)
    shown.rows = page.select(columns).rows()
    shown.runs = tuple(page["run"].drop_nulls().unique().sort().to_list())
    return shown


def _keys(table: str) -> list[str]:
    """By time; what a log tells, in the log's own order."""
    first = ["run"] if table in ("logs", "points") else [SPANS.get(table, ("at",))[0]]
    return list(dict.fromkeys((*first, *ORDER[table], "node", "run")))


def _frames(
    lake: Path, asked: Asked, shown: Shown, what: tuple[pl.Expr, list[str]]
) -> Iterator[pl.DataFrame]:
    """What each batch of files has."""
    files = files_of(lake, asked.table, _days(asked), shown.unread)
    while batch := list(islice(files, _BATCH)):
        found, bad = read(asked.table, batch, *what)
        named = [(str(path.relative_to(path.parents[2])), why) for path, why in bad]
        shown.unread += [one for one in named if one not in shown.unread]
        yield found


def _days(asked: Asked) -> tuple[date, date]:
    """Days of which a file may hold rows that are meant."""
    slack_s = SPANS.get(asked.table, ("", "", 0.0))[2]
    written_later = asked.table in (*LONG, "logs", "points")
    low = date.min if asked.from_at is None else _day(asked.from_at - slack_s)
    open_end = asked.until_at is None or written_later
    return low, date.max if open_end or asked.until_at is None else _day(asked.until_at)


def _day(at: float) -> date:
    try:
        return day_of(at)
    except (OverflowError, OSError, ValueError):
        return date.min if at < 0 else date.max


def _keep(asked: Asked) -> pl.Expr:
    parts = [_value(asked.table, name, text) for name, text in asked.where]
    parts += [pl.col("node") == asked.node] if asked.node is not None else []
    parts += [pl.col("run") == asked.run] if asked.run is not None else []
    if asked.job is not None:
        of_job = [pl.col(name).str.contains(rf"^[^/]*/{asked.job}/") for name in _run_columns(asked.table)]
        parts.append(pl.any_horizontal(part.fill_null(value=False) for part in of_job))
    return pl.all_horizontal(pl.lit(value=True), *parts, *_meets(asked))


def _run_columns(table: str) -> list[str]:
    return [name for name in ("run", "window_run") if name in TABLES[table]]


def _meets(asked: Asked) -> list[pl.Expr]:
    """[first, last) of a row meets the time asked for. A clock that was set back makes the end come first."""
    low, high = _ends(asked.table)
    parts = [low < asked.until_at] if asked.until_at is not None else []
    if asked.from_at is not None:
        parts.append((high > asked.from_at) | (low >= asked.from_at))
    return parts


def _ends(table: str) -> tuple[pl.Expr, pl.Expr]:
    if table == "points":  # by its own word or by when it was seen to come; else by when it was read
        told = [pl.col(name) for name in ("at", "obs_lo_at", "obs_hi_at")]
        read_at = pl.col("read_at")
        return pl.min_horizontal(told).fill_null(read_at), pl.max_horizontal(told).fill_null(read_at)
    first, last, _ = SPANS.get(table, (PARTITION[table], PARTITION[table], 0.0))
    return pl.min_horizontal(first, last), pl.max_horizontal(first, last)


def _value(table: str, name: str, text: str) -> pl.Expr:
    """The column has this value. Raises GuardError column-unknown, where-value."""
    column = pl.col(check_column(table, name))
    if text == NOT_OBSERVED:
        return column.is_null()
    kind = TABLES[table][name]
    if isinstance(kind, pl.List):
        return column.list.contains(_parsed(name, text, kind.inner))
    return column == _parsed(name, text, kind)


def _parsed(name: str, text: str, kind: object) -> pl.Expr:
    value: object = text
    try:
        if kind == pl.Int64:
            value = int(text)
            if abs(value) >= 1 << 63:
                raise ValueError
        elif kind == pl.Float64:
            value = float(text)
            if not math.isfinite(value):
                raise ValueError
        elif kind == pl.Boolean:
            value = {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        word = next(word for known, word in _WORD.items() if kind == known)
        raise GuardError(
            "where-value",
            f"{name} is {word}, and {text[:40]!a} is none",
            f"write --where {name}=…; what was not observed is {NOT_OBSERVED}",
            EXIT_USAGE,
        ) from None
    return pl.lit(value)


def _last_reads(lake: Path, asked: Asked, shown: Shown) -> pl.DataFrame | None:
    """(run, read) of each run's last reading; null where it does not matter."""
    if asked.table not in ("logs", "points") or any(name == "read" for name, _ in asked.where):
        return None
    keep = _keep(Asked("logs", job=asked.job, run=asked.run, node=asked.node))
    since = Asked("logs", from_at=asked.from_at)
    parts = [pl.DataFrame(schema={"run": pl.String, "read": pl.Int64})]
    for frame in _frames(lake, since, shown, (keep, ["run", "read"])):
        parts = [pl.concat([*parts, frame]).group_by("run").agg(pl.col("read").max())]
    return parts[0]


def owners_of(lake: Path, runs: tuple[str, ...]) -> set[str]:
    """Whose runs these keys mean, by their tickets: the user's name, else his uid; no ticket, nobody."""
    at = [at for run in runs if (at := _ticket_at(run)) is not None]
    if not at:
        return set()
    asked = Asked("tickets", from_at=min(at), until_at=max(at) + 1.0)
    keep = pl.col("run").is_in(list(runs))
    frames = list(_frames(lake, asked, Shown(()), (keep, ["user", "uid"])))
    rows = {row for frame in frames for row in frame.iter_rows()}
    return {(user or "")[:64] or f"uid {uid}" for user, uid in rows if user or uid is not None}


def _ticket_at(run: str) -> float | None:
    tail = run.rpartition("/")[2]
    return int(tail) / 1000 if tail.isascii() and tail.isdigit() and len(tail) <= 13 else None


def days_and_files(lake: Path, table: str) -> tuple[str, str, int]:
    """The first and the last day that a table has, empty where it has none, and how many files."""
    files = list(files_of(lake, table, (date.min, date.max)))
    days = sorted({path.parent.name.removeprefix("date=") for path in files})
    return (days[0], days[-1], len(files)) if days else ("", "", 0)

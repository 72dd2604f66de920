"""Writes the nights: `out/lake`, `out/sacct.txt` and `out/truth.parquet`, some nodes and one day at a time.

Files hold sixteen nodes and a day each, whatever is computed at once, so that the bytes depend on the size
and the seed alone. A collected lake has one file for each sealed segment: the rows are the same.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from slurm_guard.lake.schema import FORMAT, PARTITION
from slurm_guard.lake.write import make_folder, write_whole
from slurm_guard.simulate.scale import accounts, points, tables, windows
from slurm_guard.simulate.scale.plan import BEGIN_AT, DAY_S, Plan, Size, make_plan
from slurm_guard.simulate.scale.runs import describe
from slurm_guard.simulate.scale.stints import boards, boots, gaps, node_name, places

FILE_NODES = 16  # of a file: 184,320 windows a day, whose making takes some 300 MB
_LINES = 20_000  # of accounting's text, at once
Tell = Callable[[int, int], None]
Frames = Iterator[tuple[str, pl.DataFrame]]


class Made(NamedTuple):
    """What was written."""

    n_windows: int
    n_rows: int
    n_runs: int
    n_files: int
    from_at: float
    until_at: float


class _Part(NamedTuple):
    """Some nodes: their runs, gaps and boards."""

    low: int
    high: int
    held: pl.DataFrame
    free: pl.DataFrame
    boards: pl.DataFrame
    nodes: pl.DataFrame


def make(out: Path, size: Size, tell: Tell | None = None, at_once: int = 1) -> Made:
    """Write everything below `out`. `tell` hears how many parts of how many are done; `at_once`: files of
    how many nodes are computed together, which costs memory and changes no byte. Raises OSError."""
    plan = make_plan(size)
    runs = describe(plan, size)
    writer = _Writer(out / "lake", size)
    step = FILE_NODES * at_once
    lows = range(0, size.n_nodes, step)
    for k, low in enumerate(lows):
        high = min(low + step, size.n_nodes)
        part = _part(plan, runs, low, high, size)
        for day in range(size.nights):
            for table, rows in _tables(part, day, size):
                writer.take(table, rows, low, high, day)
            if tell is not None:
                tell(k * size.nights + day + 1, len(lows) * size.nights)
    write_whole(out / "sacct.txt", partial(_write_sacct, runs, size))
    write_whole(out / "truth.parquet", accounts.truth(runs, size).write_parquet)
    return Made(writer.n_windows, writer.n_rows, runs.height, writer.n_files, BEGIN_AT, size.until_at)


def _part(plan: Plan, runs: pl.DataFrame, low: int, high: int, size: Size) -> _Part:
    lanes = plan.lanes.filter((pl.col("node") < high) & (pl.col("node") + pl.col("n_nodes") > low))
    first, last = lanes["lane"].min(), lanes["lane"].max()
    assert isinstance(first, int)
    assert isinstance(last, int)
    begin, end = runs["lane"].search_sorted(pl.Series([first, last + 1]))
    mine = runs.slice(begin, end - begin)
    nodes = boots(pl.select(pl.int_range(low, high, dtype=pl.Int64).alias("node")), size)
    every = lanes.with_columns(
        pl.int_ranges(
            pl.max_horizontal("node", low), pl.min_horizontal(pl.col("node") + pl.col("n_nodes"), high)
        ).alias("node")
    ).explode("node")
    models = every.select("node", "model").unique(maintain_order=True)
    names = nodes.select("node", "node_name")
    of_nodes = boards(low, high, models, size).join(names, on="node", maintain_order="left")
    held = places(mine, low, high, size)
    return _Part(low, high, held, gaps(lanes, mine, low, high, size), of_nodes, nodes)


def _tables(part: _Part, day: int, size: Size) -> Frames:
    """Every table of the nodes for one day; what belongs to no one day comes with the first."""
    held, last = part.held, day == size.nights - 1
    rows = windows.by_minute(held, part.free, part.boards, day, size)
    yield "windows", windows.windows(rows)
    yield "shares", windows.shares(rows)
    del rows
    from_at, until_at = BEGIN_AT + day * DAY_S, BEGIN_AT + (day + 1) * DAY_S
    read = points.read_of(held, from_at, until_at, last=last)
    told = points.lines(read, size)
    yield "points", points.points(told, size)
    yield "logs", points.logs(read, told)
    yield "files", points.files(read, told)
    if day == 0:
        over = held.filter(pl.col("end") <= size.until_at)
        streams = tables.streams(held, part.nodes, size)
        yield "tickets", tables.tickets(held)
        yield "ends", tables.ends(over)
        yield "segments", tables.segments(streams)
        yield "seals", tables.seals(streams)
        yield "processes", tables.processes(held, part.boards, size)
        yield "flows", tables.flows(held, size)
        yield "gpus", tables.gpus(part.boards, part.nodes)


class _Writer:
    """Puts frames where `collect` puts them, in files of FILE_NODES nodes and a UTC day."""

    def __init__(self, lake: Path, size: Size) -> None:
        self._root, self._size = lake / f"v{FORMAT}", size
        make_folder(self._root / "manifest")
        self.n_windows = self.n_rows = self.n_files = 0

    def take(self, table: str, rows: pl.DataFrame, low: int, high: int, day: int) -> None:
        """Rows of the nodes low to high - 1, of any days; `day` is only for the file's name."""
        if rows.is_empty():
            return
        when = pl.from_epoch(pl.col(PARTITION[table]).cast(pl.Int64), time_unit="s").dt.date().alias("day")
        for part in range(low, high, FILE_NODES):
            mine = rows
            if high - low > FILE_NODES:
                nodes = pl.select(
                    node_name(pl.int_range(part, min(part + FILE_NODES, high), dtype=pl.Int64))
                ).to_series()
                mine = rows.filter(pl.col("node").is_in(nodes.implode()))
            for key, frame in mine.group_by(when, maintain_order=True):
                self._put(table, str(key[0]), (part, day), frame)

    def _put(self, table: str, date: str, place: tuple[int, int], frame: pl.DataFrame) -> None:
        about = f"{self._size}\0{table}\0{place}"
        name = f"{hashlib.sha256(about.encode()).hexdigest()[:16]}.parquet"
        path = self._root / table / f"date={date}" / name
        keep = table in ("logs", "points")  # as ingest.py has it
        write_whole(path, partial(frame.rechunk().write_parquet, compression="zstd", statistics=keep))
        self.n_files += 1
        self.n_rows += frame.height
        self.n_windows += frame.height if table == "windows" else 0


def _write_sacct(runs: pl.DataFrame, size: Size, out: BinaryIO) -> None:
    out.write(accounts.header().encode() + b"\n")
    ordered = runs.sort("start", "job_id")
    for begin in range(0, ordered.height, _LINES):
        lines = accounts.sacct_lines(ordered.slice(begin, _LINES), size)
        out.write("".join(f"{line}\n" for line in lines).encode())

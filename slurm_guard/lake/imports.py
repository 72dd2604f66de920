"""Puts another monitor's hour into the lake, once: asked again it replaces itself, and never by less.

    <lake>/v1/<table>/date=YYYY-MM-DD/imported-<digest of cluster and hour>.parquet

Not named by its content as what nodes write: a second look at the same hour may know more (a hole that was
only late), or less (the server has forgotten it), and must not stand beside the first. What lies there and
cannot be read, or is none of ours, is not written over: it may be all that is left of that hour.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from slurm_guard.errors import GuardError
from slurm_guard.lake.arrived import Arrived, Spans, Stopped, note, told
from slurm_guard.lake.compacted import IMPORTED
from slurm_guard.lake.marks import WrongFile, check_file
from slurm_guard.lake.scan import DAY_S, ORDER, UNREADABLE, day_of, scan, why_unreadable
from slurm_guard.lake.schema import FORMAT, PARTITION, empty
from slurm_guard.lake.steps import formats_in
from slurm_guard.lake.turns import alone
from slurm_guard.lake.write import close_folder, make_folder, write_whole

SLUG = "import-unreadable"
_TABLES = ("windows", "gpus", "events")


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of an hour. `n_before`: nodes of which the lake knew more already."""

    n_windows: int
    n_before: int
    is_new: bool  # anything was written
    arrived: Arrived = ()  # of nodes of which the lake has other rows now


def keep_hour(lake: Path, cluster: str, hour_at: float, tables: Mapping[str, pl.DataFrame]) -> Kept:
    """The whole hour; what a disk that fails leaves out, the same import adds the next time. Raises
    GuardError lake-busy, lake-newer, lake-older, Stopped with lake-unwritable, and import-unreadable: what
    lies in its place cannot be read, or is none of ours, and is left as it is."""
    spans = Spans()
    try:
        if formats_in(lake):
            close_folder(lake)
        make_folder(lake)
        with alone(lake):
            return _keep(lake / f"v{FORMAT}", cluster, hour_at, tables, spans)
    except OSError as error:
        what = f"{error.filename or lake}: {error.strerror or error}"
        raise Stopped(GuardError("lake-unwritable", what, "import as who collects"), told(spans)) from None


def _keep(root: Path, cluster: str, hour_at: float, tables: Mapping[str, pl.DataFrame], spans: Spans) -> Kept:
    """And into `spans` what the lake has got, file by file: a disk that takes none of it opens no night."""
    name = f"{IMPORTED}{hashlib.sha256(f'{cluster}/{int(hour_at)}'.encode()).hexdigest()[:16]}.parquet"
    days = [day_of(hour_at - DAY_S), day_of(hour_at)]  # a window may begin before midnight
    found = {table: [root / table / f"date={day}" / name for day in days] for table in _TABLES}
    before = {table: _read(table, paths) for table, paths in found.items()}
    better = _better(before["windows"], tables.get("windows", empty("windows")))
    is_new, n_windows = False, 0
    for table, paths in found.items():
        here, old = tables.get(table, empty(table)), before[table]
        rows = pl.concat(
            [here.filter(~pl.col("node").is_in(better)), old.filter(pl.col("node").is_in(better))]
        )
        rows = rows.sort("cluster", "node", "run", *ORDER[table], nulls_last=True, maintain_order=True)
        n_windows += rows.height if table == "windows" else 0
        if rows.equals(old):
            continue
        for day, path in zip(days, paths, strict=True):
            mine = _of_day(rows, table, str(day))
            is_new = _write(path, mine) or is_new
            _note_changed(spans, table, mine, _of_day(old, table, str(day)))
    return Kept(n_windows, len(better), is_new, told(spans))


def _note_changed(spans: Spans, table: str, rows: pl.DataFrame, old: pl.DataFrame) -> None:
    had = old.partition_by("node", as_dict=True)
    for node, mine in rows.partition_by("node", as_dict=True).items():
        if node not in had or not mine.equals(had[node]):
            note(spans, table, mine)


def _better(old: pl.DataFrame, new: pl.DataFrame) -> list[str]:
    """Nodes of which the lake knows more: more time of runs, then more time at all."""
    of_runs = pl.col("covered_ms").filter(pl.col("run").is_not_null()).sum()
    told = [
        frame.group_by("node").agg(of_runs.alias("r"), pl.col("covered_ms").sum().alias("a"))
        for frame in (old, new)
    ]
    known = {node: (r, a) for node, r, a in told[1].iter_rows()}
    return sorted(node for node, r, a in told[0].iter_rows() if (r, a) > known.get(node, (0, 0)))


def _read(table: str, paths: list[Path]) -> pl.DataFrame:
    """Raises GuardError import-unreadable."""
    parts = [empty(table)]
    for path in paths:
        try:
            if path.is_symlink():
                raise WrongFile("a link in place of a file")
            if path.exists():
                check_file(path)
                parts.append(_ours(table, scan(table, [path]).collect()))
        except UNREADABLE as error:
            why = f"{path} cannot be read: {why_unreadable(error, path)}"
            raise GuardError(SLUG, why, "mend it or move it away, and import its hour again") from None
    rows = pl.concat(parts)
    return rows.sort("cluster", "node", "run", *ORDER[table], nulls_last=True, maintain_order=True)


def _ours(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Raises WrongFile."""
    if table == "windows" and rows.filter(pl.col("map").ne_missing("imported")).height > 0:
        raise WrongFile("windows that no import wrote")
    return rows


def _of_day(rows: pl.DataFrame, table: str, day: str) -> pl.DataFrame:
    when = pl.from_epoch(pl.col(PARTITION[table]).cast(pl.Int64), time_unit="s").dt.date()
    return rows.filter(when.cast(pl.String) == day)


def _write(path: Path, rows: pl.DataFrame) -> bool:
    if rows.is_empty() and not path.exists():
        return False
    write_whole(path, partial(rows.write_parquet, compression="zstd", statistics=False))
    return True

"""The history store: what audits leave for later ones, one Parquet file a table and night.

    <folder>/v1/<table>/date=<day of the window's start>/<cluster>.<from ms>-<until ms>.parquet

Auditing a window again replaces its file; an audit reads the nights that ended before its window began. Apart
from the lake's own tables, which only `collect` writes.
"""

import dataclasses
import hashlib
import re
import typing
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import polars as pl

from slurm_guard.history import FORMAT, PastCost, PastGround, PastTrace
from slurm_guard.lake.marks import WrongFile, check_columns, check_regular
from slurm_guard.lake.write import write_whole
from slurm_guard.model import Skip

SHAPES: dict[str, type] = {"costs": PastCost, "grounds": PastGround, "traces": PastTrace}
_ORDER = {
    "costs": ("from_at", "until_at", "run", "channel"),
    "grounds": ("from_at", "until_at", "run", "chain"),
    "traces": ("from_at", "until_at", "run", "log"),
}
_DTYPES = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean}
_NAME = re.compile(r"(?P<cluster>.+)\.(?P<from>-?\d+)-(?P<until>-?\d+)\.parquet")
_KEEP = 2.0  # what is kept is so many times what an audit looks back, for nights that are audited again
# A bit turned in a file can make Polars panic, which is no Exception.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, WrongFile)


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """How far an audit looks back, and how much it takes at most."""

    days: float
    rows: int


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows of a table as one audit is given them. The same rows have the same digest."""

    frame: pl.DataFrame
    sha256: str
    n_nights: int


def schema(table: str) -> dict[str, Any]:
    """Columns and dtypes of a table, from its class."""
    hints = typing.get_type_hints(SHAPES[table])
    return {part.name: _dtype(hints[part.name]) for part in dataclasses.fields(SHAPES[table])}


def _marks(table: str) -> list[str]:
    """Columns that each file of the table has: those that are never null and have no default (a field that
    came later has one)."""
    hints = typing.get_type_hints(SHAPES[table])
    parts = dataclasses.fields(SHAPES[table])
    return [p.name for p in parts if not typing.get_args(hints[p.name]) and p.default is dataclasses.MISSING]


def _dtype(kind: Any) -> Any:
    return _DTYPES[next(part for part in (typing.get_args(kind) or (kind,)) if part is not type(None))]


def frame_of(table: str, rows: Iterable[Any]) -> pl.DataFrame:
    """Rows as a frame, distinct and in the table's order, whatever order they came in."""
    columns = schema(table)
    cells = [tuple(getattr(row, name) for name in columns) for row in rows]
    return _settled(table, pl.DataFrame(cells, schema=columns, orient="row"))


def _settled(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.unique(maintain_order=False).sort(*_ORDER[table], *frame.columns, nulls_last=True)


def snapshot(table: str, frame: pl.DataFrame) -> Snapshot:
    """A frame of a table with its digest: of its columns' names and cells in order."""
    nights = frame.select("from_at", "until_at").n_unique() if frame.height else 0
    digest = hashlib.sha256(f"{table} {FORMAT}\n".encode() + frame.write_csv().encode("utf-8"))
    return Snapshot(frame, digest.hexdigest(), nights)


def read_before(
    folder: Path, table: str, cluster: str, before_at: float, reach: Reach
) -> tuple[Snapshot, tuple[Skip, ...]]:
    """Rows of the nights that lie within the reach before an instant and ended by then, and a Skip for each
    file that cannot be read. The newest nights that fit into the bound of rows, each whole."""
    skips = _newer(folder)
    parts: list[pl.DataFrame] = []
    n_rows = 0
    for path, from_at, until_at in reversed(_nights(folder / f"v{FORMAT}" / table, cluster)):
        if until_at > before_at or from_at < before_at - reach.days * 86_400.0:
            continue
        try:
            part = _scan(table, path).filter(pl.col("cluster") == cluster).collect()
        except _UNREADABLE as error:
            words = (str(error).splitlines() or [type(error).__name__])[0][:200]
            subject = str(path.relative_to(folder))
            skips.append(Skip(subject, "history-file-unreadable", words.replace(str(path), "it")))
            continue
        n_rows += part.height
        if n_rows > reach.rows:
            break
        parts.append(part)
    whole = pl.concat(parts) if parts else pl.DataFrame(schema=schema(table))
    return snapshot(table, _settled(table, whole)), tuple(skips)


def _newer(folder: Path) -> list[Skip]:
    """A Skip for each format that only a later release knows."""
    names = sorted(path.name for path in folder.glob("v*") if path.is_dir() and path.name[1:].isdecimal())
    why = f"written by a later release; this one reads format {FORMAT}"
    return [Skip(name, "history-file-unreadable", why) for name in names if int(name[1:]) > FORMAT]


def _scan(table: str, path: Path) -> pl.LazyFrame:
    """A column that a release lacked is null; one that a later release added is left out.

    Raises WrongFile for another table's file, which would be rows of nulls."""
    check_columns(path, table, _marks(table))
    return pl.scan_parquet(
        path,
        schema=schema(table),
        hive_partitioning=False,
        glob=False,
        missing_columns="insert",
        extra_columns="ignore",
    )


def _nights(home: Path, cluster: str) -> list[tuple[Path, float, float]]:
    """(file, from, until) of a cluster, oldest first; the start first, then the end."""
    found: list[tuple[float, float, Path]] = []
    for path in home.glob("date=*/*.parquet"):
        told = _NAME.fullmatch(path.name)
        if told is not None and told["cluster"] == _plain(cluster):
            found.append((int(told["from"]) / 1000, int(told["until"]) / 1000, path))
    return [(path, from_at, until_at) for from_at, until_at, path in sorted(found)]


def _plain(cluster: str) -> str:
    """A cluster's name as part of a file's name; one that cannot stand there with a digest of its own."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", cluster)[:100] or "_"
    digest = hashlib.sha256(cluster.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return plain if plain == cluster else f"{plain}-{digest}"


def write_night(
    folder: Path, table: str, night: tuple[str, float, float], rows: Sequence[Any], reach: Reach
) -> Path:
    """Put a night's rows in the place of those of the same (cluster, from, until), whole or not at all, and
    remove nights beyond twice the reach. Raises OSError."""
    cluster, from_at, until_at = night
    day = datetime.fromtimestamp(from_at, timezone.utc).date().isoformat()
    name = f"{_plain(cluster)}.{round(from_at * 1000)}-{round(until_at * 1000)}.parquet"
    home = folder / f"v{FORMAT}" / table
    path = home / f"date={day}" / name
    frame = frame_of(table, rows)
    write_whole(path, lambda out: frame.write_parquet(out, compression="zstd", statistics=False))
    _prune(home, cluster, reach)
    return path


def _prune(home: Path, cluster: str, reach: Reach) -> None:
    nights = _nights(home, cluster)
    oldest_at = max(from_at for _, from_at, _ in nights) - _KEEP * reach.days * 86_400.0
    n_rows = _height(nights[-1][0])  # the newest stays, whatever its size
    for path, from_at, _ in reversed(nights[:-1]):
        n_rows += _height(path)
        if path.is_file() and (from_at < oldest_at or n_rows > _KEEP * reach.rows):
            path.unlink(missing_ok=True)


def _height(path: Path) -> int:
    try:
        check_regular(path)
        return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    except _UNREADABLE:
        return 0

"""Few sorted files in place of one for each spool file, a table's day at a time.

A stop at any instant leaves either the files of before or the compacted one (compacted.py says which count).
What a compacted file replaced goes hours later, by a later round, once the new one was read back from end
to end: by then nobody is reading the old ones, and one that cannot be read goes itself instead.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Literal

import polars as pl

from slurm_guard.lake.compacted import PREFIX, counting, is_compacted, is_imported, sources_of
from slurm_guard.lake.marks import WrongFile, check_file, check_regular
from slurm_guard.lake.scan import ORDER, UNREADABLE, why_unreadable
from slurm_guard.lake.schema import FORMAT, TABLES
from slurm_guard.lake.write import write_whole

# Judgements: fewer files are no burden; rows held in memory at once, of windows 150 MB.
LEAST_FILES, MOST_ROWS = 16, 300_000
GRACE_S = 6 * 3600.0  # as long as a nightly run may take (packaging/systemd): who listed files reads them
_AT_ONCE = 512  # files that are looked at together
# Measured (docs/scale.md): level 6 is 2 % less than 3, and more than 6 gains nothing; 30,000 rows are two or
# three nodes' day, so that a node is read without the others, and smaller groups cost bytes.
LEVEL, GROUP_ROWS = 6, 30_000
_Missing = Literal["insert", "raise"]


@dataclass(slots=True)
class Compacted:
    """What a round did. `failed`: files that were left as they are, and why."""

    n_before: int = 0  # files that were put together
    n_after: int = 0
    n_rows: int = 0
    before_b: int = 0
    after_b: int = 0
    n_removed: int = 0  # files that an earlier round had replaced
    removed_b: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """A file on its way into a compacted one."""

    path: Path
    node: str
    n_rows: int


def compact(
    lake: Path, days: tuple[date, date], now_at: float | None = None, most_rows: int = MOST_ROWS
) -> Compacted:
    """Put together the files of these days, both included, and remove what earlier rounds replaced.

    The caller holds the lake's lock (turns.alone). Raises OSError where the lake cannot be written.
    """
    done = Compacted()
    low, high = (f"date={day.isoformat()}" for day in days)
    for table in TABLES:
        root = lake / f"v{FORMAT}" / table
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if folder.name.startswith("date=") and low <= folder.name <= high:
                _clear(folder, time.time() if now_at is None else now_at, done)
                _put_together(table, folder, most_rows, done)
    return done


def _put_together(table: str, folder: Path, most_rows: int, done: Compacted) -> None:
    # What stands for an imported file would stand for a later import of that hour, too: that would not count.
    paths = [path for path in counting(folder) if not is_imported(path)]
    if sum(not is_compacted(path) for path in paths) < LEAST_FILES:
        return
    parts = [part for part in _looked_at(table, paths, done) if _is_open(part, most_rows)]
    if sum(not is_compacted(part.path) for part in parts) < LEAST_FILES:
        return
    for group in _groups(parts, most_rows):
        _write(table, folder, group, done)


def _is_open(part: _Part, most_rows: int) -> bool:
    """A compacted file that is half full takes no more: it is not written anew for each late segment."""
    return not is_compacted(part.path) or 2 * part.n_rows < most_rows


def _looked_at(table: str, paths: Sequence[Path], done: Compacted) -> Iterator[_Part]:
    """Of which node each file is and how much.

    One that cannot be read, that is none of the table's, or that has columns which only a later release
    knows, stays as it is.
    """
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        try:
            yield from _look(table, some)
            continue
        except UNREADABLE:
            pass  # one bad file makes Polars refuse them all
        for path in some:
            try:
                check_file(path)
                yield from _look(table, [path], "insert")
            except UNREADABLE as error:
                done.failed.append((path, why_unreadable(error, path)))


def _look(table: str, paths: Sequence[Path], missing: _Missing = "raise") -> list[_Part]:
    # Every column: a file of which one page is hurt must not bring down the group it would go into, and one
    # that has them all is the table's.
    found = (
        _strict(table, paths, missing, include_file_paths="in_file")
        .select("in_file", "node", whole=pl.struct(list(TABLES[table])).is_null())
        .group_by("in_file")
        .agg(pl.col("node").min(), pl.len(), pl.col("whole").any())
        .collect()
    )
    known = {name: (node or "", n) for name, node, n, _ in found.iter_rows()}
    return [_Part(path, *known.get(str(path), ("", 0))) for path in paths]


def _strict(
    table: str, paths: Sequence[Path], missing: _Missing = "insert", include_file_paths: str | None = None
) -> pl.LazyFrame:
    for path in paths:
        check_regular(path)
    return pl.scan_parquet(
        list(paths),
        schema=TABLES[table],
        hive_partitioning=False,
        glob=False,
        missing_columns=missing,
        extra_columns="raise",
        include_file_paths=include_file_paths,
    )


def _groups(parts: Sequence[_Part], most_rows: int) -> Iterator[list[_Part]]:
    """Whole nodes as long as they fit, so that most nodes lie in one file."""
    group: list[_Part] = []
    n_rows = 0
    for _, of_node in groupby(sorted(parts, key=lambda part: (part.node, part.path.name)), lambda p: p.node):
        for part in of_node:
            if group and n_rows + part.n_rows > most_rows:
                yield group
                group, n_rows = [], 0
            group.append(part)
            n_rows += part.n_rows
    if group:
        yield group


def _write(table: str, folder: Path, group: list[_Part], done: Compacted) -> None:
    if len(group) < 2:
        return
    paths = sorted(part.path for part in group)
    try:
        # A node's rows are written in the order of an audit, so that reading them costs it no sorting.
        rows = _strict(table, paths).collect()
        rows = rows.sort("cluster", "node", "run", *ORDER[table], maintain_order=True, nulls_last=True)
    except UNREADABLE as error:
        done.failed.append((paths[0].parent, why_unreadable(error, paths[0])))
        return
    stems = {path.stem for path in paths}
    for path in paths:
        stems |= sources_of(path) if is_compacted(path) else set()
    listed = "".join(f"{stem}\n" for stem in sorted(stems)).encode("ascii")
    target = folder / f"{PREFIX}{hashlib.sha256(listed).hexdigest()[:16]}.parquet"
    before_b = sum(path.stat().st_size for path in paths)
    write_whole(target.with_suffix(".sources"), listed)  # first: the file stands for nothing without its list
    write_whole(target, lambda out: write_sorted(rows, out))
    done.n_before += len(paths)
    done.n_after += 1
    done.n_rows += rows.height
    done.before_b += before_b
    done.after_b += target.stat().st_size


def write_sorted(rows: pl.DataFrame, out: object) -> None:
    """As compacted files are encoded."""
    rows.write_parquet(
        out,  # type: ignore[arg-type]  # a file that is open
        compression="zstd",
        compression_level=LEVEL,
        statistics=True,
        row_group_size=GROUP_ROWS,
    )


def _clear(folder: Path, now_at: float, done: Compacted) -> None:
    """Remove what older compacted files stand for, lists without a file, and what a stop left half done."""
    names = {path.stem: path for path in folder.glob("*.parquet")}
    for path in sorted(folder.glob(f"{PREFIX}*.sources")):
        if path.stem not in names:
            path.unlink(missing_ok=True)
    for path in folder.glob(".*.tmp"):
        if now_at - path.stat().st_mtime > GRACE_S:
            path.unlink(missing_ok=True)
    for path in sorted(path for path in names.values() if is_compacted(path)):
        if not path.exists() or now_at - path.stat().st_mtime < GRACE_S:
            continue
        olds = [names[s] for s in sorted(sources_of(path)) if s in names and names[s].exists()]
        if olds and _is_whole(folder.parent.name, path, olds, done):
            _remove(olds, done)


def _is_whole(table: str, path: Path, olds: list[Path], done: Compacted) -> bool:
    """Whether every byte of it can be read. If not it goes, as long as all that it stands for is there; what
    is none of the table's file somebody put there, and stays his."""
    try:
        check_file(path)
        _look(table, [path], "insert")
    except WrongFile as error:
        done.failed.append((path, why_unreadable(error, path)))
        return False
    except UNREADABLE as error:
        done.failed.append((path, why_unreadable(error, path)))
        there = {old.stem for old in olds}
        there |= {stem for old in olds if is_compacted(old) for stem in sources_of(old)}
        if sources_of(path) <= there:
            path.unlink()
        return False
    return True


def _remove(olds: list[Path], done: Compacted) -> None:
    for old in olds:
        size_b = old.stat().st_size
        old.unlink(missing_ok=True)
        if is_compacted(old):
            old.with_suffix(".sources").unlink(missing_ok=True)
        done.n_removed += 1
        done.removed_b += size_b

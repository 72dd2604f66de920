"""Takes one user out of the lake and the history: what he did goes, what his GPUs did stays as sums.

A file keeps its name, which is the digest of the spool file that it came from: so it is not collected anew.
A link is not followed, for what it leads to is not the lake's to write: it is named, as all that stays.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from slurm_guard.lake.compact import write_sorted
from slurm_guard.lake.compacted import counting, is_compacted
from slurm_guard.lake.marks import check_file, check_regular
from slurm_guard.lake.scan import UNREADABLE, why_unreadable
from slurm_guard.lake.steps import formats_in
from slurm_guard.lake.write import write_whole

# Names of tables and columns of every format that is read: a file is written anew in its own.
# Nothing of a user's words, numbers or addresses is in them; a run is its node's key there.
SUMS = ("windows", "seals", "segments", "gpus", "accounted", "lost")
# Of these the rows stay, for a run without a ticket would look as if a hook had been silent.
BLANKED = {
    "tickets": (
        *("uid", "gid", "user", "work_dir", "stdout", "stderr", "comment", "extra", "intent_sha256"),
        *("progress_path", "net"),
    ),
    "ends": ("uid", "comment", "extra", "intent_sha256", "alive", "net"),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What a pass found of the user, or took away. `failed`: (file, words)."""

    rows: dict[str, int]  # by table; `history` for that of audits
    n_runs: int
    n_untold: int  # runs without ticket and end, with processes of his and of other users: left as they are
    failed: tuple[tuple[Path, str], ...]


def forget_lake(lake: Path, history: Path, uid: int, *, apply: bool) -> Taken:
    """Every file of both; with `apply` each is written anew, whole or not at all, under the caller's lock.

    Raises GuardError lake-newer, lake-older.
    """
    roots = [lake / f"v{number}" for number in formats_in(lake)]
    failed = [one for root in (*roots, *sorted(history.glob("v*"))) for one in _passed_over(root)]
    owners = _owners(roots)
    runs = sorted(run for run, uids in owners.items() if uids == {uid})
    rows: dict[str, int] = {}
    for folder in (path for root in roots for path in _folders(root, "*")):
        for day in _folders(folder, "date=*"):
            counted = counting(
                day
            )  # what a compacted file replaced is rewritten as well, and not counted again
            for path in _files(day):
                if not _is_its_tables(path, failed) or folder.name in SUMS:
                    continue
                n = _change(path, folder.name, uid, runs, failed, apply=apply)
                rows[folder.name] = rows.get(folder.name, 0) + (n if path in counted else 0)
    for path in (path for root in sorted(history.glob("v*")) for path in _files(root)):
        rows["history"] = rows.get("history", 0) + _change(path, "", uid, [], failed, apply=apply)
    n_untold = sum(1 for uids in owners.values() if uid in uids and len(uids) > 1)
    return Taken({table: n for table, n in rows.items() if n}, len(runs), n_untold, tuple(failed))


def _passed_over(path: Path) -> Iterator[tuple[Path, str]]:
    """Links at or below a folder, and folders there that cannot be listed, with why nothing changes there."""
    if path.is_symlink():
        yield path, "a link, which was not followed: what it leads to is as it was"
        return
    try:
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield path, f"cannot be listed: {error.strerror}"
        return
    for entry in entries:
        if entry.is_symlink() or entry.is_dir(follow_symlinks=False):
            yield from _passed_over(Path(entry.path))


def _folders(folder: Path, pattern: str) -> list[Path]:
    if folder.is_symlink():
        return []
    return [path for path in sorted(folder.glob(pattern)) if path.is_dir() and not path.is_symlink()]


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_symlink():
        return iter(())
    return (
        path
        for path in sorted(folder.rglob("*.parquet"))
        if path.parent.name.startswith("date=") and not path.is_symlink()
    )


def _is_its_tables(path: Path, failed: list[tuple[Path, str]]) -> bool:
    """In a file of another table his rows lie where nobody looks for them: it is named and left as it is."""
    try:
        check_file(path)
    except UNREADABLE as error:
        failed.append((path, why_unreadable(error, path)))
        return False
    return True


def _owners(roots: list[Path]) -> dict[str, set[int]]:
    """Whose each run of every node may be: as the hooks say; where both were silent, whose processes it had.

    Root's in a job are slurmstepd's and an admin's.
    """
    told: dict[str, set[int]] = {}
    seen: dict[str, set[int]] = {}
    for found, table in (*((told, name) for name in BLANKED), (seen, "processes")):
        for path in (path for root in roots if not root.is_symlink() for path in _files(root / table)):
            try:
                check_file(path)
                frame = pl.read_parquet(path, columns=["run", "uid"], hive_partitioning=False)
            except UNREADABLE:
                continue  # it is named where its rows are looked for
            for run, uid in frame.drop_nulls().unique().iter_rows():
                if found is told or uid != 0:
                    found.setdefault(run, set()).add(uid)
    return seen | told


def _change(
    path: Path, table: str, uid: int, runs: list[str], failed: list[tuple[Path, str]], *, apply: bool
) -> int:
    """How many rows of a file are the user's."""
    try:
        check_regular(path)
        frame = pl.read_parquet(path, hive_partitioning=False)
        mine = _is_his(frame, uid, runs)
        n = int(frame.select(mine.sum()).item())
        if n == 0 or not apply:
            return n
        blank = [name for name in BLANKED.get(table, ()) if name in frame.columns]
        kept = (
            frame.with_columns(pl.when(~mine).then(pl.col(name)).alias(name) for name in blank)
            if table in BLANKED
            else frame.filter(~mine)
        )
        if is_compacted(path):
            write_whole(path, lambda out: write_sorted(kept, out))
        else:
            write_whole(path, lambda out: kept.write_parquet(out, compression="zstd", statistics=False))
    except UNREADABLE as error:
        failed.append((path, why_unreadable(error, path)))
        return 0
    return n


def _is_his(frame: pl.DataFrame, uid: int, runs: list[str]) -> pl.Expr:
    """Rows of his runs, and of his processes in others' time."""
    ways = []
    if "run" in frame.columns:
        ways.append(pl.col("run").is_in(runs))
    if "uid" in frame.columns:
        ways.append(pl.col("uid") == uid)
    return pl.any_horizontal(way.fill_null(value=False) for way in ways) if ways else pl.lit(value=False)

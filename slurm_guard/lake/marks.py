"""What makes a file one of a table: columns that no other table has all of, and that each of its files has.

Where a file lies says of which table it is, and a copy may have put it there wrongly. A column that it lacks
is null, so all rows of another table's would be rows without a time, which belong to no night: nobody would
hear of them.
"""

import stat
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from slurm_guard.lake.schema import FORMAT
from slurm_guard.lake.steps import OLDER

# The table's columns of the first release that wrote it: those that came later an older file lacks rightly.
# None that an audit leaves unread (frames.UNASKED): whoever reads these looks for wrong files, and pays
# nothing for it.
MARKS: dict[str, tuple[str, ...]] = {
    "tickets": ("node", "run", "at", "job_id", "nodelist", "work_dir"),
    "ends": ("node", "run", "at", "job_id", "exit_code", "alive"),
    "seals": ("node", "run", "at", "ended_by", "n_segments"),
    "segments": ("node", "run", "seq", "opened_at", "closed_at", "sha256"),
    "windows": ("node", "run", "gpu", "start_at", "end_at", "covered_ms"),
    "shares": ("node", "run", "window_run", "start_at", "end_at", "sm_ms", "mem_mib"),
    "held": ("node", "run", "window_run", "start_at", "end_at", "uvm"),
    "processes": ("node", "run", "first_seen_at", "last_seen_at", "cgroup"),
    "files": ("node", "run", "at", "path", "size"),
    "flows": ("node", "run", "first_seen_at", "last_seen_at", "local", "peer"),
    "briefs": ("node", "run", "first_seen_at", "last_seen_at", "n_failed"),
    "relays": ("node", "run", "first_seen_at", "last_seen_at", "outer_peer"),
    "events": ("node", "run", "at", "name", "detail"),
    "gpus": ("node", "run", "at", "gpu", "driver"),
    "accounted": ("node", "run", "at", "gpu", "time_ms"),
    "lost": ("node", "run", "at", "seq", "reason"),
    "logs": ("node", "run", "read", "file", "path", "source"),
    "points": ("node", "run", "read", "file", "step", "offset"),
}


class WrongFile(Exception):
    """A file that is none of the table in whose folder it lies; in words."""


def check_regular(path: Path) -> None:
    """Of a folder Polars would read what lies in it, a pipe it would wait for. Raises WrongFile, OSError."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise WrongFile("a folder in place of a file" if stat.S_ISDIR(mode) else "no regular file")


def check_file(path: Path) -> None:
    """By its last bytes alone, where its columns' names are. Raises WrongFile, Polars' errors, OSError."""
    number, table = int(path.parents[2].name.removeprefix("v")), path.parents[1].name
    marks = MARKS if number == FORMAT else OLDER[number].marks if number in OLDER else {}
    check_columns(path, table, marks.get(table, ()))


def check_columns(path: Path, table: str, marks: Sequence[str]) -> None:
    """The file has all of these. Raises WrongFile, Polars' errors, OSError."""
    check_regular(path)
    columns = set(pl.read_parquet_schema(path))
    missing = [name for name in marks if name not in columns]
    if missing:
        looks = [other for other, theirs in MARKS.items() if columns.issuperset(theirs)]
        like = f"; it has those of {looks[0]}" if looks else ""
        raise WrongFile(f"not a file of {table}: it lacks columns ({', '.join(missing[:3])}){like}")

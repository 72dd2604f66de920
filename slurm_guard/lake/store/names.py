"""Which names a lake's files have, here and in a store, and what is known of those that are in both.

Names from a store are anybody's text: one that is not exactly of this form is never a path here. What is
known (`<lake>/store/v1.windows.json`) is a cache: lost, files are compared by their content.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from slurm_guard.errors import GuardError
from slurm_guard.lake.compacted import counting, is_compacted, listed
from slurm_guard.lake.schema import FORMAT
from slurm_guard.lake.store.bucket import Sent, Thing, digests
from slurm_guard.lake.write import write_whole

FOLDER = "store"
_NAME = re.compile(
    r"v([1-9][0-9]{0,3})/([a-z][a-z_]{0,40})/date=([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"/([A-Za-z0-9][A-Za-z0-9._-]{0,120})\.(parquet|sources)",
    re.ASCII,
)
_FORMAT = 1
_STEM = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,120}", re.ASCII)
_LEAST_PARQUET_B = 12  # two marks and a length
MOST_SOURCES_B = 64 << 20  # of one list: 3 million files. Judgement


class Named(NamedTuple):
    """A name's parts."""

    format: int
    table: str
    day: date
    stem: str
    is_list: bool  # a compacted file's .sources

    @property
    def is_compacted(self) -> bool:
        """Or the list of one."""
        return is_compacted(Path(self.stem))


def parse_name(name: str) -> Named | None:
    """Null: it is no name that a lake's file can have."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        return Named(int(found[1]), found[2], date.fromisoformat(found[3]), found[4], found[5] == "sources")
    except ValueError:  # 2026-13-99
        return None


def groups_here(lake: Path) -> set[str]:
    """`v1/windows` and so on, of every format that is here."""
    return {
        f"{root.name}/{table.name}"
        for root in listed(lake)
        if root.name.startswith("v") and stat.S_ISDIR(_mode(root))
        for table in listed(root)
        if stat.S_ISDIR(_mode(table)) and parse_name(f"{root.name}/{table.name}/{_ANY}")
    }


_ANY = "date=2000-01-01/a.parquet"


def check_format(group: str, where: str) -> None:
    """Raises GuardError lake-newer: half a lake is not taken for a whole one."""
    number = int(group.partition("/")[0][1:])
    if number > FORMAT:
        raise GuardError(
            "lake-newer",
            f"{where} holds files of format {number}, this slurm-guard reads up to {FORMAT}",
            "use the release that wrote them, or a later one",
        )


def files_here(lake: Path, group: str, *, counted: bool) -> dict[str, Path]:
    """A group's files by name. `counted`: those that count (compacted.py), with the lists of these, and what
    lies in the place of one and is no file: it cannot be sent, and the store's own is not taken for gone.

    Nor is what cannot be looked at: raises OSError, GuardError lake-unreadable."""
    found = {}
    for folder in listed(lake / group):
        if not stat.S_ISDIR(_mode(folder)):
            continue
        for path in _counted(folder) if counted else listed(folder):
            name = f"{group}/{folder.name}/{path.name}"
            if parse_name(name) is None or not (mode := _mode(path)):
                continue
            if stat.S_ISREG(mode) or (counted and not stat.S_ISLNK(mode)):
                found[name] = path
    return found


def _mode(path: Path) -> int:
    """Of itself, and not of what a link leads to. Raises OSError where nobody can say."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:  # put together or taken away meanwhile
        return 0


def _counted(folder: Path) -> Iterator[Path]:
    for path in counting(folder):
        yield path
        listed = path.with_suffix(".sources")
        if is_compacted(path) and listed.exists():
            yield listed


def _state(lake: Path, group: str) -> Path:
    return lake / FOLDER / f"{group.replace('/', '.')}.json"


def read_known(lake: Path, group: str) -> dict[str, Sent]:
    """Files as they were last the same here and there; empty where that makes no sense."""
    try:
        data = json.loads(_state(lake, group).read_bytes())
        if data["format"] != _FORMAT:
            return {}
        return {
            str(name): Sent(int(size), int(mtime_ns), str(etag))
            for name, (size, mtime_ns, etag) in data["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def write_known(lake: Path, group: str, known: dict[str, Sent]) -> None:
    """Raises OSError."""
    body = {name: list(sent) for name, sent in sorted(known.items())}
    raw = json.dumps({"format": _FORMAT, "files": body}, indent=0).encode("ascii")
    write_whole(_state(lake, group), raw)


def is_same(path: Path, sent: Sent | None, thing: Thing) -> Sent | None:
    """What is known of a file that is the same here and there; null: it is not, or nobody can say."""
    try:
        about = path.stat(follow_symlinks=False)
        if not stat.S_ISREG(about.st_mode) or about.st_size != thing.size:
            return None
        here = Sent(about.st_size, about.st_mtime_ns, thing.etag)
        if sent == here:
            return here
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return here if digests(file)[0].hex() == thing.etag else None
    except OSError:
        return None


def wrong_content(fd: int, named: Named) -> str:
    """Why a file that came cannot be what its name says; empty: it may be. Its rows are for its reader."""
    size = os.fstat(fd).st_size
    if named.is_list:
        stems = os.pread(fd, MOST_SOURCES_B, 0).decode("ascii", "replace").split()
        return "" if all(map(_STEM.fullmatch, stems)) else "no list of files"
    ends = os.pread(fd, 4, 0), os.pread(fd, 4, max(0, size - 4))
    return "" if size >= _LEAST_PARQUET_B and ends == (b"PAR1", b"PAR1") else "no Parquet file"

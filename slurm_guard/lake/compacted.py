"""Which Parquet files of a day count: a compacted one stands for those that it was made of.

`c-<digest>.parquet` holds the rows of the files that `c-<digest>.sources` names, a stem a line. From the
moment at which it has its name those do not count, whether they are still there or not; so there is none at
which a row is missing or there twice. Removing them is another day's work (compact.py).
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from slurm_guard.errors import GuardError

PREFIX = "c-"  # a spool file's digest has none
IMPORTED = "imported-"  # of a file that a later import replaces under its name: it is never put together


def is_imported(path: Path) -> bool:
    """By its name alone."""
    return path.name.startswith(IMPORTED)


def sources_of(compacted: Path) -> frozenset[str]:
    """Stems of the files that it stands for; one whose list is lost stands for none, and is read.

    Raises OSError where there is a list and it cannot be read: what it names would count twice.
    """
    try:
        return frozenset(compacted.with_suffix(".sources").read_text("ascii", "replace").split())
    except FileNotFoundError:
        return frozenset()


def is_compacted(path: Path) -> bool:
    """By its name alone."""
    return path.name.startswith(PREFIX)


def stems_of(path: Path) -> frozenset[str]:
    """Of the files that its rows were collected into; where nothing is said it stands for itself."""
    try:
        sources = sources_of(path) if is_compacted(path) else frozenset[str]()
    except OSError:
        sources = frozenset()
    return frozenset(stem for stem in sources if not stem.startswith(PREFIX)) or frozenset({path.stem})


def replaced(paths: Iterable[Path]) -> set[str]:
    """Stems that compacted ones among the paths, all of one folder, stand for. Raises OSError."""
    stems: set[str] = set()
    for path in paths:
        if is_compacted(path):
            stems |= sources_of(path)
    return stems


def listed(folder: Path) -> list[Path]:
    """What lies in a folder of the lake, in the order of names; nothing where there is none.

    Raises GuardError lake-unreadable: a day that may not be looked at is no day without rows, and pathlib's
    glob does not tell them apart.
    """
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise GuardError(
            "lake-unreadable",
            f"{folder} cannot be listed: {error.strerror}",
            "mend its owner and mode, or the disk; or move it away: its rows are missing then",
        ) from None


def counting(folder: Path) -> list[Path]:
    """The Parquet files of a table's day that count, in the order of their names.

    Where a list cannot be read, rows may be there twice: readers that want distinct rows get them.
    Raises GuardError lake-unreadable.
    """
    paths = [path for path in listed(folder) if path.name.endswith(".parquet")]
    gone: set[str] = set()
    for path in paths:
        with suppress(OSError):
            gone |= replaced([path])
    return [path for path in paths if path.stem not in gone] if gone else paths


class Taken:
    """What each folder has of spool files, by itself or in a compacted file. Lists are read once a folder."""

    def __init__(self) -> None:
        self._replaced: dict[Path, set[str]] = {}

    def has(self, path: Path) -> bool:
        """Whether this file's rows are there. Raises OSError."""
        if path.exists():
            return True
        folder = path.parent
        if folder not in self._replaced:
            self._replaced[folder] = replaced(folder.glob(f"{PREFIX}*.parquet"))
        return path.stem in self._replaced[folder]

"""Whether who makes a part sees the lake that the head saw: one that a node has not mounted has no rows.

A part made of another lake would be kept under the name of the right one, and published. Names and sizes are
compared, and times are not: a file system may round them on one node and not on another.
"""

import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from slurm_guard.errors import GuardError

Sizes = tuple[int, ...]  # of files in the order of their names
_UNREAD = -1


def size_of(path: Path) -> int:
    """In bytes; below zero: who asks cannot read it."""
    try:
        return path.stat().st_size if os.access(path, os.R_OK) else _UNREAD
    except OSError:
        return _UNREAD


def check_lake(lake: Path, files: Iterable[Path], sizes: Sizes) -> None:
    """Raises GuardError lake-changed where these files are not all there, as large as they were."""
    every = sorted(files)
    listed = {path for folder, _ in groupby(every, lambda path: path.parent) for path in _names(folder)}
    wrong = [
        path
        for path, size in zip(every, sizes, strict=True)
        if size != _UNREAD and (path not in listed or size_of(path) != size)
    ]
    if wrong:
        raise GuardError(
            "lake-changed",
            f"the lake {lake} on {os.uname().nodename} is not the one that the audit began with: "
            f"{len(wrong)} of {len(every)} files are not there, or are others, such as "
            f"{wrong[0].relative_to(lake)}; nothing was published",
            "mount the lake at the same path on all nodes; where something takes files away meanwhile, audit "
            "the night again",
        )


def _names(folder: Path) -> list[Path]:
    """As a reader of the lake finds them: what the folder does not list yet has no rows for it."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []

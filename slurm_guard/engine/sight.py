"""Whether who makes a part sees the lake that the head saw, and whether that is still there.

A part made of another lake, or of files of which one went meanwhile, would be kept under the name of the
right one, and published. Of who makes parts names and sizes are compared, and not times: a file system may
round them on one node and not on another.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.lake.view import View

Sizes = tuple[int, ...]  # of files in the order of their names; below zero: the head cannot read it
SLUG = "lake-changed"


def sizes_of(view: View, files: Iterable[Path]) -> Sizes:
    """As the head saw them."""
    return tuple(view.seen[path][0] for path in sorted(files))


def check_files(lake: Path, files: Iterable[Path], sizes: Sizes) -> None:
    """Raises GuardError lake-changed where these files are not all there, as large as they were."""
    every = sorted(files)
    wrong = [path for path, size in zip(every, sizes, strict=True) if size >= 0 and _size_of(path) != size]
    if wrong:
        raise _changed(lake, wrong, len(every))


def check_view(view: View) -> None:
    """For the head. Raises GuardError lake-changed where files of the view are gone or were written anew."""
    if wrong := view.changed():
        raise _changed(view.lake, wrong, len(view.seen))


def _size_of(path: Path) -> int:
    """In bytes; below zero: who asks cannot read it."""
    try:
        return path.stat().st_size if os.access(path, os.R_OK) else -1
    except OSError:
        return -1


def _changed(lake: Path, wrong: Sequence[Path], n: int) -> GuardError:
    return GuardError(
        SLUG,
        f"the lake {lake} on {os.uname().nodename} is not the one that the audit began with: "
        f"{len(wrong)} of {n} files are not there, or are others, such as "
        f"{wrong[0].relative_to(lake)}; nothing was published",
        "mount the lake at the same path on all nodes; where something takes files away meanwhile, audit "
        "the night again",
    )

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
    """For who makes a part. Raises GuardError lake-changed where these files are not all there, as large as
    the head saw them: whether they went on the head meanwhile, the head knows."""
    every = sorted(files)
    wrong = [path for path, size in zip(every, sizes, strict=True) if size >= 0 and _size_of(path) != size]
    if wrong:
        raise _elsewhere(lake, wrong, len(every))


def check_view(view: View) -> None:
    """For the head. Raises GuardError lake-changed where files of the view are gone or were written anew."""
    if wrong := view.changed():
        raise changed_here(view, wrong)


def changed_here(view: View, wrong: Sequence[Path]) -> GuardError:
    """The head's own lake is no longer what it was: waiting helps."""
    return GuardError(
        SLUG,
        f"the lake {view.lake} changed on {os.uname().nodename}, where the audit was begun, while it ran: "
        f"{len(wrong)} of {len(view.seen)} files went or were written anew, such as "
        f"{wrong[0].relative_to(view.lake)}; nothing was published",
        "let what does that end (`prune`, `forget`, an import, `lake sync`; a disk that comes and goes), "
        "then audit the night again: what was made of other files is kept",
    )


def _elsewhere(lake: Path, wrong: Sequence[Path], n: int) -> GuardError:
    """The head's may be as it was: then waiting does not help."""
    host, first = os.uname().nodename, wrong[0].relative_to(lake)
    there = [path for path in wrong if _size_of(path) >= 0]
    what = (
        f"none of {n} files can be read there"
        if len(wrong) == n and not there
        else f"{len(wrong)} of {n} files cannot be read there or have another size"
    )
    return GuardError(
        SLUG,
        f"{host} does not see the lake {lake} that the audit was begun with (not mounted, or another one?): "
        f"{what}, such as {first}; nothing was published",
        f"mount that lake on {host} at the same path, readable for the audit's user: `ls -l {wrong[0]}` has "
        "to say the same there and where the audit was begun; then audit the night again",
    )


def _size_of(path: Path) -> int:
    """In bytes; below zero: who asks cannot read it."""
    try:
        return path.stat().st_size if os.access(path, os.R_OK) else -1
    except OSError:
        return -1

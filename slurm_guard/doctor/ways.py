"""The way to a file: who else may change what root reads or runs there, and what bars somebody from it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from slurm_guard.configsafe import Reader, judge
from slurm_guard.doctor.facts import Unsafe

_ROOT = Reader(0, 0)


def unsafe_on_way(path: str) -> tuple[Unsafe, ...]:
    """Every file, folder and link on the way that somebody other than root may change."""
    found: dict[str, str] = {}
    for each in _way(path):
        try:
            status = os.lstat(each)
        except OSError:
            continue
        if stat.S_ISLNK(status.st_mode):
            if status.st_uid != 0:
                found[each] = f"belongs to uid {status.st_uid}"
            continue
        why = judge(each, status, _ROOT).unsafe
        if why:
            found[each] = why
    return tuple(Unsafe(place, why) for place, why in found.items())


def _way(path: str) -> Iterator[str]:
    """As named, then as it really is."""
    for one in dict.fromkeys((os.path.normpath(path), os.path.realpath(path))):
        parents = [str(parent) for parent in reversed(Path(one).parents)]
        yield from (*parents, one)


def may_enter(path: str) -> bool:
    """Whether everybody may pass every folder on the way."""
    try:
        return all(Path(one).stat().st_mode & 0o001 for one in Path(os.path.realpath(path)).parents)
    except OSError:
        return False


def barrier(path: Path) -> str:
    """The first folder on the way that this process may not enter, or the folder or program itself that it
    may not read and enter or run it; empty: none, or nothing is there."""
    for place in (*reversed(path.parents), path):
        try:
            os.stat(place)  # noqa: PTH116
        except FileNotFoundError:
            return ""
        except PermissionError:  # a link to what may not be reached
            return str(place)
        if not os.access(place, os.X_OK | (os.R_OK if place == path else 0)):
            return str(place)
    return ""

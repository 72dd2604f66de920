"""Files in lake and reports that the user that audits may not read: what root left there."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slurm_guard.doctor.finding import NotSeenError

_MOST = 5_000  # entries of one store that are tried. Judgement: 5 s at 1 ms, as from a file server


@dataclass(frozen=True, slots=True)
class Shut:
    """How many files and folders may not be read, and the first. `all_seen` false: there were too many."""

    n: int = 0
    first: str = ""
    all_seen: bool = True


def find_shut(places: Mapping[str, str], owner: int) -> dict[str, Shut]:
    """Of each place, by the rights of whoever looks. Raises NotSeenError where that is not the owner."""
    if os.geteuid() != owner:
        raise NotSeenError("files are tried with the rights of the user that audits")
    return {name: _look(place) for name, place in places.items()}


def _look(place: str) -> Shut:
    n, first = 0, ""
    for at, (path, is_folder) in enumerate(_below(place)):
        if at >= _MOST:
            return Shut(n, first, all_seen=False)
        if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
            n, first = n + 1, first or path
    return Shut(n, first)


def _below(place: str) -> Iterator[tuple[str, bool]]:
    """Files and folders, the last names first, today's before last year's; no link is followed."""
    try:
        with os.scandir(place) as entries:
            found = sorted(entries, key=lambda entry: entry.name, reverse=True)
    except OSError:  # gone meanwhile, or shut, which was told with its name
        return
    for entry in found:
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder or entry.is_file(follow_symlinks=False):
            yield entry.path, is_folder
        if is_folder:
            yield from _below(entry.path)

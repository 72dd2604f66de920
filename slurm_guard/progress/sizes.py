"""How much is on disk behind each checkpoint that the walk found. Runs in the opener, as the job's user.

A name is free, and so is another name for bytes that are there already: only what was written during the run
counts, and each inode once.
"""

import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from slurm_guard.progress.birth import birth_at
from slurm_guard.progress.checkpoints import LEAST_B, MOST, Saved, spread
from slurm_guard.progress.weights import TRIES

MAX_PARTS = 64  # entries of a checkpoint that are looked at: its size need not be exact (judgement)
MAX_S = 1.0  # of all of them, beside the walk's own time (judgement)

Inodes = set[tuple[int, int]]
IsFresh = Callable[[os.stat_result], bool]


class Save(NamedTuple):
    """A checkpoint that was changed in the run, as the walk came by it."""

    folder: str
    path: str
    step: int  # in millionths where `epoch`
    epoch: bool
    seen: os.stat_result


class Measured(NamedTuple):
    """`saved`: folder -> checkpoints in it. `newest`: folder -> paths of the last of them, the last first."""

    saved: dict[str, list[Saved]]
    newest: dict[str, list[str]]
    problems: list[str]


def measured(saves: list[Save], is_fresh: IsFresh) -> Measured:
    """What is behind the checkpoints. `is_fresh`: whether a file was written during the run.

    Of names of one inode the lowest counter stands: which of them it was written for cannot be told.
    """
    until = time.monotonic() + MAX_S
    problems, inodes = [], set[tuple[int, int]]()
    distinct: dict[tuple[int, int], Save] = {}
    for save in sorted(saves, key=lambda one: (one.step, one.path)):
        distinct.setdefault((save.seen.st_dev, save.seen.st_ino), save)
    if len(distinct) < len(saves):
        problems.append(f"same-checkpoint: {len(saves) - len(distinct)} more names of files told already")
    kept = spread(sorted(distinct.values(), key=lambda one: one.seen.st_ctime_ns), MOST)
    if len(kept) < len(distinct):
        problems.append(f"many-checkpoints: {len(distinct)} were found; {MOST} of them, evenly, are kept")
    saved: dict[str, list[Saved]] = {}
    newest: dict[str, list[str]] = {}
    for nth, save in enumerate(reversed(kept)):  # an earlier reading told of the older ones
        if time.monotonic() > until:
            problems.append(f"walk-capped: {len(kept) - nth} checkpoints were not measured in time")
            break
        size_b = _size_of(save, is_fresh, inodes)
        at = save.seen.st_ctime_ns / 1e9
        if size_b >= LEAST_B and len(newest.setdefault(save.folder, [])) < TRIES:
            newest[save.folder].append(save.path)
        saved.setdefault(save.folder, []).append(
            Saved(save.step, save.epoch, at, birth_at(save.path), size_b)
        )
    return Measured({folder: ones[::-1] for folder, ones in saved.items()}, newest, problems)


def _size_of(save: Save, is_fresh: IsFresh, inodes: Inodes) -> int:
    """Bytes on disk of a checkpoint's files, two levels deep. `inodes`: those counted before; grows."""
    if not stat.S_ISDIR(save.seen.st_mode):
        return _fresh_b(save.seen, is_fresh, inodes)
    size_b = n = 0
    queue = [(save.path, 0)]
    while queue:
        path, depth = queue.pop()
        try:
            with os.scandir(path) as listing:
                for entry in listing:
                    n += 1
                    if n > MAX_PARTS:
                        return size_b
                    if not entry.is_dir(follow_symlinks=False):
                        size_b += _fresh_b(entry.stat(follow_symlinks=False), is_fresh, inodes)
                    elif depth == 0:
                        queue.append((entry.path, 1))
        except OSError:
            continue
    return size_b


def _fresh_b(seen: os.stat_result, is_fresh: IsFresh, inodes: Inodes) -> int:
    place = seen.st_dev, seen.st_ino
    if place in inodes or not is_fresh(seen):
        return 0
    inodes.add(place)
    return 512 * seen.st_blocks

"""One at a time: no two processes change the same installation, also before its folder is there."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.install.journal import Keeper

TRIES = 20  # each time another process made or removed a folder in between


@contextlib.contextmanager
def held(keeper: Keeper) -> Iterator[None]:
    """The journal's folder, or the nearest above it, for us alone; all above that shared.

    Who comes when another has just made the folder gets that, but not the one above, which the other
    has for itself. No file is left behind. Raises GuardError install-busy.
    """
    descriptors = _lock_all(keeper.disk.at(keeper.folder), keeper.disk.at(Path("/")))
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _lock_all(wanted: str, top: str) -> list[int]:
    for _ in range(TRIES):
        nearest = _nearest(wanted)
        descriptors: list[int] = []
        try:
            for folder in _up_to(nearest, top):
                _lock(folder, folder == nearest, descriptors)
            if _nearest(wanted) == nearest and os.path.samestat(os.stat(nearest), os.fstat(descriptors[0])):
                kept, descriptors = descriptors, []
                return kept
        except FileNotFoundError:  # removed in between
            continue
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
    raise _busy(wanted)


def _lock(folder: str, alone: bool, descriptors: list[int]) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        if alone:
            raise
        return  # of a folder that we cannot open nobody of our kind is about to make one
    descriptors.append(descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _busy(folder) from None


def _busy(folder: str) -> GuardError:
    return GuardError(
        "install-busy",
        f"another install, upgrade or uninstall is under way: it holds {folder}",
        "wait until it has ended",
    )


def _nearest(folder: str) -> str:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _up_to(folder: str, top: str) -> Iterator[str]:
    yield folder
    while folder not in (top.rstrip("/") or "/", "/"):
        folder = os.path.dirname(folder)
        yield folder

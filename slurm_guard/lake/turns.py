"""Who writes the lake takes turns; who looks at it lets a turn end, and sees no half of a segment."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.lake.store.mark import is_copy
from slurm_guard.lake.store.names import FOLDER
from slurm_guard.lake.write import CLOSED

NAME = ".lock"
PATIENCE_S = 30.0  # of who writes: longer than somebody lists the lake. Judgement
WAIT_S = 300.0  # of who looks: an hour's segments of 10,000 GPUs take 2 minutes. Judgement
_LOOK_S = 0.1


@contextmanager
def alone(lake: Path) -> Iterator[None]:
    """While nobody else writes the lake, nor lists it for an audit. Raises GuardError lake-busy."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    with os.fdopen(os.open(lake / NAME, flags, CLOSED), "w") as lock:
        if not _is_taken(lock.fileno(), fcntl.LOCK_EX, PATIENCE_S):
            raise _busy(lake)
        yield


@contextmanager
def alone_to_remove(lake: Path) -> Iterator[None]:
    """The same for who only takes files away, in a copy as well: while nobody fetches there.

    No lock is made, for this may be root, whose lock nobody else could open; nobody is waited for where there
    is none, or it may not be opened: who may not, may not remove anything there. Raises GuardError lake-busy.
    """
    try:
        lock = os.open(_lock_of(lake), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        if not _is_taken(lock, fcntl.LOCK_EX, PATIENCE_S):
            raise _busy(lake)
        yield
    finally:
        os.close(lock)


def _busy(lake: Path) -> GuardError:
    return GuardError("lake-busy", f"another collection is writing {lake}", "let it finish")


def _lock_of(lake: Path) -> Path:
    """Of who collects into it; in a copy of who fetches."""
    return lake / FOLDER / NAME if is_copy(lake) else lake / NAME


@contextmanager
def settled(lake: Path) -> Iterator[None]:
    """While nobody writes the lake, or fetches where it is a copy; after WAIT_S all the same.

    Nobody is waited for where the lock may not be opened, or the file system has none.
    """
    try:
        lock = os.open(_lock_of(lake), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            _is_taken(lock, fcntl.LOCK_SH, WAIT_S)
        yield
    finally:
        os.close(lock)


def _is_taken(lock: int, how: int, patience_s: float) -> bool:
    until_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return False
        time.sleep(_LOOK_S)

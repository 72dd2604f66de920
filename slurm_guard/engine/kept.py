"""What is kept of a night's parts, between audits and for those that are stopped: one folder a night.

`<folder>/<day>-<digest>/` has the results, and `run-*` of each audit what it hands its processes. Who audits
holds a lock on the night that lets others in; who takes away holds it alone. Nothing else is waited for:
two audits at once make some results twice.
"""

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from slurm_guard.engine.digest import digest_of
from slurm_guard.engine.folder import Folder, open_folder
from slurm_guard.errors import GuardError

_LOCK = "lock"
_RUN = "run-"
_UNLOCKED_S = 86_400.0  # where a file system has no locks, who came by within a day is there. Judgement


@dataclass(slots=True)
class Work:
    """One audit's: the night's results, its own folder, and which results it used."""

    night: Folder
    run: Folder
    used: set[str] = field(default_factory=set)
    kept: bool = True


def own_folder(lake: Path) -> Path | None:
    """Where the parts of its nights are kept unless another folder is named: in the lake, if that is the
    user's own and can be written; null: nowhere."""
    is_own = lake.stat().st_uid == os.geteuid() and os.access(lake, os.W_OK)
    return lake / "parts" if is_own else None


@contextmanager
def work_of(place: Path | None, n_nights: int, night: tuple[str, str, float, float]) -> Iterator[Work]:
    """The folder of a night (lake, cluster, from, until), for one audit. `place` null, or no nights: nothing
    outlives it. Raises GuardError parts-unsafe, scratch-unwritable."""
    if place is None or n_nights <= 0:
        with tempfile.TemporaryDirectory(prefix="slurm-guard-") as path:
            folder = open_folder(Path(path))
            yield Work(folder, folder.below("run"), kept=False)
        return
    with in_words(place):
        root = open_folder(place)
        name = name_of(night)
        _drop_older(root, name, n_nights - 1)
        folder, lock = _entered(root, name)
        drop_runs(folder)
        run = folder.below(f"{_RUN}{secrets.token_hex(4)}")
        alive = _locked(run, fcntl.LOCK_EX)
    try:
        work = Work(folder, run)
        yield work
        os.close(alive)
        alive = -1
        _remove(folder, run.path.name)
        if _is_alone(lock):
            _drop_unused(folder, work.used)
    finally:
        for fd in (lock, alive):
            if fd >= 0:
                os.close(fd)


def name_of(night: tuple[str, str, float, float]) -> str:
    """Of its folder: a day that people know, and what tells it from all others."""
    day = datetime.fromtimestamp(night[2], timezone.utc).date()
    return f"{day.isoformat()}-{digest_of(night)[:16]}"


def forget(place: Path) -> list[tuple[Path, str]]:
    """Take everything away; what could not be, and why. Raises GuardError parts-unsafe."""
    try:
        root = open_folder(place, make=False)
    except FileNotFoundError:
        return []
    for name in _nights(root):
        _drop(root, name)
    left = _nights(root)
    root.close()
    return [(place / name, "an audit is using it: forget again when that has ended") for name in left]


@contextmanager
def in_words(place: Path) -> Iterator[None]:
    """A disk's refusal in words. Raises GuardError scratch-unwritable."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error  # Polars gives no number, and words of its own
        raise GuardError(
            "scratch-unwritable",
            f"the parts of the night cannot be kept in {place}: {why}; nothing was published",
            "make room there or mend the disk, or name another folder ([engine] folder, or TMPDIR for a "
            "temporary one), then audit the night again",
        ) from None


def drop_runs(night: Folder) -> list[str]:
    """Names of what audits left that ended before their time; it is gone."""
    found = []
    for name in sorted(night.names()):
        if not name.startswith(_RUN):
            continue
        try:
            run = night.below(name, make=False)
        except (OSError, GuardError):
            continue
        lock = _locked(run, fcntl.LOCK_SH)
        if _is_alone(lock):
            found.append(name)
            _remove(night, name)
        os.close(lock)
        run.close()
    return found


def _entered(root: Folder, name: str) -> tuple[Folder, int]:
    """The night's folder and the lock on it, though another audit may be taking it away."""
    while True:
        folder = root.below(name)
        lock = _locked(folder, fcntl.LOCK_SH)
        with suppress(OSError):
            if os.fstat(folder.fd).st_ino == os.stat(name, dir_fd=root.fd, follow_symlinks=False).st_ino:
                return folder, lock
        os.close(lock)
        folder.close()


def _locked(folder: Folder, how: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(_LOCK, flags, 0o600, dir_fd=folder.fd)
    with suppress(OSError):  # a file system without locks, or somebody who is about to take it away
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    os.utime(fd)
    return fd


def _is_alone(lock: int, seen_at: float | None = None) -> bool:
    """Whether nobody else is there. `seen_at`: when somebody last was, for file systems without locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        return seen_at is not None and seen_at < time.time() - _UNLOCKED_S
    return True


def _nights(root: Folder) -> list[str]:
    """The last used first."""
    found = []
    for name in root.names():
        with suppress(OSError):
            found.append((os.stat(f"{name}/{_LOCK}", dir_fd=root.fd, follow_symlinks=False).st_mtime, name))
    return [name for _, name in sorted(found, reverse=True)]


def _drop_older(root: Folder, own: str, n: int) -> None:
    for name in [each for each in _nights(root) if each != own][n:]:
        _drop(root, name)


def _drop(root: Folder, name: str) -> None:
    """Unless somebody is using it."""
    try:
        night = root.below(name, make=False)
        lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=night.fd)
    except (OSError, GuardError):
        return
    if _is_alone(lock, os.fstat(lock).st_mtime):
        with suppress(OSError):
            gone = f".gone-{secrets.token_hex(8)}"
            os.rename(name, gone, src_dir_fd=root.fd, dst_dir_fd=root.fd)
            _remove(root, gone)
    os.close(lock)
    night.close()


def _drop_unused(night: Folder, used: set[str]) -> None:
    for name in night.names() - used - {_LOCK}:
        _remove(night, name)


def _remove(folder: Folder, name: str) -> None:
    path = folder.path / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder.fd)

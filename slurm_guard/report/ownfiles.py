"""Each user's own documents on disk: `<own>/<uid>/<YYYY-MM-DD>.json`, which he may read and nobody else.

The audit writes here as a privileged user, so that nothing on the way may be anybody else's: every step is
taken from an open folder, no link is followed, and what a stranger could have made is refused.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from slurm_guard import document
from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError
from slurm_guard.model import Audit
from slurm_guard.report.acl import let_read
from slurm_guard.report.own import splitter, uids_of

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NIGHT = re.compile(r"(\d{4}-\d\d-\d\d)\.json")
_LEFT = re.compile(r"\.\d{4}-\d\d-\d\d\.json\.\d+")  # of a writer that was killed
MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Written:
    """What one audit left for its users. `failed`: (uid, why); the first words of the system's."""

    n_users: int
    n_removed: int  # of nights beyond the retention, and of users who have no run of this night any more
    failed: tuple[tuple[int, str], ...] = ()


def own_folder(configured: str, reports: Path) -> Path:
    """The configured one, else `own` beside the reports."""
    return Path(configured) if configured else reports.parent / "own"


def write_own(folder: Path, night: str, audit: Audit, days: int) -> Written | None:
    """A document for everybody who has runs in it, in place of the one of the same night; what is older than
    `days` goes. Null: there is no such folder, so the site wants none.

    Raises GuardError own-unsafe, own-unwritable.
    """
    try:
        with _opened(folder) as base:
            oldest = date.fromisoformat(night) - timedelta(days=max(0, days - 1))
            failed = []
            uids, own = uids_of(audit), splitter(audit)
            for uid in uids:
                try:
                    with _of_user(base, uid) as fd:
                        _write(fd, f"{night}.json", document.to_json(own(uid)).encode(), uid)
                except OSError as error:
                    failed.append((uid, _why(error)))
            return Written(
                len(uids) - len(failed), _tidy(base, night, set(uids), oldest.isoformat()), tuple(failed)
            )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GuardError(
            "own-unwritable", f"{folder} cannot be written: {_why(error)}", "see [report] own"
        ) from None


def _why(error: OSError) -> str:
    if error.errno == errno.EOPNOTSUPP:
        return "the file system knows no access control lists"
    return error.strerror or str(error)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """The folder, which belongs to root or to us and which nobody else may write."""
    fd = os.open(folder, _FOLDER)
    try:
        _check(fd, str(folder))
        yield fd
    finally:
        os.close(fd)


def _check(fd: int, what: str) -> None:
    found = os.fstat(fd)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise GuardError(
            "own-unsafe",
            f"{what} belongs to somebody else, or others may write it",
            "chown it to the audit's user and chmod it 711",
        )


@contextmanager
def _of_user(base: int, uid: int) -> Iterator[int]:
    name = str(uid)
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=base)
    fd = os.open(name, _FOLDER, dir_fd=base)
    try:
        owner = os.fstat(fd).st_uid
        if owner not in (os.geteuid(), os.fstat(base).st_uid):
            raise OSError(errno.EPERM, f"the folder belongs to uid {owner}")
        let_read(fd, uid, folder=True)
        yield fd
    finally:
        os.close(fd)


def _write(folder: int, name: str, content: bytes, uid: int) -> None:
    """Whole or not at all, and readable to nobody but us until it may be."""
    part = f".{name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)
    fd = os.open(part, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(content)
            out.flush()
            let_read(out.fileno(), uid)
            os.fsync(out.fileno())
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise


def _tidy(base: int, night: str, uids: set[int], oldest: str) -> int:
    """Take away what is too old, what this night's users no longer have, and folders that are empty."""
    n_removed = 0
    for entry in sorted(os.listdir(base)):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            fd = os.open(entry, _FOLDER, dir_fd=base)
            try:
                for name in os.listdir(fd):  # noqa: PTH208
                    found = _NIGHT.fullmatch(name)
                    stale = found is not None and (
                        found[1] < oldest or (found[1] == night and int(entry) not in uids)
                    )
                    if stale or _LEFT.fullmatch(name):
                        os.unlink(name, dir_fd=fd)
                        n_removed += 1
            finally:
                os.close(fd)
            with contextlib.suppress(OSError):
                os.rmdir(entry, dir_fd=base)  # only where it is empty
    return n_removed


def own_nights(folder: Path, uid: int) -> list[str]:
    """The nights of which there is a document for this user, oldest first."""
    try:
        names = [path.name for path in (folder / str(uid)).iterdir()]
    except OSError:
        return []
    return sorted(found[1] for name in names if (found := _NIGHT.fullmatch(name)))


def find_own(folder: Path, uid: int, night: str | None) -> Path:
    """A user's document of a night, or his latest. Raises GuardError own-none."""
    nights = own_nights(folder, uid)
    if not nights or (night is not None and night not in nights):
        which = f"of the night {night} " if night is not None else ""
        raise GuardError(
            "own-none",
            f"nothing {which}is kept for you (uid {uid}) in {folder}",
            f"your nights: {', '.join(nights[-5:])}"
            if nights
            else "a run stands there once the night it ran in was audited; the site may keep none",
            EXIT_NOTHING_TO_AUDIT,
        )
    return folder / str(uid) / f"{night or nights[-1]}.json"

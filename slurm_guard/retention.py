"""What has been kept for as long as the site wants it: which files would go, and taking them away.

Nothing is followed that is a link, and nothing is taken that slurm-guard did not put there.
"""

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

_DAY_S = 86_400.0
_DATE = re.compile(r"(?:date=)?(\d{4}-\d\d-\d\d)")
LEAST_MAIL_DAYS = 15.0  # the outbox is looked through for 14: what it forgets sooner would be sent again


@dataclass(frozen=True, slots=True)
class Old:
    """What is beyond its time, of one kind. `kept_days`: 0, for ever."""

    kind: str
    kept_days: float
    files: tuple[Path, ...]
    size_b: int


@dataclass(frozen=True, slots=True)
class Gone:
    """What was taken away. `failed`: (path, the system's words)."""

    n: int
    failed: tuple[tuple[Path, str], ...]


def old_days(kind: str, folders: list[Path], days: float, now_at: float) -> Old:
    """Files below folders that are named by a date (`2026-09-22`, `date=2026-09-22`) in one of these."""
    if days <= 0:
        return Old(kind, 0.0, (), 0)
    first = datetime.fromtimestamp(now_at - days * _DAY_S, timezone.utc).date()
    return _found(kind, days, (path for folder in folders for path in _in_days(folder, first)))


def _in_days(folder: Path, first: date) -> Iterator[Path]:
    for day in _folders(folder):
        named = _DATE.fullmatch(day.name)
        with contextlib.suppress(ValueError):  # 2026-13-99
            # Its whole day has to be over, in any zone.
            if named is not None and date.fromisoformat(named[1]) + timedelta(days=1) < first:
                yield from _files(day)


def old_files(kind: str, folder: Path, days: float, now_at: float) -> Old:
    """Files below a folder that were last written before then."""
    if days <= 0:
        return Old(kind, 0.0, (), 0)
    before_at = now_at - days * _DAY_S
    return _found(kind, days, (path for path in _files(folder) if _lstat(path).st_mtime < before_at))


def old_letters(folder: Path, days: float, now_at: float) -> Old:
    """Nights of an outbox of which no file was written since then."""
    if days <= 0:
        return Old("mail", 0.0, (), 0)
    days = max(days, LEAST_MAIL_DAYS)
    before_at = now_at - days * _DAY_S
    nights = (list(_files(night)) for night in _folders(folder))
    quiet = (files for files in nights if all(_lstat(path).st_mtime < before_at for path in files))
    return _found("mail", days, (path for files in quiet for path in files))


def below(kind: str, folder: Path) -> Old:
    """Every file below a folder, whatever its age."""
    return _found(kind, 0.0, _files(folder))


def _found(kind: str, days: float, paths: Iterator[Path]) -> Old:
    files = tuple(sorted(paths))
    return Old(kind, days, files, sum(_lstat(path).st_size for path in files))


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return sorted(Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below it; links are neither followed nor named."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _lstat(path: Path) -> os.stat_result:
    return path.stat(follow_symlinks=False)


def remove(old: Old) -> Gone:
    """Each file, then the folders that are empty by it. A second call finds what the first could not take."""
    n, failed = 0, []
    for path in old.files:
        try:
            path.unlink(missing_ok=True)
            n += 1
        except OSError as error:
            failed.append((path, error.strerror or str(error)))
    for folder in sorted({path.parent for path in old.files}, key=lambda p: len(p.parts), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only where it is empty
    return Gone(n, tuple(failed))


def rewrite_lines(path: Path, change: Callable[[bytes], bytes | None], *, dry: bool = False) -> int:
    """A file of lines with each as `change` has it, null: without it; how many changed. Raises OSError.

    Writers only ever add: what one adds while this runs is taken over, from the place where this had read to.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    with os.fdopen(fd, "rb") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            return 0
        lines = file.readlines()
        kept = [change(line) for line in lines]
        n = sum(new != line for new, line in zip(kept, lines, strict=True))
        if n == 0 or dry:
            return n
        part = path.with_name(f".{path.name}.{os.getpid()}")
        out = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(out, "wb") as to:
                to.writelines(line for line in kept if line is not None)
                to.writelines(file.readlines())
                to.flush()
                os.fchmod(to.fileno(), stat.S_IMODE(about.st_mode))
                with contextlib.suppress(PermissionError):
                    os.fchown(to.fileno(), about.st_uid, about.st_gid)
                os.fsync(to.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return n


def since(before_at: float) -> Callable[[bytes], bytes | None]:
    """For rewrite_lines: a view's line without those of before; one that is none of ours stays."""

    def change(line: bytes) -> bytes | None:
        try:
            at = json.loads(line)["at"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return line
        return None if isinstance(at, (int, float)) and at < before_at else line

    return change

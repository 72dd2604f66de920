"""Keeps a node's drop folder within bounds: the oldest ingested files go, and none that was not ingested.

What went is remembered beside what is there, so that nobody sends it again. The folder may be the node's to
write: every step goes through a folder that was opened without following a link.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from slurm_guard.lake.places import ACKS, EXTENSIONS, open_regular
from slurm_guard.lake.shapes import BadRecord
from slurm_guard.lake.ship import MOST_FILES, MOST_LINE, Finished, parse_line

NAME = "pruned.list"
KEPT_DAYS = 120.0  # that a pruned file is remembered: twice as long as anything is kept anywhere. Judgement
_DAY_S = 86_400.0
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Bounds(NamedTuple):
    """[lake] drop_mib and drop_days, for each node's folder. Zero bytes: no bound by size."""

    size_b: int
    age_s: float


class Pruned(NamedTuple):
    """What one round did. `left_b`: bytes that stay; `waiting_b`: of those, not ingested."""

    n: int
    size_b: int
    left_b: int
    waiting_b: int

    def over(self, bounds: Bounds) -> bool:
        """Whether files that nobody ingested are more than the bound."""
        return 0 < bounds.size_b < self.waiting_b


class _Seen(NamedTuple):
    mtime_s: float
    file: Finished


def read_pruned(folder: Path) -> dict[Finished, float]:
    """What was pruned from a node's drop folder and is remembered, with when; unreadable lines are none."""
    found: dict[Finished, float] = {}
    for line in _lines(folder / NAME):
        at, _, rest = line.partition(b" ")
        one = parse_line(b"file " + rest, "file")
        if one is not None and at.isdigit() and len(at) < 12:
            found[one] = float(at)
    return found


def read_acks(folder: Path) -> set[Finished]:
    """What the collector says it has taken from a drop folder."""
    told = (parse_line(b"file " + line, "file") for line in _lines(folder / ACKS / "collect.list"))
    return {one for one in told if one is not None}


def _lines(path: Path) -> Iterator[bytes]:
    try:
        body = open_regular(str(path))
    except (OSError, BadRecord):
        return
    with body:
        for _ in range(MOST_FILES):
            line = body.readline(MOST_LINE)
            if not line:
                return
            yield line


def prune(folder: Path, ingested: set[Finished], bounds: Bounds, now_s: float | None = None) -> Pruned:
    """Remove from one node's drop folder what is too old or too much, oldest first. Raises OSError.

    First it is written down what goes, then it goes: a stop in between costs a name in a list. Where a full
    disk does not take the list, files go before it, one by one, until it does.
    """
    now_s = time.time() if now_s is None else now_s
    seen = sorted(_seen(folder), key=lambda one: (one.mtime_s, one.file.line))
    size_b = left_b = sum(one.file.size for one in seen)
    going: list[Finished] = []
    for one in seen:
        if one.file not in ingested:
            continue
        too_much = 0 < bounds.size_b < left_b
        if too_much or now_s - one.mtime_s > bounds.age_s:
            going.append(one.file)
            left_b -= one.file.size
    if going:
        _remember_all(folder, going, now_s)
        for file in going:
            _unlink(folder, file)
    waiting_b = sum(one.file.size for one in seen if one.file not in ingested)
    return Pruned(len(going), size_b - left_b, left_b, waiting_b)


def _seen(folder: Path) -> Iterator[_Seen]:
    """Regular files with a name that a spool can have."""
    for kind in EXTENSIONS:
        with _opened(folder, kind) as fd, os.scandir(fd) if fd is not None else _nothing() as entries:
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                one = parse_line(
                    f"file {kind}/{entry.name} {info.st_size}\n".encode(errors="replace"), "file"
                )
                if one is not None and stat.S_ISREG(info.st_mode):
                    yield _Seen(info.st_mtime, one)


@contextmanager
def _nothing() -> Iterator[Iterator["os.DirEntry[str]"]]:
    yield iter(())


@contextmanager
def _opened(folder: Path, kind: str) -> Iterator[int | None]:
    """The folder of a kind, no link followed on the way from the node's own; null: there is none."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fds: list[int] = []
    try:
        try:
            fds.append(os.open(folder, flags))
            fds.append(os.open(kind, flags, dir_fd=fds[0]))
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        except OSError as error:
            if error.errno != errno.ELOOP:  # a link
                raise
            yield None
            return
        yield fds[1]
    finally:
        for fd in fds:
            os.close(fd)


def _unlink(folder: Path, one: Finished) -> None:
    with _opened(folder, one.kind) as fd:
        if fd is not None:
            try:
                os.unlink(one.name, dir_fd=fd)
            except FileNotFoundError:
                pass


def _remember_all(folder: Path, going: list[Finished], now_s: float) -> None:
    """Write down what goes, with as many of the files removed first as make room for it. Raises OSError."""
    first = iter(going)
    while True:
        try:
            _remember(folder, going, now_s)
            return
        except OSError as error:
            file = next(first, None) if error.errno in FULL else None
            if file is None:
                raise
        _unlink(folder, file)


def _remember(folder: Path, going: list[Finished], now_s: float) -> None:
    known = {one: at for one, at in read_pruned(folder).items() if now_s - at < KEPT_DAYS * _DAY_S}
    known.update(dict.fromkeys(going, now_s))
    lines = sorted(f"{at:.0f} {one.line}\n" for one, at in known.items())[-MOST_FILES:]
    new = folder / f".{NAME}.{os.getpid()}.tmp"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        with os.fdopen(fd, "w", encoding="ascii") as out:
            out.writelines(lines)
            out.flush()
            os.fsync(out.fileno())
        new.replace(folder / NAME)
    except BaseException:
        new.unlink(missing_ok=True)
        raise

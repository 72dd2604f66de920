"""What a dead sampler left behind: cut the torn end, close, rename; what cannot be closed is moved aside."""

from __future__ import annotations

import errno
import os
import stat

from slurm_guard import wire
from slurm_guard.digest import sha256
from slurm_guard.light import TYPE_CHECKING, NamedTuple, from_json
from slurm_guard.sampler.chain import SEALED

if TYPE_CHECKING:
    from typing import BinaryIO

OPEN, SEALS, BAD = "open", "seals", "bad"
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What a retry may still put right: a full or read-only disk, no descriptors or memory left.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENFILE, errno.EMFILE, errno.ENOMEM, errno.EINTR}


class Recovered(NamedTuple):
    """What recovery found in `open/`. `bad`: why it was moved to `bad/` instead; null: it was closed."""

    name: str
    n: int  # whole records kept
    cut_b: int  # bytes of a torn end that were cut
    bad: str | None = None


class _Whole(NamedTuple):
    """The valid beginning of a segment: its bytes, the records after the head (-1: no head), its digest."""

    kept_b: int
    n: int
    sha256: str
    has_tail: bool


def recover(spool: str, at: float) -> list[Recovered]:
    """Close every segment that a dead sampler left open; one that a full disk keeps open stays for later."""
    found = []
    try:
        entries = sorted(os.listdir(os.path.join(spool, OPEN)))
    except OSError:
        return []  # the streams find out by themselves, and wait
    for entry in entries:
        try:
            done = recover_one(spool, entry, at)
        except OSError:
            continue
        if done is not None:
            found.append(done)
    return found


def recover_one(spool: str, entry: str, at: float | None) -> Recovered | None:
    """Cut the torn end, add a tail, rename. Null: nothing was in it. `at` null: the file's own mtime.

    Raises OSError when that may go better later. Anything else about the file moves it aside.
    """
    path = os.path.join(spool, OPEN, entry)
    target = os.path.join(spool, SEALED, entry)
    reading = True
    try:
        with os.fdopen(os.open(path, _FLAGS), "r+b") as body:
            info = os.fstat(body.fileno())
            if not stat.S_ISREG(info.st_mode):
                return set_aside(spool, entry, "not a regular file")
            whole = _read_whole(body)
            if whole.n < 0:
                os.unlink(path)
                return None
            if os.path.lexists(target):
                return set_aside(spool, entry, "a sealed segment has its name")
            reading = False
            _mend(body, whole, info.st_size, info.st_mtime if at is None else at)
    except OSError as error:
        if not reading or error.errno in _PASSING:
            raise
        return set_aside(spool, entry, error.strerror or "it cannot be read")
    os.rename(path, target)
    return Recovered(entry, whole.n, info.st_size - whole.kept_b)


def _mend(body: BinaryIO, whole: _Whole, size_b: int, closed_at: float) -> None:
    """Nothing after the last whole record but a tail."""
    if whole.has_tail and whole.kept_b == size_b:
        return
    body.seek(whole.kept_b)
    body.truncate()
    if not whole.has_tail:
        tail = wire.SegmentTail(whole.n, whole.sha256, closed_at, "recovered")
        body.write(wire.encode(tail).encode("ascii"))
    body.flush()
    os.fsync(body.fileno())


def set_aside(spool: str, entry: str, why: str) -> Recovered:
    """Out of the way, so that no start stumbles over it again; nothing is thrown away. Raises OSError."""
    folder = os.path.join(spool, BAD)
    os.makedirs(folder, mode=0o750, exist_ok=True)
    name, number = entry, 0
    while os.path.lexists(os.path.join(folder, name)):
        number += 1
        name = f"{entry}.{number}"
    os.rename(os.path.join(spool, OPEN, entry), os.path.join(folder, name))
    return Recovered(name, 0, 0, why)


def _read_whole(body: BinaryIO) -> _Whole:
    """How far the file is whole, line by line: a long one must not cost its size in memory.

    After a power cut a file may end in zeros: the valid part stops at the first line that is no record.
    """
    digest = sha256()
    kept_b, n = 0, -1
    while True:
        line = body.readline(wire.MAX_LINE + 1)
        kind = _kind(line) if line.endswith(b"\n") and len(line) <= wire.MAX_LINE else None
        if kind is None or (n == -1) != (kind == "head"):
            return _Whole(kept_b, n, digest.hexdigest(), False)
        if kind == "tail":
            return _Whole(kept_b + len(line), n, digest.hexdigest(), True)
        digest.update(line)
        kept_b, n = kept_b + len(line), n + 1


def _kind(line: bytes) -> str | None:
    """The record's kind; one that this release does not know is a record all the same (an older sampler
    may follow a newer one)."""
    try:
        kind = from_json(line.decode("ascii"))["k"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None

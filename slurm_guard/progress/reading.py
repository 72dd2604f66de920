"""Writes one reading to the spool: head, files, points, tail; complete or not at all."""

import hashlib
import os
from collections.abc import Sequence

from slurm_guard import __version__
from slurm_guard.progress.request import Request
from slurm_guard.wire import FORMAT, MAX_TEXT, LogFile, Point, ReadHead, ReadTail, clip, encode, stem


def write_reading(request: Request, logs: Sequence[LogFile], points: Sequence[Point], truncated: bool) -> str:
    """The path of the reading. Written beside its place and renamed, mode 0640."""
    head = ReadHead(
        FORMAT, request.run, request.node, request.cluster, request.read, request.frame.read_at, __version__
    )
    body = "".join(map(encode, (head, *(_bounded(log) for log in logs), *points))).encode("ascii")
    tail = ReadTail(len(logs) + len(points), hashlib.sha256(body).hexdigest(), truncated)
    name = f"{stem(request.run)}.{request.read:06d}.jsonl"
    os.makedirs(request.out, mode=0o750, exist_ok=True)
    path = os.path.join(request.out, name)
    part = os.path.join(request.out, f".{name}.{os.getpid()}")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), 0o640)
            file.write(body + encode(tail).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, path)
    except OSError:
        os.unlink(part)
        raise
    return path


def _bounded(log: LogFile) -> LogFile:
    """A path is the user's text: cut, and valid UTF-8."""
    return log._replace(path=clip(log.path, MAX_TEXT) or "")

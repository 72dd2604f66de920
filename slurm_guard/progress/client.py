"""Tells the audit how far a training is: one call in the loop. This file stands alone and may be copied.

    from slurm_guard.progress.client import progress
    progress(step, total=1000, tokens=tokens_seen, loss=loss)

It never raises and never waits; off Slurm it does nothing; more often than once a second it only looks at the
clock. Python 3.8 and later, the standard library alone.
"""

import json
import math
import os
import time

VARIABLE = "SLURM_GUARD_PROGRESS"  # a file that the prolog made for this job
EVERY_S = 1.0  # least time between two records, unless one is forced …
# … in a file of up to 8 MiB (18 hours and more), then 10 s (another 3 days), then 100 s (another month). The
# file lies in the node's memory: beyond 16 MiB nothing is written, forced or not.
SLOWER_B = ((8 << 20, 1.0), (12 << 20, 10.0), (16 << 20, 100.0))
MOST_B = 2048  # of a record; a longer one is left out
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_WHOLE = ("step", "total", "samples", "tokens")
_NEVER = float("inf")

_next_s = 0.0
_fd = -1
_file = (-1, -1)  # device and inode of what was opened
_size = 0  # of the file before this record
_pid = 0
_seq = 0


def progress(step: object = None, *, force: bool = False, **fields: object) -> bool:
    """Write one record, or do nothing; true: it was written.

    `step`, `total`, `samples`, `tokens`: whole numbers, cumulative over the training; `loss`, `epoch`:
    numbers; `phase`: train, eval, checkpoint, init or end; `run`: a name, where a job has several trainings.
    What is no such value is left out of the record. `force`: also within the second after the last.
    """
    now = time.monotonic()
    if now < _next_s and not force:
        return False
    try:
        return _write(step, fields, now)
    except Exception:  # noqa: BLE001 - a training must not end because its log cannot be written
        return False


def _write(step: object, fields: "dict[str, object]", now: float) -> bool:
    global _next_s, _seq
    fd = _open()
    if fd < 0:
        _next_s = _NEVER
        return False
    every_s = next((slower * EVERY_S for most, slower in SLOWER_B if _size < most), _NEVER)
    if every_s == _NEVER:
        _next_s = _NEVER
        return False
    _seq += 1
    body: dict[str, object] = {
        "v": 1,
        "ts": round(time.time(), 3),
        "seq": _seq,
        "pid": _pid,
        "rank": 0,
        "phase": "train",
    }
    for name, value in [("step", step), *fields.items()]:
        said = _value(name, value)
        if said is not None:
            body[name] = said
    line = json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
    _next_s = now + every_s
    if len(line) > MOST_B:
        return False
    return os.write(fd, line) == len(line)


def _value(name: str, value: object) -> object:
    """A value that a record may hold, or null: tensors and arrays of one number become it."""
    if value is None:
        return None
    if name in ("phase", "run"):
        return str(value)[: 32 if name == "phase" else 256]
    try:
        number = float(value)  # type: ignore[arg-type]
        if not math.isfinite(number):
            return None
        return int(number) if name in _WHOLE else number
    except Exception:  # noqa: BLE001 - whatever it is, it is no number
        return None


def _open() -> int:
    """The descriptor; -1: this process has nothing to write to. Opened once, anew in a forked child."""
    global _fd, _file, _pid, _size
    if _pid == os.getpid() and (_fd < 0 or _is_ours(_fd)):
        return _fd
    # What has our number now is another's: it is neither written to nor closed.
    _pid, _fd = os.getpid(), -1
    path = os.environ.get(VARIABLE)
    rank = next((os.environ[name] for name in _RANKS if os.environ.get(name)), "0")
    if path and rank == "0":
        # A FIFO in its place would make us wait for a reader: without O_NONBLOCK, for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags)
        seen = os.fstat(fd)
        _fd, _file, _size = fd, (seen.st_dev, seen.st_ino), seen.st_size
    return _fd


def _is_ours(fd: int) -> bool:
    """Whether the descriptor is still the file that was opened: a program that becomes a daemon closes all of
    them, and the next file that it opens gets the number."""
    global _size
    try:
        seen = os.fstat(fd)
    except OSError:
        return False
    _size = seen.st_size
    return (seen.st_dev, seen.st_ino) == _file

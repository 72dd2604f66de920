"""What a dead sampler left behind: cut the torn end, close, rename; and the chain that goes on from there."""

import hashlib
import json
import os
from typing import NamedTuple

from slurm_guard import wire

OPEN, SEALED, SEALS = "open", "sealed", "seals"


class Closed(NamedTuple):
    """A closed segment."""

    seq: int
    n: int
    sha256: str
    n_windows: int


def read_chain(spool: str, name: str) -> list[Closed]:
    """The closed segments of a stream, in order, from `sealed/` (a restarted sampler goes on from there)."""
    folder = os.path.join(spool, SEALED)
    chain = []
    prefix = f"{name}."
    for entry in sorted(os.listdir(folder)):
        if entry.startswith(prefix) and entry.endswith(".jsonl") and entry[len(prefix) : -6].isdigit():
            closed = _read_closed(os.path.join(folder, entry), int(entry[len(prefix) : -6]))
            if closed is not None:
                chain.append(closed)
    return chain


def _read_closed(path: str, seq: int) -> Closed | None:
    """A sealed segment's numbers; null: no tail."""
    n_windows = 0
    last = b""
    try:
        with open(path, "rb") as lines:
            for line in lines:
                n_windows += line.startswith(b'{"k":"window"')
                last = line
        tail = json.loads(last)
        return Closed(seq, int(tail["n"]), str(tail["sha256"]), n_windows)
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Recovered(NamedTuple):
    """What recovery found in `open/`."""

    name: str
    n: int  # whole records kept
    cut_b: int  # bytes of a torn end that were cut


def recover(spool: str, at: float) -> list[Recovered]:
    """Close every segment that a dead sampler left open. One that cannot be closed stays for later."""
    found = []
    for entry in sorted(os.listdir(os.path.join(spool, OPEN))):
        try:
            done = recover_one(spool, entry, at)
        except OSError:
            continue
        if done is not None:
            found.append(done)
    return found


def recover_one(spool: str, entry: str, at: float | None) -> Recovered | None:
    """Cut the torn end, add a tail, rename. Null: nothing was in it. `at` null: the file's own mtime."""
    path = os.path.join(spool, OPEN, entry)
    with open(path, "r+b") as body:
        raw = body.read()
        kept, n, has_tail = _whole_lines(raw)
        if n < 0:
            os.unlink(path)
            return None
        if not has_tail:
            closed_at = os.fstat(body.fileno()).st_mtime if at is None else at
            tail = wire.SegmentTail(n, hashlib.sha256(raw[:kept]).hexdigest(), closed_at, "recovered")
            body.seek(kept)
            body.truncate()
            body.write(wire.encode(tail).encode("ascii"))
            body.flush()
            os.fsync(body.fileno())
    os.rename(path, os.path.join(spool, SEALED, entry))
    return Recovered(entry, n, len(raw) - kept if not has_tail else 0)


def _whole_lines(raw: bytes) -> tuple[int, int, bool]:
    """(bytes of the valid beginning, records after the head, ends with a tail). -1 records: not even a head.

    After a power cut a file may end in zeros: the valid part stops at the first line that is no record.
    """
    place, n = 0, -1
    while True:
        end = raw.find(b"\n", place)
        if end < 0:
            return place, n, False
        kind = _kind(raw[place:end])
        if kind is None or (n == -1) != (kind == "head"):
            return place, n, False
        if kind == "tail":
            return end + 1, n, True
        place, n = end + 1, n + 1


def _kind(line: bytes) -> str | None:
    try:
        kind = json.loads(line)["k"]
    except (ValueError, KeyError, TypeError):
        return None
    return kind if kind in wire.KINDS else None

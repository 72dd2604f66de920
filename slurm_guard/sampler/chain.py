"""A stream's chain: which segments it closed, kept apart from them, so that removing some loses no number.

`<spool>/<node>/chain/<stream>.json` is written at each closing. It is gone once the run is sealed: the seal
says the same. Without it (an older release, a power cut) the segments in `sealed/` are the chain.
"""

from __future__ import annotations

import os

from slurm_guard import wire
from slurm_guard.light import Any, NamedTuple, from_json, to_json
from slurm_guard.sampler.whole import write_whole

SEALED, CHAIN = "sealed", "chain"
_FORMAT = 1
_MOST_B = 4 << 20  # 40,000 segments: more than four years of hours


class Closed(NamedTuple):
    """A closed segment. `sha256` empty: it lies there and cannot be read as one."""

    seq: int
    n: int
    sha256: str
    n_windows: int


class Chain(NamedTuple):
    """A stream as far as it is closed. `lost`: [seq, n, sha256] given up before they were collected."""

    closed: list[Closed]
    lost: list[list[Any]]


def read_chain(spool: str, name: str) -> Chain:
    """The closed segments of a stream, in order (a restarted sampler goes on from there).

    Raises OSError where the folders cannot be looked into: then the next number is not known.
    """
    known = _read_kept(os.path.join(spool, CHAIN, f"{name}.json"))
    if known.closed:
        seqs, seq = [], known.closed[-1].seq + 1
        while os.path.lexists(segment_path(spool, name, seq)):
            seqs.append(seq)
            seq += 1
    else:
        seqs = _listed(os.path.join(spool, SEALED), f"{name}.")
    fresh = [_read_closed(segment_path(spool, name, seq), seq) for seq in seqs]
    return Chain([*known.closed, *fresh], known.lost)


def segment_path(spool: str, name: str, seq: int) -> str:
    """Where a sealed segment stands."""
    return os.path.join(spool, SEALED, f"{name}.{seq:06d}.jsonl")


def save_chain(spool: str, name: str, chain: Chain, *, durable: bool) -> bool:
    """Write it whole; false: the disk refused. The node's own stream has no seal and keeps its head alone.

    `durable` is asked before segments are removed; until then `sealed/` says the same.
    """
    closed = chain.closed[-1:] if name.startswith("node_") else chain.closed
    body = {"format": _FORMAT, "closed": [list(part) for part in closed], "lost": chain.lost}
    path = os.path.join(spool, CHAIN, f"{name}.json")
    return write_whole(path, (to_json(body) + "\n").encode("ascii"), durable=durable)


def drop_chain(spool: str, name: str) -> None:
    """The run is sealed."""
    try:
        os.unlink(os.path.join(spool, CHAIN, f"{name}.json"))
    except OSError:
        pass


def _listed(folder: str, prefix: str) -> list[int]:
    found = (
        entry[len(prefix) : -6]
        for entry in os.listdir(folder)
        if entry.startswith(prefix) and entry.endswith(".jsonl")
    )
    return sorted(int(number) for number in found if number.isascii() and number.isdigit())


def _read_kept(path: str) -> Chain:
    """The kept chain; empty when there is none or it makes no sense."""
    try:
        with open(path, "rb") as kept:
            body = from_json(kept.read(_MOST_B))
        if body["format"] != _FORMAT:
            return Chain([], [])
        closed = [Closed(int(s), int(n), str(sha), int(w)) for s, n, sha, w in body["closed"]]
        return Chain(closed, [[int(seq), n, sha] for seq, n, sha in body["lost"]])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Chain([], [])


def _read_closed(path: str, seq: int) -> Closed:
    """A sealed segment's numbers, by its tail."""
    n_windows = 0
    last = b""
    try:
        with open(path, "rb") as lines:
            while line := lines.readline(wire.MAX_LINE + 1):
                n_windows += line.startswith(b'{"k":"window"')
                last = line
        tail = from_json(last)
        return Closed(seq, int(tail["n"]), str(tail["sha256"]), n_windows)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Closed(seq, 0, "", 0)


class Ends(NamedTuple):
    """What a sealed segment's first and last line say; null: they do not say it."""

    run: str | None
    n: int | None
    sha256: str | None


def read_ends(path: str) -> Ends:
    """First and last line of a sealed segment, without reading what lies between."""
    try:
        with open(path, "rb") as body:
            head = from_json(body.readline(wire.MAX_LINE))
            body.seek(max(0, os.fstat(body.fileno()).st_size - 4096))  # a tail has 200 bytes
            tail = from_json(body.read(4096).rstrip(b"\n").rpartition(b"\n")[2])
        run, n, sha256 = head.get("run"), tail.get("n"), tail.get("sha256")
    except (OSError, ValueError, AttributeError, RecursionError):
        return Ends(None, None, None)
    return Ends(
        run if isinstance(run, str) else None,
        n if isinstance(n, int) else None,
        sha256 if isinstance(sha256, str) else None,
    )


def read_lost(path: str, most: int) -> list[wire.Lost]:
    """What a segment of the node's own stream says of losses, at most so many, the last ones."""
    found: list[wire.Lost] = []
    try:
        with open(path, "rb") as lines:
            while line := lines.readline(wire.MAX_LINE + 1):
                if line.startswith(b'{"k":"lost"'):
                    body = from_json(line)
                    found.append(wire.Lost(**{name: body[name] for name in wire.Lost._fields}))
    except (OSError, ValueError, KeyError, RecursionError):
        pass  # what could be read is worth saying
    return found[-most:]

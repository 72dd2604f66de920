"""When a run was last heard of, by its own segments: a run that a reboot cut off ended then or soon after."""

from __future__ import annotations

import os

from slurm_guard import wire
from slurm_guard.light import Any, Iterator, from_json
from slurm_guard.sampler.chain import SEALED
from slurm_guard.sampler.recover import OPEN

MOST_RECORDS = 20_000  # of a run's files: judgement
_WHEN = ("end_at", "last_seen_at", "at", "opened_at")  # of a record, the latest instant that it speaks of


def last_heard_at(spool: str, run: str) -> float | None:
    """The latest instant in a run's segments; null: there is none. For a run that a reboot cut off."""
    prefix = f"{wire.stem(run)}."
    found: list[float] = []
    for folder in (os.path.join(spool, SEALED), os.path.join(spool, OPEN)):
        try:
            names = [name for name in os.listdir(folder) if name.startswith(prefix)]
        except OSError:
            continue
        if names:
            found += _instants(os.path.join(folder, max(names)))
    return max(found, default=None)


def files_of(spool: str, run: str) -> list[dict[str, Any]]:
    """What the run's segments say of its files, oldest first: a dead sampler's successor knows no more."""
    prefix = f"{wire.stem(run)}."
    found: list[dict[str, Any]] = []
    for folder in (os.path.join(spool, SEALED), os.path.join(spool, OPEN)):
        try:
            names = sorted(name for name in os.listdir(folder) if name.startswith(prefix))
        except OSError:
            continue
        for name in names:
            found += [body for body in _bodies(os.path.join(folder, name)) if body.get("k") == "file"]
    return found[-MOST_RECORDS:]


def _bodies(path: str) -> Iterator[dict[str, Any]]:
    """A segment's records, one at a time; nothing of what cannot be read."""
    try:
        with open(path, "rb") as lines:
            for line in lines:
                body = _body(line) if b'"k":"file"' in line[:64] else None
                if body is not None:
                    yield body
    except OSError:
        return


def _body(line: bytes) -> dict[str, Any] | None:
    try:
        body: Any = from_json(line)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _instants(path: str) -> list[float]:
    """The instants of a segment's records; its tail does not count: recovery writes it."""
    try:
        with open(path, "rb") as lines:
            return [at for line in lines if (at := _instant(line)) is not None]
    except OSError:
        return []


def _instant(line: bytes) -> float | None:
    body = _body(line)
    if body is None:
        return None
    first = next((body[name] for name in _WHEN if name in body), None)
    return float(first) if isinstance(first, (int, float)) else None

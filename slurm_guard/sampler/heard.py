"""When a run was last heard of, by its own segments: a run that a reboot cut off ended then or soon after."""

import json
import os
from typing import Any

from slurm_guard import wire
from slurm_guard.sampler.recover import OPEN, SEALED

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


def _instants(path: str) -> list[float]:
    """The instants of a segment's records; its tail does not count: recovery writes it."""
    try:
        with open(path, "rb") as lines:
            return [at for line in lines if (at := _instant(line)) is not None]
    except OSError:
        return []


def _instant(line: bytes) -> float | None:
    try:
        body: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    first = next((body[name] for name in _WHEN if name in body), None)
    return float(first) if isinstance(first, (int, float)) else None

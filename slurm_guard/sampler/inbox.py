"""What the hooks left: tickets and end marks, in the run folder and in the spool. Each name is read once.

A hook writes both copies and may get only one of them done (a full tmpfs, a full disk), so both are followed.
The spool keeps its files for days: its folders are listed only when their mtime moved.
"""

from __future__ import annotations

import os
import time

from slurm_guard.light import Any, Callable, NamedTuple, from_json

KEEP_S = 3600.0  # an epilog may come late and looks for its ticket: judgement
# A file made in the clock tick of a listing may leave the folder's mtime as it was: an mtime that is younger
# than this at the listing is not trusted (the slowest kernel clock ticks in 10 ms).
_TRUST_NS = 1_000_000_000
_MAX_FILE = 1 << 20


Wanted = Callable[[str], bool]  # a question about a file's name


class Letter(NamedTuple):
    """One file of a hook's."""

    name: str
    body: dict[str, Any]  # empty: unreadable, or another kind of record


class Inbox:
    """One kind of file: `tickets` or `ends`."""

    def __init__(self, run: str, spool: str, kind: str) -> None:
        self._folders = (os.path.join(run, kind), os.path.join(spool, kind))
        self._record = "ticket" if kind == "tickets" else "end"
        self._seen: set[str] = set()
        self._stamps: dict[str, int | None] = {}

    def fresh(self, wanted: Wanted) -> list[Letter]:
        """Files that came since the last call and that `wanted` asks for by name; others are never opened."""
        names = {name for folder in self._folders for name in self._names(folder)} - self._seen
        self._seen |= names
        return [Letter(name, self._load(name)) for name in sorted(names) if wanted(name)]

    def _names(self, folder: str) -> list[str]:
        """The names in a folder; empty also when it cannot have changed since the last call."""
        try:
            stamp_ns = os.stat(folder).st_mtime_ns
            if self._stamps.get(folder) == stamp_ns:
                return []
            self._stamps[folder] = stamp_ns if time.time_ns() - stamp_ns > _TRUST_NS else None
            return _json_names(folder)
        except OSError:
            return []

    def _load(self, name: str) -> dict[str, Any]:
        """The first copy that can be read."""
        for folder in self._folders:
            body = read_record(os.path.join(folder, name), self._record)
            if body:
                return body
        return {}

    def tidy(self, is_old: Wanted) -> None:
        """Remove from the run folder what is old, and forget the names that are in no folder any more."""
        try:
            here, spooled = (_json_names(folder) for folder in self._folders)
        except OSError:
            return
        for name in sorted(name for name in here if is_old(name)):
            try:
                os.unlink(os.path.join(self._folders[0], name))
            except OSError:
                continue
            here.remove(name)
        self._seen &= {*here, *spooled}


def _json_names(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")]


def read_record(path: str, kind: str) -> dict[str, Any]:
    """One record's file as an object; empty: unreadable, or another kind of record."""
    try:
        with open(path, "rb") as body:
            found = from_json(body.read(_MAX_FILE))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.get("k") == kind else {}


def stamp_at(name: str) -> float | None:
    """The instant at the end of a hook's file name, `…_<milliseconds>.json`; null: it has none."""
    stamp = name.removesuffix(".json").rpartition("_")[2]
    return int(stamp) / 1000 if stamp.isdecimal() and stamp.isascii() and len(stamp) <= 16 else None

"""Load files: what live processes say they run. Written by anybody, so believed only after checks."""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from slurm_guard.simulate.physics import KINDS

MAX_BYTES = 4096
MAX_FILES = 256  # judgement: more than any rig job starts; the rest waits
_KEYS = {"gpus", "kind", "demand", "mem_mib", "budget_s"}


class Wish(NamedTuple):
    """One accepted load file."""

    gpus: tuple[int, ...]
    kind: str
    demand: float
    mem_mib: int
    budget_s: float | None


class Client(NamedTuple):
    """A live process with an accepted load."""

    pid: int
    start_ticks: int
    uid: int
    gid: int
    wish: Wish


class Refused(ValueError):
    """The load file has no effect; the text says why."""


def parse_wish(raw: bytes, n_gpus: int) -> Wish:
    """A load from hostile bytes. Raises Refused and nothing else."""
    if len(raw) > MAX_BYTES:
        raise Refused("too long")
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {type(error).__name__}") from None
    if not isinstance(data, dict) or not set(data) <= _KEYS:
        raise Refused("not an object of known keys")
    gpus = data.get("gpus")
    if not isinstance(gpus, list) or not gpus or len(gpus) > n_gpus:
        raise Refused("gpus")
    if any(type(gpu) is not int or not 0 <= gpu < n_gpus for gpu in gpus) or len(set(gpus)) != len(gpus):
        raise Refused("gpus")
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Refused("kind")
    budget = None if data.get("budget_s") is None else _number(data["budget_s"], 1e9, "budget_s")
    mem = _number(data.get("mem_mib", 0), 1e6, "mem_mib")
    return Wish(tuple(gpus), kind, _number(data.get("demand"), 1.0, "demand"), int(mem), budget)


def _number(value: Any, top: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(name)
    try:
        number = float(value)
    except OverflowError:
        raise Refused(name) from None
    if not math.isfinite(number) or not 0.0 <= number <= top:
        raise Refused(name)
    return number


def process_of(pid: int) -> tuple[int, int, int] | None:
    """(start_ticks, real uid, real gid) of a live process; null: gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    ids = {line[:4]: line.split()[1] for line in status.splitlines() if line.startswith(("Uid:", "Gid:"))}
    return int(fields[19]), int(ids["Uid:"]), int(ids["Gid:"])


class LoadFolder:
    """`loads/`, looked at every tick: unchanged files are not read again, those of the dead are removed."""

    def __init__(self, path: Path, n_gpus: int) -> None:
        self._n_gpus = n_gpus
        self._dir = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._known: dict[int, tuple[tuple[int, ...], Client | None]] = {}

    def clients(self) -> list[Client]:
        """The live processes whose load holds now, by pid. Never raises for what a user wrote."""
        pids = []
        with os.scandir(self._dir) as entries:
            for entry in entries:
                name = entry.name
                if name.isascii() and name.isdigit() and len(name) <= 10:
                    pids.append(int(name))
                if len(pids) >= MAX_FILES:
                    break
        for pid in set(self._known) - set(pids):
            del self._known[pid]
        found = [self._client(pid) for pid in sorted(pids)]
        return [client for client in found if client is not None]

    def close(self) -> None:
        os.close(self._dir)

    def _client(self, pid: int) -> Client | None:
        live = process_of(pid)
        mark = self._mark(pid)
        if live is None:
            self._remove(pid)
            return None
        if mark is None:
            return None
        before = self._known.get(pid)
        if before is not None and before[0] == mark:
            client = before[1]
            if client is not None and client.start_ticks != live[0]:  # the pid was reused
                self._remove(pid)
                return None
            return client
        client = self._read(pid, live)
        self._known[pid] = (mark, client)
        return client

    def _mark(self, pid: int) -> tuple[int, ...] | None:
        try:
            info = os.stat(str(pid), dir_fd=self._dir, follow_symlinks=False)
        except OSError:
            return None
        return info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size

    def _read(self, pid: int, live: tuple[int, int, int]) -> Client | None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(str(pid), flags, dir_fd=self._dir)
        except OSError:
            return None
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or info.st_uid != live[1]:
                return None
            return Client(pid, *live, parse_wish(os.read(fd, MAX_BYTES + 1), self._n_gpus))
        except (OSError, Refused):
            return None
        finally:
            os.close(fd)

    def _remove(self, pid: int) -> None:
        self._known.pop(pid, None)
        try:
            os.unlink(str(pid), dir_fd=self._dir)
        except OSError:
            pass  # a folder of that name, or gone already

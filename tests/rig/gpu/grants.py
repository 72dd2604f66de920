"""Grants and truth: what each process got, for itself (its own file) and for the judge (root's file)."""

import json
import os
from pathlib import Path
from typing import IO

from slurm_guard.simulate.boards import Board, Grant
from tests.rig.gpu.loads import Client

_WIDTH = 512  # one write of constant length, so that a reader never sees a short line


class GrantFiles:
    """`grants/<pid>`: owned by the process's uid, rewritten in place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[tuple[int, int], int] = {}
        for stale in path.iterdir():
            stale.unlink()

    def write(self, client: Client, seq: int, at: float, work_s: dict[int, float]) -> None:
        key = (client.pid, client.start_ticks)
        if key not in self._open:
            self._open[key] = self._make(client)
        parts = " ".join(f"{gpu}:{work:.4f}" for gpu, work in sorted(work_s.items()))
        line = f"{seq} {at:.3f} {parts} {seq}"
        os.pwrite(self._open[key], line.encode().ljust(_WIDTH - 1) + b"\n", 0)

    def forget(self, alive: set[tuple[int, int]]) -> None:
        """Close and remove the files of processes that are gone."""
        for key in [key for key in self._open if key not in alive]:
            os.close(self._open.pop(key))
            if not any(pid == key[0] for pid, _ in self._open):
                (self._path / str(key[0])).unlink(missing_ok=True)

    def close(self) -> None:
        self.forget(set())

    def _make(self, client: Client) -> int:
        path = self._path / str(client.pid)
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400)
        os.fchown(fd, client.uid, client.gid)
        return fd


class TruthFile:
    """`truth.jsonl`: one line a second, GPU and process; `pid` null is the whole board."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._file: IO[str] = os.fdopen(fd, "w", encoding="ascii")
        self._sums: dict[tuple[int, int, int], list[float]] = {}
        self._who: dict[tuple[int, int, int], tuple[int, str]] = {}
        self._energy: dict[int, float] = {}

    def add(self, gpu: int, client: Client, grant: Grant) -> None:
        key = (gpu, client.pid, client.start_ticks)
        self._who[key] = (client.uid, client.wish.kind)
        sums = self._sums.setdefault(key, [0.0, 0.0, 0.0])
        sums[0] += grant.work_s
        sums[1] += grant.held_s
        sums[2] += grant.energy_mj

    def flush(self, at: float, boards: list[Board]) -> None:
        """Write the second that ends at `at`."""
        for (gpu, pid, ticks), (work, held, energy) in sorted(self._sums.items()):
            uid, kind = self._who[gpu, pid, ticks]
            row = {
                "at": round(at, 3), "gpu": gpu, "pid": pid, "start_ticks": ticks, "uid": uid, "kind": kind,
                "granted_ms": round(work * 1000), "held_ms": round(held * 1000), "energy_mj": round(energy),
            }  # fmt: skip
            self._file.write(json.dumps(row, separators=(",", ":")) + "\n")
        for board in boards:
            total = board.totals().energy_mj
            delta = total - self._energy.get(board.index, 0.0)
            self._energy[board.index] = total
            row = {"at": round(at, 3), "gpu": board.index, "pid": None, "energy_mj": round(delta)}
            self._file.write(json.dumps(row, separators=(",", ":")) + "\n")
        self._file.flush()
        self._sums.clear()
        self._who.clear()

    def close(self) -> None:
        self._file.close()

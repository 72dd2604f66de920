"""Builds the preloaded library and holds the page by which a process is told to fail (shim.c)."""

import mmap
import os
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "shim.c"
_PAGE = struct.Struct("<10Iq")
_WORDS = (
    "write_errno",
    "kill_at",
    "fork_errno",
    "stat_hangs",
    "n_writes",
    "n_refused",
    "n_forks_refused",
    "n_kills",
    "n_clock",
    "n_stats_hung",
)


def build_shim(dest_dir: Path) -> Path:
    """shim.so in `dest_dir`, built if older than its source. CalledProcessError has gcc's words."""
    target = dest_dir / "shim.so"
    if target.exists() and target.stat().st_mtime > SOURCE.stat().st_mtime:
        return target
    dest_dir.mkdir(parents=True, exist_ok=True)
    fresh = dest_dir / f".shim.{os.getpid()}.so"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-o", str(fresh), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    fresh.replace(target)
    return target


class Page:
    """What one process is told, and what came of it. Takes effect at once, in whoever has it mapped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(_PAGE.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _PAGE.size)

    def set(
        self,
        *,
        write_errno: int = 0,
        kill_at: int = 0,
        fork_errno: int = 0,
        stat_hangs: bool = False,
        clock_us: int = 0,
    ) -> None:
        """These faults from now on and no others; counts begin anew."""
        counts = [0] * (len(_WORDS) - 4)
        self._map[:] = _PAGE.pack(write_errno, kill_at, fork_errno, stat_hangs, *counts, clock_us)

    def ease(self) -> None:
        """No fault any more; the counts stay for reading."""
        counts = _PAGE.unpack(self._map[:])[4:-1]
        self._map[:] = _PAGE.pack(0, 0, 0, 0, *counts, 0)

    def count(self, name: str) -> int:
        """`n_refused`, `n_kills`, …: whether the fault took place at all."""
        return int(_PAGE.unpack(self._map[:])[_WORDS.index(name)])

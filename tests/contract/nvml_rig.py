"""The rig's NVML for tests of one process: boards that a test steps by hand, and the knobs of the library."""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

from slurm_guard.sampler.nvml_client import NvmlClient, Pace
from slurm_guard.simulate.boards import Board, Load
from slurm_guard.simulate.physics import MODELS
from tests.rig.gpu.build import LIBRARY, build_nvml
from tests.rig.gpu.state import StateFile

ROOT = Path(__file__).resolve().parents[2]


class NvmlRig:
    """Boards of the given models; `step` lets them work and publishes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        build_nvml(folder)
        self.boards: list[Board] = []
        self._state: StateFile | None = None

    def load_here(self) -> None:
        """Make this process's pynvml find the library: by its soname, as it is loaded already."""
        ctypes.CDLL(str(self.folder / LIBRARY), mode=ctypes.RTLD_GLOBAL)

    def begin(self, *models: str, seed: int = 7) -> None:
        """New boards, no knobs, and no mode of accounting."""
        self.end()
        self.boards = [Board(MODELS[key], seed, index) for index, key in enumerate(models)]
        self._state = StateFile(self.folder / "boards.state", self.boards, stale_ms=3_600_000)
        self.step(1.0)

    def step(self, duration_s: float, loads: dict[int, list[Load]] | None = None) -> None:
        """Let the boards work and publish them."""
        for board in self.boards:
            for _ in range(max(1, round(duration_s / 0.05))):
                board.step(0.05, (loads or {}).get(board.index, []))
        assert self._state is not None
        self._state.write(time.time(), time.time() - self.boards[0].time_s)

    def knobs(self, *lines: str) -> None:
        """Set the library's knobs; none: all are off."""
        path = self.folder / "knobs"
        if not lines:
            path.unlink(missing_ok=True)
            return
        fresh = self.folder / "knobs.new"
        fresh.write_text("".join(f"{line}\n" for line in lines))
        fresh.replace(path)

    def end(self) -> None:
        """Close the state file and forget the knobs."""
        self.knobs()
        for path in self.folder.glob("accounting.*"):
            path.unlink()
        if self._state is not None:
            self._state.close()
            self._state = None


class Turned:
    """A clock turned by hand, for the reader's own pace."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def work(pid: int = 4242, demand: float = 0.7, mem_mib: int = 9000) -> dict[int, list[Any]]:
    """One training process on GPU 0."""
    return {0: [Load(pid, "train", demand, mem_mib)]}


def client(folder: Path, pace: Pace, accounting: bool = False) -> NvmlClient:
    """A client whose children become programs of their own: the tests' process may have loaded another rig's
    library."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from slurm_guard.sampler import nvml_child;"
        f"nvml_child.serve(0, 1, {str(folder)!r}, {accounting})"
    )
    env = {**os.environ, "LD_LIBRARY_PATH": str(folder / "gpu")}
    made = NvmlClient(time.monotonic, time.time, pace, str(folder), accounting)
    made.process.main = lambda *_: os.execve(sys.executable, [sys.executable, "-c", program], env)
    return made

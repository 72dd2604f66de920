"""What a workload of the rig uses instead of CUDA: say what runs, wait until it is done. Stdlib only."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

FOLDER_VARIABLE = "SLURM_GUARD_RIG_GPU"
POLL_S = 0.02
_ACCEPT_S = 15.0  # judgement: a board process on a busy machine may be late, not absent


class GpuError(RuntimeError):
    """The boards are not there, or refused the load."""


class Gpu:
    """This process's share of the simulated GPUs with the given NVML indices.

    `folder`: the node's gpu folder; null: $SLURM_GUARD_RIG_GPU. Not to be shared by threads or across fork.
    """

    def __init__(self, indices: Sequence[int] | None = None, folder: str | Path | None = None) -> None:
        self.indices = list(indices) if indices is not None else visible_gpus()
        self._folder = Path(folder if folder is not None else os.environ[FOLDER_VARIABLE])
        self._pid = os.getpid()
        self._kind, self._demand, self._mem_mib = "train", 1.0, 0
        self._asked_s = 0.0
        self._files: list[int] = []

    def hold(self, kind: str = "train", demand: float = 1.0, mem_mib: int = 20000) -> None:
        """Run `kind` at `demand` (0..1) from now on, without end; demand 0 keeps a context and its memory."""
        self._kind, self._demand, self._mem_mib = kind, demand, mem_mib
        self._declare(None)

    def submit(self, gpu_s: float, kind: str | None = None, demand: float | None = None) -> float:
        """Queue work (GPU-seconds on each GPU) and return at once; the value is for `wait`."""
        if kind is not None:
            self._kind = kind
        if demand is not None:
            self._demand = demand
        self._asked_s = max(self._asked_s, self._done_s()) + gpu_s
        self._declare(self._asked_s)
        return self._asked_s

    def wait(self, until_s: float | None = None) -> None:
        """Until every GPU has done what was submitted. Raises GpuError when nothing is granted for long."""
        target = (self._asked_s if until_s is None else until_s) - 1e-3
        seen, moved = -1.0, time.monotonic()
        while True:
            done = self._done_s()
            if done >= target:
                return
            if done > seen:
                seen, moved = done, time.monotonic()
            elif time.monotonic() - moved > _ACCEPT_S:
                raise GpuError(f"no work granted for {_ACCEPT_S:.0f} s at {done:.3f} of {target:.3f} GPU-s")
            time.sleep(POLL_S)

    def work(self, gpu_s: float, kind: str | None = None, demand: float | None = None) -> None:
        """Do `gpu_s` GPU-seconds of work on each GPU; a neighbour on the board makes it take longer."""
        self.wait(self.submit(gpu_s, kind, demand))

    def memory(self, mem_mib: int) -> None:
        """Memory from the next declaration on."""
        self._mem_mib = mem_mib

    def release(self) -> None:
        """Leave the boards: context, memory and load."""
        (self._folder / "loads" / str(self._pid)).unlink(missing_ok=True)
        while self._files:
            os.close(self._files.pop())

    def done_s(self) -> dict[int, float]:
        """Work granted so far per GPU, GPU-seconds; empty before the first grant."""
        path = self._folder / "grants" / str(self._pid)
        for _ in range(20):
            try:
                parts = path.read_text("ascii").split()
            except OSError:
                return {}
            if len(parts) >= 3 and parts[0] == parts[-1]:
                return {int(gpu): float(work) for gpu, work in (part.split(":") for part in parts[2:-1])}
        return {}

    def _done_s(self) -> float:
        done = self.done_s()
        return min((done.get(gpu, 0.0) for gpu in self.indices), default=0.0)

    def _open_devices(self) -> None:
        """Have the device files open, as CUDA does; no driver answers here, so they are only looked up."""
        folder = self._folder.parents[2] / "dev"
        for name in [*(f"nvidia{index}" for index in self.indices), "nvidia-uvm"] if not self._files else ():
            try:
                self._files.append(os.open(folder / name, os.O_PATH))
            except OSError:  # boards without a rig around them
                continue

    def _declare(self, budget_s: float | None) -> None:
        load: dict[str, object] = {
            "gpus": self.indices, "kind": self._kind, "demand": self._demand, "mem_mib": self._mem_mib,
        }  # fmt: skip
        if budget_s is not None:
            load["budget_s"] = round(budget_s, 6)
        self._open_devices()
        folder = self._folder / "loads"
        fresh = folder / f"new.{self._pid}.{time.time_ns()}"
        try:
            fresh.write_text(json.dumps(load), "ascii")
            fresh.replace(folder / str(self._pid))
        except OSError as error:
            raise GpuError(f"{folder}: {error.strerror}") from None


def visible_gpus() -> list[int]:
    """The job's GPUs by the node's own numbers (CUDA_VISIBLE_DEVICES may count from 0 in a job)."""
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        text = os.environ.get(name, "")
        if text and all(part.isdigit() for part in text.split(",")):
            return [int(part) for part in text.split(",")]
    raise GpuError("no GPU is allocated: neither SLURM_STEP_GPUS nor SLURM_JOB_GPUS is set")

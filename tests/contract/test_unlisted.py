"""A workload with a GPU's device file open that NVML does not list: real boards, /proc and sampler."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.sampler.nvml_client import NvmlClient, Pace
from slurm_guard.sampler.procfs import Proc
from slurm_guard.simulate.boards import Load
from tests.contract.nvml_rig import NvmlRig
from tests.unit.sampler.fakes import Node

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc: the rig's NVML cannot be built")
PACE = Pace(interval_s=0.2, gap_limit_s=3.0, lists_every_s=0.2, deadline_s=30.0)
LONG_S = 60.0
_HOLD = """
import os, sys, time
files = [os.open(path, os.O_PATH) for path in sys.argv[1:]]
print("open", flush=True)
time.sleep(600)
"""


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NvmlRig]:
    rig = NvmlRig(tmp_path / "gpu")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(rig.folder))
    rig.begin("h100")
    yield rig
    rig.end()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the first GPU's device files open, as on the rig."""
    folder = tmp_path / "dev"
    folder.mkdir()
    paths = [folder / name for name in ("nvidia0", "nvidia-uvm")]
    for path in paths:
        path.touch()
    child = subprocess.Popen([sys.executable, "-IS", "-c", _HOLD, *map(str, paths)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    yield child
    child.send_signal(signal.SIGKILL)
    child.stdout.close()
    child.wait()


def _windows(rig: NvmlRig, tmp_path: Path, loads: list[Load]) -> list[dict[str, Any]]:
    """What the sampler writes of the board under these loads, from its second window on."""
    node = Node(
        tmp_path / "node", window_s=5.0, table_interval_s=1.0, gres_devices=[f"{tmp_path}/dev/nvidia0"]
    )
    node.gpus = NvmlClient(node.clock.mono_s, node.clock.now_at, PACE, str(tmp_path))  # type: ignore[assignment]
    node.proc = Proc()  # type: ignore[assignment]
    node.sampler()
    end_s = time.monotonic() + LONG_S
    while len(node.records("window")) < 3:
        assert time.monotonic() < end_s
        rig.step(1.0, {0: loads})
        node.turn(1.0)
        time.sleep(0.05)
    node.loop.stop("end")
    return node.records("window")[1:3]


def test_a_hidden_process_shows_by_its_device_file(
    rig: NvmlRig, holder: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    rig.knobs(f"hide {holder.pid}")

    windows = _windows(rig, tmp_path, [Load(holder.pid, "hash", 0.9, 3000)])

    for window in windows:
        assert holder.pid in [held["pid"] for held in window["held"]]
        assert next(held["uvm"] for held in window["held"] if held["pid"] == holder.pid)
        assert window["procs"] == []
        assert window["busy_ms"] > 0.5 * window["covered_ms"]


def test_a_listed_process_that_has_the_file_open_is_no_finding(
    rig: NvmlRig, holder: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    windows = _windows(rig, tmp_path, [Load(holder.pid, "hash", 0.9, 3000)])

    for window in windows:
        assert holder.pid not in [held["pid"] for held in window["held"]]
        assert [(share["pid"], share["holds"]) for share in window["procs"]] == [(holder.pid, True)]


def test_a_pid_of_another_namespace_is_listed_without_a_device_file(
    rig: NvmlRig, holder: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """NVML tells our own pid for what the holder does: both sides of the contradiction are in the window."""
    windows = _windows(rig, tmp_path, [Load(os.getppid(), "hash", 0.9, 3000)])

    for window in windows:
        assert [(share["pid"], share["holds"]) for share in window["procs"]] == [(os.getppid(), False)]
        assert holder.pid in [held["pid"] for held in window["held"]]

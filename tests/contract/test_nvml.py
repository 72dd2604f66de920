"""Unmodified pynvml loads the rig's library and reads what the boards hold."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.simulate.boards import Board, Load
from slurm_guard.simulate.physics import MODELS
from tests.rig.gpu.build import build_nvml
from tests.rig.gpu.state import BOARD_BYTES, STATE_BYTES, StateFile

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc: the rig's NVML cannot be built")

READ = """
import json, sys, time
import pynvml as n
def ask(function, *args):
    try:
        return function(*args)
    except n.NVMLError as error:
        return type(error).__name__
n.nvmlInit()
out = {"driver": n.nvmlSystemGetDriverVersion(), "boards": []}
for i in range(n.nvmlDeviceGetCount()):
    h = n.nvmlDeviceGetHandleByIndex(i)
    memory = n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2)
    rates = n.nvmlDeviceGetUtilizationRates(h)
    uses = ask(n.nvmlDeviceGetProcessUtilization, h, 0)
    last = max(u.timeStamp for u in uses) if isinstance(uses, list) else 0
    fields = n.nvmlDeviceGetFieldValues(h, [83, 186, 185, 82])
    support = n.nvmlGpmQueryDeviceSupport(h).isSupportedDevice
    gpm = None
    if support:
        one, two = n.nvmlGpmSampleAlloc(), n.nvmlGpmSampleAlloc()
        n.nvmlGpmSampleGet(h, two)
        get = n.c_nvmlGpmMetricsGet_t()
        get.version, get.numMetrics, get.sample1, get.sample2 = 1, 6, one, two  # one: zeros, so since start
        for place, metric in enumerate((2, 5, 4, 10, 249, 333)):
            get.metrics[place].metricId = metric
        n.nvmlGpmMetricsGet(get)
        gpm = [(m.nvmlReturn, m.value) for m in get.metrics[:6]]
        n.nvmlGpmSampleFree(one)
        n.nvmlGpmSampleFree(two)
    out["boards"].append({
        "name": n.nvmlDeviceGetName(h), "uuid": n.nvmlDeviceGetUUID(h),
        "minor": n.nvmlDeviceGetMinorNumber(h),
        "same": n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID(n.nvmlDeviceGetUUID(h))),
        "bus": n.nvmlDeviceGetPciInfo(h).busId, "total": memory.total >> 20, "used": memory.used >> 20,
        "power": n.nvmlDeviceGetPowerUsage(h), "limit": n.nvmlDeviceGetPowerManagementLimit(h),
        "energy": n.nvmlDeviceGetTotalEnergyConsumption(h), "util": rates.gpu, "mem_util": rates.memory,
        "temp": n.nvmlDeviceGetTemperature(h, 0), "temp_v": n.nvmlDeviceGetTemperatureV(h, 0),
        "clock": n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM),
        "reasons": n.nvmlDeviceGetCurrentClocksEventReasons(h),
        "pcie": n.nvmlDeviceGetPcieThroughput(h, 1), "persistence": n.nvmlDeviceGetPersistenceMode(h),
        "mig": ask(n.nvmlDeviceGetMigMode, h), "accounting": ask(n.nvmlDeviceGetAccountingMode, h),
        "procs": [(p.pid, p.usedGpuMemory >> 20) for p in n.nvmlDeviceGetComputeRunningProcesses(h)],
        "uses": [(u.pid, u.smUtil) for u in uses] if isinstance(uses, list) else uses,
        "again": ask(n.nvmlDeviceGetProcessUtilization, h, last),
        "fields": [(f.nvmlReturn, f.value.ullVal) for f in fields], "gpm": gpm,
        "missing": ask(n.nvmlDeviceGetFanSpeed, h), "samples": ask(n.nvmlDeviceGetSamples, h, 0, 0),
    })
n.nvmlShutdown()
print(json.dumps(out))
"""


def _ask(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=30, check=False
    )


def _boards() -> list[Board]:
    """One board of each model with two processes at work, and an idle one."""
    boards = [Board(spec, seed=11, index=i) for i, spec in enumerate(MODELS.values())]
    for board in boards:
        loads = [Load(4242, "train", 0.7, 9000), Load(4243, "infer", 0.2, 500)] if board.index else []
        for _ in range(40):
            board.step(0.05, loads)
    return boards


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Board], dict[str, Any]]:
    """The boards and what pynvml says of them."""
    folder = tmp_path_factory.mktemp("gpu")
    build_nvml(folder)
    boards = _boards()
    with StateFile(folder / "boards.state", boards) as state:
        state.write(time.time(), time.time() - boards[0].time_s)
        done = _ask(folder, READ)
    assert done.returncode == 0, done.stderr
    return boards, json.loads(done.stdout)


def test_pynvml_reads_each_value_as_the_board_holds_it(seen: tuple[list[Board], dict[str, Any]]) -> None:
    boards, said = seen

    assert said["driver"] == "590.48.01"
    assert len(said["boards"]) == len(boards)
    for board, row in zip(boards, said["boards"], strict=True):
        assert (row["name"], row["uuid"]) == (board.spec.name, board.uuid)
        assert row["minor"] == row["same"] == board.index
        assert (row["total"], row["used"]) == (board.spec.mem_mib, board.used_mib())
        assert row["power"] == pytest.approx(board.power_w * 1000, rel=0.2)  # the sensor has noise
        assert row["limit"] == board.spec.tdp_w * 1000
        assert row["energy"] == int(board.totals().energy_mj)
        assert (row["util"], row["mem_util"]) == (board.util_pct, board.mem_util_pct)
        assert row["temp"] == row["temp_v"] == round(board.temp_c)
        assert (row["clock"], row["reasons"]) == (board.clock_mhz, board.reasons)
        assert dict(row["procs"]) == board.mem_mib
        assert row["fields"][0] == [0, int(board.totals().energy_mj)]
        assert row["fields"][3][0] == 3  # memory temperature: NOT_SUPPORTED
    assert len({row["bus"] for row in said["boards"]}) == len(boards)


def test_process_utilisation_comes_once_and_then_there_is_nothing_new(
    seen: tuple[list[Board], dict[str, Any]],
) -> None:
    boards, said = seen

    for board, row in zip(boards, said["boards"], strict=True):
        expected = sorted([pid, use.sm_pct] for pid, use in board.pid_use.items())
        assert row["again"] == "NVMLError_NotFound"
        assert (row["uses"] == "NVMLError_NotFound") if not expected else (sorted(row["uses"]) == expected)


def test_gpm_is_there_from_hopper_on_and_nowhere_else(seen: tuple[list[Board], dict[str, Any]]) -> None:
    boards, said = seen

    for board, row in zip(boards, said["boards"], strict=True):
        assert (row["gpm"] is not None) == (board.spec.key in {"h100", "h200", "b200"})
        if row["gpm"] is not None:
            totals = board.totals()
            shares = [totals.sm_s, totals.tensor_s, totals.integer_s, totals.dram_s]
            for (code, value), amount in zip(row["gpm"], shares, strict=False):
                assert code == 0
                assert value == pytest.approx(100 * amount / board.time_s, rel=1e-6)
            assert row["gpm"][4] == [0, int(totals.sm_cycles)]
            assert row["gpm"][5][0] == 3


def test_what_a_model_lacks_is_not_supported_and_what_the_library_lacks_not_found(
    seen: tuple[list[Board], dict[str, Any]],
) -> None:
    _, said = seen

    for row in said["boards"]:
        assert row["accounting"] == 0
        assert row["samples"] == "NVMLError_NotSupported"
        assert row["missing"] == "NVMLError_FunctionNotFound"
        assert row["mig"] == ("NVMLError_NotSupported" if "V100" in row["name"] else [0, 0])


LOSE = """
import pynvml as n
try:
    n.nvmlInit()
    print(n.nvmlDeviceGetPowerUsage(n.nvmlDeviceGetHandleByIndex(0)))
except n.NVMLError as error:
    print(type(error).__name__)
"""


def test_without_a_state_file_the_driver_is_not_loaded(tmp_path: Path) -> None:
    build_nvml(tmp_path)

    assert _ask(tmp_path, LOSE).stdout.strip() == "NVMLError_DriverNotLoaded"


def test_a_state_that_nobody_renews_is_a_lost_gpu(tmp_path: Path) -> None:
    build_nvml(tmp_path)
    with StateFile(tmp_path / "boards.state", [Board(MODELS["h100"], 1)], stale_ms=1000) as state:
        state.write(time.time() - 2, time.time() - 3)

    assert _ask(tmp_path, LOSE).stdout.strip() == "NVMLError_GpuIsLost"


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, b"\0" * STATE_BYTES, os.urandom(64) * (STATE_BYTES // 32)]
)
def test_a_damaged_state_file_crashes_nobody(tmp_path: Path, content: bytes) -> None:
    build_nvml(tmp_path)
    (tmp_path / "boards.state").write_bytes(content)

    done = _ask(tmp_path, LOSE)

    assert done.returncode == 0
    assert done.stdout.strip() == "NVMLError_DriverNotLoaded"


def test_the_layout_is_the_c_side_s(tmp_path: Path) -> None:
    source = tmp_path / "size.c"
    header = Path(__file__).parent.parent / "rig" / "nvml" / "state.h"
    source.write_text(
        f'#include "{header}"\n#include <stdio.h>\n'
        'int main(void) { printf("%zu %zu", sizeof(struct board), sizeof(struct state)); return 0; }\n'
    )
    subprocess.run(["gcc", "-o", str(tmp_path / "size"), str(source)], check=True)

    said = subprocess.run([str(tmp_path / "size")], capture_output=True, text=True, check=True).stdout

    assert said.split() == [str(BOARD_BYTES), str(STATE_BYTES)]

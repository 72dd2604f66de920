"""The NVML reader on the rig's library: each field or its reason, each GPU alone, nothing set unasked."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.sampler.accounting import NAME, Accounting
from slurm_guard.sampler.nvml import CHECK_S, RETRY_S, NvmlReader
from slurm_guard.sampler.reading import GpuReading
from slurm_guard.simulate.boards import Load
from tests.contract.nvml_rig import NvmlRig, Turned, work

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc: the rig's NVML cannot be built")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> NvmlRig:
    """One library for this process: pynvml keeps the one that it finds first."""
    rig = NvmlRig(tmp_path_factory.mktemp("nvml"))
    rig.load_here()
    return rig


@pytest.fixture
def rig(library: NvmlRig) -> Iterator[NvmlRig]:
    yield library
    library.end()


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
def reader(clock: Turned) -> Iterator[NvmlReader]:
    reader = NvmlReader(clock, time.time)
    yield reader
    reader.close()


def _look(rig: NvmlRig, reader: NvmlReader, clock: Turned, index: int = 0, n: int = 2) -> GpuReading:
    """The last of n readings of one GPU, a second apart, under work."""
    gpu = reader.gpus()[index]
    for _ in range(n):
        rig.step(1.0, work())
        clock.now_s += 1.0
        reading = reader.read(gpu)
    return reading


def test_a_hopper_gives_power_twice_bytes_both_ways_and_cycles(
    rig: NvmlRig, reader: NvmlReader, clock: Turned
) -> None:
    rig.begin("h100")

    reading = _look(rig, reader, clock)

    missing = {name for name in GpuReading._fields if getattr(reading, name) is None}
    totals = rig.boards[0].totals()
    assert missing == set()
    assert reading.why == {}
    assert reading.power_inst_mw == int(rig.boards[0].power_w * 1000)
    assert reading.mem_pct == rig.boards[0].mem_util_pct
    assert (reading.pcie_tx_b, reading.nvlink_rx_b) == (
        int(totals.pcie_tx_b),
        int(totals.nvlink_rx_b) // 1024 * 1024,
    )
    assert reading.more is not None
    assert reading.more["SM_CYCLES_ELAPSED"] == int(totals.cycles_elapsed)
    assert {"GR0_CTXSW_REQUESTS", "FP16_UTIL", "HMMA_CYCLES_ACTIVE", "SM_OCCUPANCY"} <= set(reading.more)
    assert "FP64_CYCLES_ACTIVE" not in reading.more  # this driver does not have it: absent, not 0


def test_a_board_before_hopper_has_no_gpm_but_counts_its_nvlink_bytes(
    rig: NvmlRig, reader: NvmlReader, clock: Turned
) -> None:
    rig.begin("v100")

    reading = _look(rig, reader, clock)

    assert (reading.sm_pct, reading.sm_cycles, reading.pcie_tx_b, reading.more) == (None, None, None, None)
    assert reading.nvlink_tx_b == int(rig.boards[0].totals().nvlink_tx_b) // 1024 * 1024
    assert reading.why["sm_pct"] == "GPM: not on this GPU"
    assert reading.why["pcie_tx_b"] == "Not Supported"


def test_a_gpm_metric_that_the_driver_refuses_costs_itself_alone(
    rig: NvmlRig, reader: NvmlReader, clock: Turned
) -> None:
    rig.begin("h100")
    rig.knobs("refuse 5")

    reading = _look(rig, reader, clock, n=3)

    assert reading.tensor_pct is None
    assert "Invalid Argument" in reading.why["tensor_pct"]
    assert None not in (reading.sm_pct, reading.int_pct, reading.dram_pct, reading.sm_cycles)


def test_a_lost_gpu_is_silent_alone_and_comes_back_alone(
    rig: NvmlRig, reader: NvmlReader, clock: Turned
) -> None:
    rig.begin("h100", "h100")
    good, lost = reader.gpus()
    for gpu in (good, lost):
        reader.read(gpu)

    rig.knobs("lost 1")
    seen = []
    for _ in range(int(2.5 * RETRY_S)):
        rig.step(0.05, work())
        clock.now_s += 1.0
        names = [gpu.uuid for gpu in reader.gpus()]
        seen.append((reader.read(good).sm_pct, reader.read(lost)))
    rig.knobs()
    clock.now_s += RETRY_S
    reader.read(lost)
    clock.now_s += 1.0
    back = reader.read(lost)

    assert all(sm_pct is not None for sm_pct, _ in seen)  # GPM of the other one never began anew
    assert all(silent.power_mw is None for _, silent in seen)
    assert {silent.why["power_mw"] for _, silent in seen} == {"GPU is lost"}
    assert names == [good.uuid, lost.uuid]  # it keeps its place, so that its silence shows
    assert None not in (back.power_mw, back.sm_pct)


def test_a_driver_that_goes_and_comes_back_newer_is_probed_anew(
    rig: NvmlRig, reader: NvmlReader, clock: Turned
) -> None:
    rig.begin("h100")
    (gpu,) = reader.gpus()
    assert reader.read(gpu).power_mw is not None

    rig.knobs("mismatch")
    clock.now_s += 1.0
    gone = reader.read(gpu)
    rig.knobs("driver 600.1", "counters 0")
    clock.now_s += RETRY_S + 1
    (gpu,) = reader.gpus()
    back = reader.read(gpu)

    assert gone.power_mw is None
    assert "mismatch" in gone.why["power_mw"]
    assert gpu.driver == "600.1"
    assert back.energy_mj == 0  # began anew; the windows see a counter that went back


def test_without_a_driver_there_is_a_reason_and_later_there_are_gpus(
    rig: NvmlRig, reader: NvmlReader, clock: Turned
) -> None:
    rig.begin("a100")
    rig.knobs("absent")

    assert reader.gpus() == []
    assert reader.why == "Driver Not Loaded"
    rig.knobs()
    clock.now_s += RETRY_S
    assert [gpu.model for gpu in reader.gpus()] == ["NVIDIA A100-SXM4-80GB"]


def test_mig_instances_have_no_utilisation_and_vanish_when_they_are_made_anew(
    rig: NvmlRig, reader: NvmlReader, clock: Turned
) -> None:
    rig.begin("h100", "h100")
    rig.knobs("mig 0 2 1")

    before = reader.gpus()
    part = _look(rig, reader, clock)
    rig.knobs("mig 0 3 2")
    stale = reader.read(before[0])
    clock.now_s += CHECK_S
    after = reader.gpus()

    assert [gpu.mig for gpu in before] == ["1g.10gb", "1g.10gb", None]
    assert (part.util_pct, part.energy_mj, part.power_mw) == (None, None, None)
    assert part.why["util_pct"] == "Not Supported"
    assert part.sm_pct is not None  # GPM speaks of instances
    assert stale.mem_used_mib is not None  # instance 1 exists still, with its old handle
    assert [gpu.mig for gpu in after] == ["1g.10gb"] * 3 + [None]
    assert not {gpu.uuid for gpu in before[:2]} & {gpu.uuid for gpu in after}
    assert after[-1] == before[-1]


def test_a_process_with_a_graphics_context_is_listed(rig: NvmlRig, reader: NvmlReader) -> None:
    rig.begin("h100")
    rig.step(1.0, work(pid=4242))
    rig.knobs("graphics 0 77 300", "graphics 0 4242 5")

    listed = reader.processes(reader.gpus()[0])

    assert listed is not None
    assert [(proc.pid, proc.kind) for proc in listed] == [(77, "graphics"), (4242, "compute")]
    assert listed[0].mem_mib == 300


def test_a_process_that_stopped_working_is_not_booked_for_the_time_since(
    rig: NvmlRig, reader: NvmlReader, clock: Turned
) -> None:
    rig.begin("h100")
    (gpu,) = reader.gpus()
    rig.step(1.0, work(demand=1.0))
    reader.processes(gpu)

    rig.step(1.0, work(demand=1.0))
    rig.step(9.0, {0: [Load(4242, "train", 0.0, 9000)]})
    clock.now_s += 10.0
    idle = reader.processes(gpu)

    assert idle is not None
    assert [proc.sm_pct for proc in idle] == [0.0]


def test_accounting_tells_once_what_no_list_showed(rig: NvmlRig, reader: NvmlReader) -> None:
    rig.begin("h100")
    rig.step(1.0, work(pid=4242))
    began_us = int((time.time() - 3) * 1e6)
    rows = [
        f"acct 0 4242 50 10 9000 1000 {began_us} 0",  # seen in a list
        f"acct 0 51 93 40 700 2000 {began_us} 0",
        f"acct 0 52 20 5 100 0 {began_us} 1",  # at work still: the next list has it
        "acct 0 53 20 5 100 1000 1000000 0",  # long before we looked
    ]
    rig.knobs(*rows)
    (gpu,) = reader.gpus()
    since_at = time.time() - 60

    assert reader.past(gpu, since_at) == []  # it is off, and nobody turns it on
    (rig.folder / "accounting.0").touch()
    reader.processes(gpu)
    first = reader.past(gpu, since_at)
    again = reader.past(gpu, since_at)

    assert [(past.pid, past.time_ms, past.sm_pct, past.max_mem_mib) for past in first] == [
        (51, 2000, 93, 700)
    ]
    assert again == []


def test_accounting_is_turned_on_with_consent_alone_and_put_back(
    rig: NvmlRig, reader: NvmlReader, tmp_path: Path
) -> None:
    rig.begin("h100", "h100")
    (rig.folder / "accounting.1").touch()  # the site's own choice
    reader.gpus()
    boards = reader.open_boards()

    Accounting(str(tmp_path), wanted=False).settle(boards)
    unasked = sorted(path.name for path in rig.folder.glob("accounting.*"))
    Accounting(str(tmp_path), wanted=True).settle(boards)
    during = sorted(path.name for path in rig.folder.glob("accounting.*"))
    noted = json.loads((tmp_path / NAME).read_text())
    after_a_crash = Accounting(str(tmp_path), wanted=False)
    after_a_crash.settle(boards)

    assert unasked == ["accounting.1"]
    assert during == ["accounting.0", "accounting.1"]
    assert noted == {reader.gpus()[0].uuid: 0}
    assert sorted(path.name for path in rig.folder.glob("accounting.*")) == ["accounting.1"]
    assert not (tmp_path / NAME).exists()

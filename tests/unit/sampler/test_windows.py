"""Windows integrate what was read, keep gaps apart, and never turn silence into zero."""

from typing import Any

import pytest

from slurm_guard.sampler.windows import WindowBuilder, WindowRules
from slurm_guard.wire import ProcShare, Window
from tests.unit.sampler.readings import INFO, reading

RULES = WindowRules(interval_s=1.0, gap_factor=3.0)
AT0 = 1_000_000.0


def _builder() -> WindowBuilder:
    builder = WindowBuilder(INFO, "c/1/n/00/1", RULES)
    builder.open(AT0, 0.0)
    return builder


def _close(builder: WindowBuilder, mono_s: float) -> Window:
    return builder.close(AT0 + mono_s, mono_s)


def test_a_known_trace_is_integrated_exactly() -> None:
    builder = _builder()
    for second in range(61):
        builder.add(reading(float(second), util_pct=100.0 if second > 30 else 0.0))

    window = _close(builder, 60.0)

    assert (window.covered_ms, window.gap_ms, window.n) == (60_000, 0, 61)
    assert window.energy_mj == 300_000 * 60
    assert window.busy_ms == 30_000
    assert (window.sm_ms, window.tensor_ms, window.int_ms, window.dram_ms) == (24_000, 18_000, 3_000, 12_000)
    assert (window.sm_cycles, window.pcie_tx_b, window.pcie_rx_b) == (60_000, 600, 1200)
    assert (window.power_mw, window.start_at, window.end_at) == (300_000, AT0, AT0 + 60)


def test_neighbouring_windows_lose_nothing_between_them() -> None:
    builder = _builder()
    windows = []
    for second in range(121):
        builder.add(reading(float(second)))
        if second and second % 60 == 0:
            windows.append(_close(builder, float(second)))

    assert [w.covered_ms for w in windows] == [60_000, 60_000]
    assert sum(w.energy_mj or 0 for w in windows) == 300_000 * 120
    assert windows[0].end_at == windows[1].start_at


@pytest.mark.parametrize("hole_s", [3.0, 3.5, 20.0])
def test_a_gap_longer_than_the_limit_is_unobserved(hole_s: float) -> None:
    builder = _builder()
    for second in range(11):
        builder.add(reading(float(second)))
    for second in range(11):
        builder.add(reading(10.0 + hole_s + second))

    window = _close(builder, 20.0 + hole_s)

    gap_ms = 0 if hole_s <= 3.0 else round(hole_s * 1000)
    assert window.gap_ms == gap_ms
    assert window.covered_ms == 20_000 + round(hole_s * 1000) - gap_ms
    assert window.energy_mj == 300 * window.covered_ms


def test_a_counter_that_goes_back_makes_a_gap_with_its_reason() -> None:
    builder = _builder()
    for second in range(11):
        base = 0 if second < 5 else -5 * 300_000
        builder.add(reading(float(second), energy_mj=second * 300_000 + base))

    window = _close(builder, 10.0)

    assert (window.covered_ms, window.gap_ms) == (9_000, 1_000)
    assert window.energy_mj == 9 * 300_000
    assert "went back" in window.why["energy_mj"]
    assert window.busy_ms == 4_500  # every integral speaks of the same covered time


def test_a_channel_never_read_is_null_and_not_zero() -> None:
    builder = _builder()
    for second in range(11):
        builder.add(
            reading(
                float(second),
                util_pct=None,
                energy_mj=None,
                why={"util_pct": "Not Supported", "energy_mj": "x"},
            )
        )

    window = _close(builder, 10.0)

    assert (window.busy_ms, window.energy_mj) == (None, None)
    assert window.why["busy_ms"] == "Not Supported"
    assert (window.covered_ms, window.gap_ms) == (10_000, 0)
    assert window.sm_ms == 4_000


def test_an_observed_zero_is_zero() -> None:
    builder = _builder()
    for second in range(11):
        builder.add(reading(float(second), util_pct=0.0, energy_mj=7, sm_pct=0.0, power_mw=0, temp_c=0))

    window = _close(builder, 10.0)

    assert (window.busy_ms, window.energy_mj, window.sm_ms, window.power_mw, window.temp_c) == (0, 0, 0, 0, 0)


def test_one_failed_look_is_a_gap_and_not_idle_time() -> None:
    builder = _builder()
    for second in range(11):
        look = reading(float(second))
        if second == 5:
            look = look._replace(util_pct=None, energy_mj=None, sm_pct=None, why={"util_pct": "GPU is lost"})
        builder.add(look)

    window = _close(builder, 10.0)

    assert (window.covered_ms, window.gap_ms) == (
        8_000,
        2_000,
    )  # the energy of both steps beside it is unknown
    assert window.busy_ms == 4_000
    assert window.why["busy_ms"] == "GPU is lost"


def test_a_window_without_readings_is_all_gap_and_all_null() -> None:
    window = _close(_builder(), 10.0)

    assert (window.n, window.covered_ms, window.gap_ms) == (0, 0, 10_000)
    nulls = [window.energy_mj, window.power_mw, window.busy_ms, window.throttle, window.rhythm, window.temp_c]
    assert nulls == [None] * 6


def test_a_run_that_begins_between_two_readings_gets_its_part_of_the_step() -> None:
    builder = WindowBuilder(INFO, "r", RULES)
    builder.open(AT0 + 0.25, 0.25, last=reading(0.0))
    builder.add(reading(1.0))
    builder.add(reading(2.0))

    window = _close(builder, 2.0)

    assert (window.covered_ms, window.gap_ms) == (1_750, 0)
    assert window.energy_mj == 525_000


def test_a_stepped_wall_clock_changes_no_duration() -> None:
    builder = _builder()
    for second in range(11):
        builder.add(reading(float(second), at0=AT0 if second < 5 else AT0 + 3600))

    window = builder.close(AT0 + 3610, 10.0)

    assert window.end_at - window.start_at == 10.0
    assert "stepped" in window.why["end_at"]


def test_busy_at_idle_power_for_minutes_is_marked_and_its_energy_not_believed() -> None:
    builder = _builder()
    for second in range(241):
        builder.add(reading(float(second), util_pct=98.0, power_mw=46_000, energy_mj=46_000 * second))

    window = _close(builder, 240.0)

    assert window.energy_mj is None
    assert window.power_mw == 46_000
    assert "implausible" in window.why["energy_mj"]


def test_busy_at_working_power_is_believed() -> None:
    builder = _builder()
    for second in range(241):
        builder.add(reading(float(second), util_pct=100.0))

    assert _close(builder, 240.0).energy_mj == 300_000 * 240


def test_a_lost_gpu_is_unobserved_and_not_covered() -> None:
    builder = _builder()
    fields = ("energy_mj", "util_pct", "power_mw", "sm_pct", "tensor_pct", "int_pct", "dram_pct", "sm_cycles")
    lost: dict[str, Any] = {**dict.fromkeys(fields), "why": {"energy_mj": "GPU is lost"}}
    for second in range(11):
        builder.add(reading(float(second), **lost))

    window = _close(builder, 10.0)

    assert (window.covered_ms, window.gap_ms, window.energy_mj) == (0, 10_000, None)
    assert window.why["energy_mj"] == "GPU is lost"


def test_an_energy_counter_that_jumps_ahead_is_not_believed() -> None:
    builder = _builder()
    for second in range(11):
        reloaded = 10**9 if second >= 5 else 0  # the driver came back with a larger value: 1 MJ in a second
        builder.add(reading(float(second), energy_mj=second * 300_000 + reloaded))

    window = _close(builder, 10.0)

    assert (window.covered_ms, window.energy_mj) == (9_000, 9 * 300_000)
    assert window.why["energy_mj"] == "implausible: 1000.3 kJ within 1.0 s"


def test_instant_power_and_memory_utilisation_are_kept_where_they_are_read() -> None:
    builder = _builder()
    for second in range(11):
        builder.add(reading(float(second), power_inst_mw=310_000 + 1000 * second, mem_pct=25.0))
    with_them = _close(builder, 10.0)
    without = _builder()
    for second in range(11):
        without.add(reading(float(second)))

    assert (with_them.power_inst_mw, with_them.mem_busy_ms) == (315_000, 2_500)
    window = _close(without, 10.0)
    assert (window.power_inst_mw, window.mem_busy_ms) == (None, None)
    assert "mem_busy_ms" not in window.why  # a source that does not know the channel says nothing of it


def test_further_channels_are_summed_over_covered_time_or_left_out() -> None:
    builder = _builder()
    for second in range(11):
        more = {"SM_CYCLES_ELAPSED": 1000 * second, "GR0_CTXSW_REQUESTS": 7 * second}
        if second == 4:
            del more["GR0_CTXSW_REQUESTS"]
        builder.add(reading(float(second), more=more))
    builder.add(reading(30.0, more={"SM_CYCLES_ELAPSED": 30_000}))

    window = _close(builder, 30.0)

    assert window.covered_ms == 10_000
    assert window.more == {"SM_CYCLES_ELAPSED": 10_000}


def test_values_that_no_board_can_have_are_null_with_a_reason() -> None:
    builder = _builder()
    blank = 2147483632
    for second in range(11):
        builder.add(reading(float(second), util_pct=float(blank), power_mw=blank, temp_c=-1, sm_pct=100.4))

    window = _close(builder, 10.0)

    assert (window.busy_ms, window.power_mw, window.temp_c) == (None, None, None)
    assert window.why["busy_ms"] == window.why["power_mw"] == "implausible: 2147483632"
    assert window.sm_ms == 10_040
    assert window.covered_ms == 10_000


def _share(pid: int, sm_ms: int | None) -> ProcShare:
    return ProcShare(pid, 1, None, sm_ms, None, None, None)


def test_processes_have_no_more_than_the_board_was_busy() -> None:
    builder = _builder()
    for second in range(11):
        builder.add(reading(float(second), util_pct=40.0))

    window = builder.close(AT0 + 10, 10.0, [_share(1, 6_000), _share(2, 2_000), _share(3, None)])

    assert [share.sm_ms for share in window.procs] == [3_000, 1_000, None]
    assert window.procs_upper is True


def test_processes_within_the_boards_busy_time_are_left_as_they_are() -> None:
    builder = _builder()
    for second in range(11):
        builder.add(reading(float(second), util_pct=40.0))

    window = builder.close(
        AT0 + 14, 14.0, [_share(1, 6_000)]
    )  # 4 s were not observed: it may have worked then

    assert [share.sm_ms for share in window.procs] == [6_000]


def test_a_pcie_counter_that_goes_round_leaves_no_number_and_costs_nothing_else() -> None:
    builder = _builder()
    for second in range(11):
        builder.add(
            reading(float(second), energy_mj=second * 300_000, pcie_rx_b=(second * (1 << 29)) % (1 << 32))
        )

    window = _close(builder, 10.0)

    assert window.pcie_rx_b is None
    assert "32 bits" in window.why["pcie_rx_b"]
    assert (window.covered_ms, window.energy_mj) == (10_000, 10 * 300_000)

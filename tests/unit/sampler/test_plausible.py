"""What a board's channels cannot be is said, and an honest board is believed."""

from typing import Any

import pytest

from slurm_guard.sampler.plausible import COMPARE_S, Plausibility, is_jump
from tests.unit.sampler.readings import reading

LIMIT_MW = 700_000


def _follow(n_s: int, dt_s: float = 1.0, **of: Any) -> dict[str, str]:
    """The verdict after n_s seconds; each field is a number or a function of the second."""
    judge = Plausibility()
    for step in range(round(n_s / dt_s) + 1):
        now_s = step * dt_s
        fields = {name: value(now_s) if callable(value) else value for name, value in of.items()}
        judge.add(reading(now_s, **fields), LIMIT_MW)
    return judge.verdict()


def test_a_counter_that_stands_still_beside_power_is_not_believed() -> None:
    verdict = _follow(20, energy_mj=77, power_mw=80_000)

    assert verdict == {"energy_mj": "implausible: the counter stands still while power reads 80 W"}


@pytest.mark.parametrize("every_s", [0.1, 1.0, 5.0, 12.0])
def test_a_counter_that_moves_in_steps_is_believed(every_s: float) -> None:
    verdict = _follow(60, energy_mj=lambda s: int(s / every_s) * round(80_000 * every_s), power_mw=80_000)

    assert verdict == {}


def test_a_counter_that_moves_again_is_believed_again() -> None:
    verdict = _follow(40, energy_mj=lambda s: 0 if s < 20 else round(80_000 * (s - 20)), power_mw=80_000)

    assert verdict == {}


@pytest.mark.parametrize(
    ("factor", "believed"), [(0.3, False), (0.6, True), (1.0, True), (1.8, True), (3.0, False)]
)
def test_energy_far_from_the_integral_of_power_is_not_believed(factor: float, believed: bool) -> None:
    verdict = _follow(round(COMPARE_S) + 5, energy_mj=lambda s: round(300_000 * factor * s), power_mw=300_000)

    assert (verdict == {}) == believed


def test_a_load_seen_only_at_its_peaks_is_within_the_tolerance() -> None:
    verdict = _follow(130, energy_mj=lambda s: round(380_000 * s), power_mw=690_000)  # beats once a second

    assert verdict == {}


def test_a_reload_in_between_begins_the_comparison_anew() -> None:
    verdict = _follow(
        130, energy_mj=lambda s: round(300_000 * s) if s < 60 else round(300_000 * (s - 60)), power_mw=300_000
    )

    assert verdict == {}


def test_missing_energy_or_power_is_no_verdict() -> None:
    assert _follow(130, energy_mj=None) == {}
    assert _follow(130, power_mw=None, energy_mj=5) == {}


@pytest.mark.parametrize(
    ("amount_mj", "long_s", "limit_mw", "jumps"),
    [
        (700_000, 1.0, 700_000, False),
        (1_500_000, 1.0, 700_000, False),  # a late reading
        (1_600_000, 1.0, 700_000, True),
        (1_600_000, 1.0, None, False),
        (500_000, 0.25, 700_000, False),
    ],
)
def test_a_jump_is_more_than_any_board_takes(
    amount_mj: float, long_s: float, limit_mw: int | None, jumps: bool
) -> None:
    assert is_jump(amount_mj, long_s, limit_mw) == jumps

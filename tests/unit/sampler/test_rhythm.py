"""The rhythm finds a planted period, and none in noise."""

import math
import random

import pytest

from slurm_guard.sampler.rhythm import describe, find_periods


def _wave(n: int, period: float, noise: float, seed: int) -> list[float]:
    draw = random.Random(seed)
    return [300 + 100 * math.sin(2 * math.pi * i / period) + draw.gauss(0, noise) for i in range(n)]


@pytest.mark.parametrize("period", [3.0, 5.0, 7.5, 12.0])
@pytest.mark.parametrize("noise", [0.0, 20.0])
def test_a_planted_period_is_found(period: float, noise: float) -> None:
    found = find_periods(_wave(60, period, noise, 1), 1.0)

    assert found[0][0] == pytest.approx(period, rel=0.08)
    assert found[0][1] > 0.6


def test_noise_has_no_period() -> None:
    nights = [
        find_periods([random.Random(seed * 1000 + i).gauss(0, 1) for i in range(60)], 1.0)
        for seed in range(300)
    ]

    assert sum(1 for found in nights if found) <= 15  # 5 %: the bound promises about 1 in 60


def test_a_warm_up_is_no_period() -> None:
    assert find_periods([i * 3.0 for i in range(60)], 1.0) == []
    assert find_periods([300.0] * 60, 1.0) == []


def test_echoes_of_a_period_are_not_listed() -> None:
    found = find_periods([1000.0 if i % 4 == 0 else 0.0 for i in range(60)], 0.25)

    assert [period for period, _ in found] == pytest.approx([1.0], rel=0.02)


def test_few_readings_give_nulls_and_not_zeros() -> None:
    rhythm = describe([(0.0, 1.0, 2.0), (1.0, 3.0, 4.0)], 3.0)

    assert rhythm is not None
    assert (rhythm.power_q_mw, rhythm.busy_q_pct, rhythm.periods, rhythm.crossings) == (
        None,
        None,
        None,
        None,
    )
    assert describe([(0.0, 1.0, 1.0)], 3.0) is None


def test_quantiles_and_crossings_of_a_square_wave() -> None:
    looks = [(float(i), 700.0 if i % 10 < 5 else 100.0, 100.0 if i % 10 < 5 else 0.0) for i in range(60)]

    rhythm = describe(looks, 3.0)

    assert rhythm is not None
    assert rhythm.power_q_mw == [100, 100, 400, 700, 700]
    assert rhythm.crossings == 11
    assert rhythm.periods is not None
    assert rhythm.periods[0][0] == pytest.approx(10.0, rel=0.05)


def test_a_stretch_with_a_missing_power_reading_falls_back_to_utilisation() -> None:
    looks = [(float(i), None if i == 30 else 5.0, 100.0 if i % 6 < 3 else 0.0) for i in range(60)]

    rhythm = describe(looks, 3.0)

    assert rhythm is not None
    assert rhythm.periods is not None
    assert rhythm.periods[0][0] == pytest.approx(6.0, rel=0.05)

"""Noise of meters and kernels told from loads that step, by quantiles and crossings alone."""

import itertools
import math
import random
from collections.abc import Callable

import polars as pl
import pytest

from slurm_guard.audit.beats import shape_columns
from slurm_guard.audit.noise import LEAST, Shape, is_noise
from slurm_guard.audit.rhythm import Beat, compare
from slurm_guard.audit.stats import quantile
from slurm_guard.audit.track import Arc

Power = Callable[[random.Random, float], float]


def _flat(rng: random.Random, t: float) -> float:
    return 500 + 25 * rng.gauss(0, 1)


def _wave(rng: random.Random, t: float) -> float:
    return 500 + 40 * math.sin(2 * math.pi * t / 3.7) + 5 * rng.gauss(0, 1)


def _dips(rng: random.Random, t: float) -> float:
    return (420 if rng.random() < 0.2 else 500) + 5 * rng.gauss(0, 1)  # steps of very different lengths


def _levels(rng: random.Random, t: float) -> float:
    return (460 if t % 8 < 4 else 540) + 5 * rng.gauss(0, 1)


def _slow(rng: random.Random, t: float) -> float:
    return 500 + 60 * math.sin(2 * math.pi * t / 45) + 8 * rng.gauss(0, 1)


def _window(power: Power, rng: random.Random, n: int) -> tuple[list[int], int]:
    """The sampler's quantiles and crossings of n readings, one a second."""
    begin = rng.uniform(0, 100)
    values = [power(rng, begin + k) for k in range(n)]
    mean = sum(values) / n
    crossings = sum((a < mean) != (b < mean) for a, b in itertools.pairwise(values))
    return [int(quantile(values, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)], crossings


def _shape_of(quantiles: list[int], crossings: int, n: int) -> Shape | None:
    """As the audit makes them of windows' rows."""
    window = pl.DataFrame({"power_q_mw": [quantiles], "crossings": [crossings], "n": [n]})
    shown, *parts = window.select(shape_columns()).row(0)
    return Shape(*parts) if shown else None


def _shapes(power: Power, seed: int, n: int, windows: int) -> list[Shape]:
    rng = random.Random(seed)
    made = [_window(power, rng, n) for _ in range(windows)]
    shapes = [_shape_of(quantiles, crossings, n) for quantiles, crossings in made]
    return [shape for shape in shapes if shape is not None]


@pytest.mark.parametrize("n", [20, 60])
def test_noise_is_nearly_always_known_as_noise(n: int) -> None:
    found = [is_noise(_shapes(_flat, seed, n, 16)) for seed in range(200)]

    assert sum(found) >= 195


@pytest.mark.parametrize("power", [_wave, _dips, _levels, _slow])
@pytest.mark.parametrize("n", [20, 60])
def test_a_load_that_steps_is_never_taken_for_noise(power: Power, n: int) -> None:
    assert not any(is_noise(_shapes(power, seed, n, 16)) for seed in range(200))


def test_few_windows_or_unknown_crossings_are_no_noise() -> None:
    shapes = _shapes(_flat, 1, 20, LEAST - 1)
    blind = [Shape(s.quartiles, s.middle, None) for s in _shapes(_flat, 1, 20, 40)]

    assert not is_noise(shapes)
    assert not is_noise(blind)
    assert _shape_of([5, 5, 5, 5, 5], 3, 20) is None


@pytest.mark.parametrize(("power", "flat"), [(_flat, True), (_dips, False)])
def test_noisy_windows_without_dips_deny_a_claimed_step_and_uneven_ones_do_not(
    power: Power, flat: bool
) -> None:
    rng = random.Random(5)
    beats = []
    for k in range(20):
        quantiles, crossings = _window(power, rng, 60)
        shape = _shape_of(quantiles, crossings, 60)
        beats.append(Beat(60.0 * k, 60.0 * (k + 1), 1.0, (), 0.97, 0.18, 0.0, False, shape))

    rhythm = compare(beats, tuple(Arc(30.0 * k, 30.0 * (k + 1), 6.0, 6.0) for k in range(40)))

    assert (rhythm.n_resolvable, rhythm.n_flat) == (20, 20 if flat else 0)
    assert rhythm.denies is flat

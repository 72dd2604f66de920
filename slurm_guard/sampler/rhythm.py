"""The shape of a load from a window's own readings: quantiles, dominant periods, crossings. Pure."""

import itertools
import math

from slurm_guard.light import Sequence
from slurm_guard.wire import Rhythm

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEAST_FOR_QUANTILES = 5  # judgement: fewer readings than quantiles say nothing about a distribution
LEAST_FOR_PERIODS = 16  # judgement: below this the noise bound (see _SIGMAS) lies above 0.9
MOST_PERIODS = 3
_LEAST_CYCLES = 3  # a period must be seen this often inside the window: judgement
_NEARLY = 0.8  # a period of 7.5 readings peaks lower at 7 or 8 than its double does at 15: judgement
# A lag counts when its autocorrelation passes this many standard errors (1/sqrt(pairs)) of white noise: about
# 1 window in 60 of pure noise shows one with 20 lags tried (calculated; tests/unit/sampler/test_rhythm.py).
_SIGMAS = 3.3
_SAME_PERIOD = 0.15  # a lag this near to a multiple of a stronger one is that one's echo: judgement

Look = tuple[float, float | None, float | None]  # monotonic seconds, power in mW, utilisation in percent


def describe(looks: Sequence[Look], gap_limit_s: float) -> Rhythm | None:
    """The rhythm of a window's readings, in time order; null: fewer than two readings."""
    if len(looks) < 2 or looks[-1][0] <= looks[0][0]:
        return None
    powers = [power for _, power, _ in looks if power is not None]
    utils = [util for _, _, util in looks if util is not None]
    stretch = _longest_stretch(looks, gap_limit_s)
    return Rhythm(
        fs_hz=round((len(looks) - 1) / (looks[-1][0] - looks[0][0]), 3),
        power_q_mw=_quantiles(powers),
        busy_q_pct=_quantiles(utils),
        periods=_periods_of(stretch),
        crossings=_crossings(powers),
    )


def _quantiles(values: list[float]) -> list[int] | None:
    """Five quantiles, linearly interpolated; null: too few values."""
    if len(values) < LEAST_FOR_QUANTILES:
        return None
    ordered = sorted(values)
    found = []
    for share in QUANTILES:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        found.append(round(ordered[low] + (ordered[high] - ordered[low]) * (place - low)))
    return found


def _crossings(values: list[float]) -> int | None:
    """How often the values cross their mean; touching it is no crossing."""
    if len(values) < LEAST_FOR_QUANTILES:
        return None
    mean = sum(values) / len(values)
    signs = [value > mean for value in values if value != mean]
    return sum(1 for before, after in itertools.pairwise(signs) if before != after)


def _longest_stretch(looks: Sequence[Look], gap_limit_s: float) -> Sequence[Look]:
    """The longest part without a gap: a lag across a gap is not that many intervals."""
    best = (0, 0)
    begin = 0
    for place in range(1, len(looks) + 1):
        if place == len(looks) or looks[place][0] - looks[place - 1][0] > gap_limit_s:
            if place - begin > best[1] - best[0]:
                best = (begin, place)
            begin = place
    return looks[best[0] : best[1]]


def _periods_of(looks: Sequence[Look]) -> list[list[float]] | None:
    """Dominant periods of power, or of utilisation where power shows none; null: too few readings."""
    found: list[list[float]] | None = None
    for channel in (1, 2):
        values = [look[channel] for look in looks]
        known = [value for value in values if value is not None]
        if len(known) < LEAST_FOR_PERIODS or len(known) < len(values):
            continue
        step_s = (looks[-1][0] - looks[0][0]) / (len(looks) - 1)
        found = find_periods(known, step_s)
        if found:
            return found
    return found


def find_periods(values: Sequence[float], step_s: float) -> list[list[float]]:
    """Up to three [period_s, strength 0..1] of evenly spaced values, strongest first; empty: none."""
    flat = _without_trend(values)
    power = sum(value * value for value in flat)
    if power <= 1e-9 * len(flat):
        return []
    n = len(flat)
    most_lag = n // _LEAST_CYCLES
    corr = [1.0] + [
        sum(map(float.__mul__, flat[lag:], flat[: n - lag])) / power * n / (n - lag)
        for lag in range(1, most_lag + 2)
    ]
    return _echo_free([(lag, corr[lag]) for lag in _peaks(corr, n)], corr, step_s)


def _without_trend(values: Sequence[float]) -> list[float]:
    """The values less their straight line: a slow warm-up is no rhythm."""
    n = len(values)
    middle, mean = (n - 1) / 2, sum(values) / n
    spread = n * (n * n - 1) / 12
    slope = sum((place - middle) * value for place, value in enumerate(values)) / spread
    return [value - mean - slope * (place - middle) for place, value in enumerate(values)]


def _peaks(corr: list[float], n: int) -> list[int]:
    """Lags of local maxima beyond the first fall below zero that noise does not explain."""
    first = next((lag for lag, value in enumerate(corr) if value < 0), len(corr))
    return [
        lag
        for lag in range(max(first, 2), len(corr) - 1)
        if corr[lag] >= corr[lag - 1]
        and corr[lag] > corr[lag + 1]
        and corr[lag] > _SIGMAS / math.sqrt(n - lag)
    ]


def _echo_free(peaks: list[tuple[int, float]], corr: list[float], step_s: float) -> list[list[float]]:
    """The strongest peaks; of nearly equal ones the shortest, whose multiples are then left out."""
    chosen: list[tuple[float, float]] = []
    left = list(peaks)
    while left and len(chosen) < MOST_PERIODS:
        best = max(strength for _, strength in left)
        lag, strength = next(peak for peak in left if peak[1] >= _NEARLY * best)
        fine = lag + _parabola(corr[lag - 1], strength, corr[lag + 1])
        chosen.append((fine, min(strength, 1.0)))
        left = [peak for peak in left if peak[0] != lag and not _is_echo(peak[0], fine)]
    chosen.sort(key=lambda period: (-period[1], period[0]))
    return [[round(lag * step_s, 3), round(strength, 3)] for lag, strength in chosen]


def _is_echo(lag: float, other: float) -> bool:
    times = max(lag, other) / min(lag, other)
    return abs(times - round(times)) < _SAME_PERIOD


def _parabola(left: float, top: float, right: float) -> float:
    """Where between two lags the maximum lies, -0.5..0.5."""
    bend = left - 2 * top + right
    return 0.0 if bend >= 0 else 0.5 * (left - right) / bend

"""Rates with exact intervals, and how good intervals are."""

import math
from collections.abc import Callable, Sequence

_ALPHA = 0.05


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a rate, 0..1; without cases everything is possible."""
    if n == 0:
        return 0.0, 1.0
    low = 0.0 if hits == 0 else _root(lambda p: _at_least(hits, n, p) - _ALPHA / 2)
    high = 1.0 if hits == n else _root(lambda p: _ALPHA / 2 - (1 - _at_least(hits + 1, n, p)))
    return low, high


def winkler(low: float, high: float, truth: float) -> float:
    """The interval score of a 95 % interval: its width, and 40 times what the truth lies outside."""
    return high - low + 2 / _ALPHA * (max(0.0, low - truth) + max(0.0, truth - high))


def _root(rises: Callable[[float], float]) -> float:
    """Where a rising function of a probability is 0."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) < 0 else (low, middle)
    return (low + high) / 2


def _at_least(hits: int, n: int, p: float) -> float:
    """How likely `hits` or more of `n` are: the regularised incomplete beta function I_p(hits, n-hits+1)."""
    return _beta(p, float(hits), float(n - hits + 1))


def _beta(x: float, a: float, b: float) -> float:
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's continued fraction."""
    tiny = 1e-300
    c, d = 1.0, 1 / max(tiny, 1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + numerator * d
            c = 1 + numerator / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return value


def quantile(values: Sequence[float], part: float) -> float | None:
    """Linearly interpolated; null without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

"""Clopper and Pearson's interval of a share, from the incomplete beta function."""

from math import exp, lgamma, log, log1p


def interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float] | None:
    """(lower, upper) of a share of which `hits` of `n` were seen; null: nothing was."""
    if n <= 0:
        return None
    tail = (1.0 - level) / 2.0
    low = 0.0 if hits == 0 else _quantile(tail, hits, n - hits + 1)
    high = 1.0 if hits == n else _quantile(1.0 - tail, hits + 1, n - hits)
    return low, high


def _quantile(p: float, a: float, b: float) -> float:
    """Where the beta distribution function reaches p, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta(middle, a, b) < p else (low, middle)
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, 0 < x < 1; its fraction converges below the mean."""
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta(1.0 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's way through the continued fraction (Numerical Recipes 6.4). Documented."""
    tiny = 1e-300
    d = 1.0 / _away(1.0 - (a + b) * x / (a + 1.0), tiny)
    c, whole = 1.0, d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away(1.0 + step * d, tiny)
            c = _away(1.0 + step / c, tiny)
            whole *= c * d
        if abs(c * d - 1.0) < 1e-13:
            break
    return whole


def _away(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny

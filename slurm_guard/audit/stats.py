"""Small robust statistics on plain lists; every function says what an empty list gives."""

import itertools
from math import sqrt


def quantile(values: list[float], q: float) -> float:
    """Linear-interpolated quantile; values must not be empty."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: list[float]) -> float:
    """The middle; values must not be empty."""
    return quantile(values, 0.5)


def mad_sigma(values: list[float]) -> float:
    """Standard deviation by the median absolute deviation; 0.0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    centre = median(values)
    return 1.4826 * median([abs(v - centre) for v in values])


def step_sigma(values: list[float]) -> float:
    """Noise by successive differences, blind to level shifts and drift; 0.0 for fewer than three values.

    median|x[i+1] - x[i]| = 0.6745 sqrt(2) sigma for independent normal noise.
    """
    if len(values) < 3:
        return 0.0
    steps = [abs(b - a) for a, b in itertools.pairwise(values)]
    return median(steps) / 0.954


def lag_one(values: list[float]) -> float:
    """Lag-1 autocorrelation clipped to 0..0.9; 0.0 for fewer than four values or no spread."""
    if len(values) < 4:
        return 0.0
    mean = sum(values) / len(values)
    dev = [v - mean for v in values]
    power = sum(d * d for d in dev)
    if power <= 0:
        return 0.0
    return min(0.9, max(0.0, sum(a * b for a, b in itertools.pairwise(dev)) / power))


def mean_error(values: list[float], sigma: float) -> float:
    """Standard error of a mean of autocorrelated values; `sigma` itself for fewer than two."""
    if len(values) < 2:
        return sigma
    rho = lag_one(values)
    return sigma * sqrt((1 + rho) / (1 - rho) / len(values))


def deviation(values: list[float]) -> float:
    """Standard deviation of these values themselves (over n); 0.0 for none."""
    if not values:
        return 0.0
    mean = sum(values) / len(values)
    return sqrt(sum((v - mean) ** 2 for v in values) / len(values))


def ranks(values: list[float]) -> list[float]:
    """Each value's place in order, 0 the least; equal ones share the middle of their places."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    for _, same in itertools.groupby(enumerate(order), key=lambda place: values[place[1]]):
        tied = list(same)
        for _, i in tied:
            found[i] = (tied[0][0] + tied[-1][0]) / 2
    return found


def middles(values: list[float]) -> list[float]:
    """Medians of three neighbours; the two ends, which have one neighbour, are left out."""
    return [median(values[i - 1 : i + 2]) for i in range(1, len(values) - 1)]


def correlation(a: list[float], b: list[float]) -> float:
    """Pearson's r; 0.0 where either list has no spread."""
    n = len(a)
    if n < 3:
        return 0.0
    ma, mb = sum(a) / n, sum(b) / n
    saa = sum((x - ma) ** 2 for x in a)
    sbb = sum((y - mb) ** 2 for y in b)
    if saa <= 0 or sbb <= 0:
        return 0.0
    return sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True)) / sqrt(saa * sbb)

"""Clopper and Pearson's interval against sums of the binomial in whole fractions."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.audit.exact import interval

SLOWLY = settings(deadline=None)  # a busy machine is no failure


def _at_least(k: int, n: int, p: Fraction) -> Fraction:
    """P(X >= k)."""
    return sum((comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1)), Fraction(0))


@SLOWLY
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_leave_a_fortieth_on_each_side(seen: tuple[int, int]) -> None:
    k, n = seen

    found = interval(k, n)

    assert found is not None
    low, high = found
    assert 0 <= low <= k / n <= high <= 1
    if k > 0:
        assert float(_at_least(k, n, Fraction(low))) == pytest.approx(0.025, abs=1e-6)
    if k < n:
        assert 1 - float(_at_least(k + 1, n, Fraction(high))) == pytest.approx(0.025, abs=1e-6)


def test_nothing_seen_says_nothing() -> None:
    assert interval(0, 0) is None


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 6, 0.3588, 0.9958), (900, 1000, 0.8797, 0.9179)],
)
def test_published_values(k: int, n: int, low: float, high: float) -> None:
    assert interval(k, n) == pytest.approx((low, high), abs=1e-4)


def test_many_are_no_trouble() -> None:
    low, high = interval(50_000, 100_000) or (0.0, 0.0)

    assert 0.4968 < low < 0.5 < high < 0.5032

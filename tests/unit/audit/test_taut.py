"""Times of records on the straightest course through what is known of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.audit.taut import settle, taut
from slurm_guard.audit.track import Mark


def _mark(step: int, low: float, high: float, claimed: float | None = None) -> Mark:
    at = claimed if claimed is not None else high
    return Mark(at, claimed, True, step, None, None, None, "train", 0, (), low_at=low)


@given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 3), st.floats(0, 3)), min_size=2, max_size=40))
def test_the_string_stays_inside_every_bracket_and_never_runs_back(
    parts: list[tuple[float, float, float]],
) -> None:
    places, brackets, t = [0.0], [(0.0, 1.0)], 0.0
    for step, gap, slack in parts:
        t += gap
        places.append(places[-1] + step)
        brackets.append((t, t + slack + 1.0))

    times = taut(places, brackets)

    assert all(low - 1e-6 <= x <= high + 1e-6 for x, (low, high) in zip(times, brackets, strict=True))
    assert all(b >= a - 1e-6 for a, b in itertools.pairwise(times))


def test_a_steady_pace_seen_at_the_minute_comes_out_steady() -> None:
    true = [45.0 * k for k in range(1, 80)]
    marks = [_mark(k, t // 60 * 60, t // 60 * 60 + 60) for k, t in enumerate(true, 1)]

    times = [m.at for m in settle(marks)]

    steps = [b - a for a, b in itertools.pairwise(times[4:-4])]
    assert max(steps) - min(steps) < 1.0
    assert sum(steps) / len(steps) == pytest.approx(45.0, rel=0.01)


def test_a_real_change_of_pace_stays() -> None:
    true = [40.0 * k for k in range(1, 60)] + [2360.0 + 80.0 * k for k in range(1, 40)]
    marks = [_mark(k, t // 60 * 60, t // 60 * 60 + 60) for k, t in enumerate(true, 1)]

    times = [m.at for m in settle(marks)]

    assert times[30] - times[20] == pytest.approx(400, rel=0.05)
    assert times[90] - times[80] == pytest.approx(800, rel=0.05)


def test_a_buffered_log_is_spread_over_the_time_since_the_lump_before() -> None:
    lumps = [(600.0, range(1, 11)), (1200.0, range(11, 21)), (1800.0, range(21, 31))]
    marks = [_mark(k, at - 60, at) for at, steps in lumps for k in steps]

    times = [m.at for m in settle(marks)]

    assert times[25] - times[15] == pytest.approx(600, rel=0.1)


@pytest.mark.parametrize("step_s", [2.7, 3.1, 5.3])
def test_a_steady_pace_comes_out_steady_through_a_buffer_too(step_s: float) -> None:
    flushed = [(k, 69 * (1 + (k - 1) // 69) * step_s) for k in range(1, 690)]
    marks = [_mark(k, t // 60 * 60, t // 60 * 60 + 60) for k, t in flushed]

    times = [m.at for m in settle(marks)]

    steps = [b - a for a, b in itertools.pairwise(times[:600])]
    assert min(steps) > 0.85 * step_s
    assert max(steps) < 1.15 * step_s


def test_how_little_is_known_of_a_buffered_records_time_is_told() -> None:
    marks = [_mark(k, at - 60, at) for k, at in enumerate([600.0] * 10 + [1200.0] * 10, 1)]

    assert all(m.blur_s >= 60 for m in settle(marks))


def test_times_that_are_known_are_not_moved() -> None:
    marks = [_mark(k, 0, 1e9, claimed=10.123 * k) for k in range(1, 20)]

    assert settle(marks) == marks


def test_a_record_that_was_seen_before_the_string_is_there_ends_no_audit() -> None:
    """Its bracket ends before the middle of the one before it: the string waits and does not run back."""
    times = taut([0.0, 1.0, 2.0], [(0.0, 10.0), (1.0, 3.0), (20.0, 21.0)])

    assert len(times) == 3
    assert all(b >= a for a, b in itertools.pairwise(times))


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=3, max_size=20))
def test_brackets_at_odds_give_a_time_each_in_order(ends: list[tuple[float, float]]) -> None:
    brackets = [(min(pair), max(pair)) for pair in ends]

    times = taut([float(k) for k in range(len(brackets))], brackets)

    assert len(times) == len(brackets)
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(times))

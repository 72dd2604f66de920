"""How far a log's own times stray from a line."""

import random

import pytest

from slurm_guard.audit.regular import Pace, pace_spread
from slurm_guard.audit.track import Mark, Track

LIMIT = 1.5e-4  # steps-too-regular's


def _pace(step_s: float, spread: float, tick: float, n: int = 600) -> Pace:
    rng = random.Random(3)
    t, marks = 0.0, []
    for k in range(1, n + 1):
        t += step_s * rng.gauss(1.0, spread)
        at = int(t / tick) * tick
        marks.append(Mark(at, at, True, k, None, None, None, "train", 0, ()))
    pace = pace_spread(Track(marks=tuple(marks)), 40)
    assert pace is not None
    return pace


@pytest.mark.parametrize("step_s", [3.0587, 2.0013, 11.31])
def test_times_made_by_a_formula_keep_to_their_line(step_s: float) -> None:
    assert _pace(step_s, 0.0, 1e-3).walks(LIMIT) is False


@pytest.mark.parametrize("spread", [6e-4, 2e-3, 2e-2])
def test_times_of_a_loop_walk_away_from_theirs(spread: float) -> None:
    assert _pace(3.0587, spread, 1e-3).walks(LIMIT) is True


def test_a_clock_of_whole_seconds_cannot_tell() -> None:
    assert _pace(5.3, 0.01, 1.0).walks(LIMIT) is None

"""Laws of a track: order and repetition of records do not matter where the records have clocks."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.progress.mark import Mark
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.track import build, thin

T0 = 1_795_000_000.0
# A training with restarts: stretches of rising steps, each beginning below the end of the one before.
gaps = st.lists(st.lists(st.integers(1, 50), min_size=3, max_size=12), min_size=1, max_size=4)


def stretches(parts: list[list[int]]) -> list[int]:
    """Steps as written: each part climbs by its gaps from half the mark reached before."""
    steps: list[int] = []
    for part in parts:
        at = (steps[-1] // 2) if steps else 0
        for gap in part:
            at += gap
            steps.append(at)
    return steps


def claims_of(steps: list[int]) -> list[Claim]:
    return [Claim(10 * (n + 1), "step", step=step, at=T0 + n) for n, step in enumerate(steps)]


def told(claims: list[Claim]) -> list[tuple[int, int | None, float | None]]:
    marks = build("t:x", [(0, claim) for claim in claims], [], ())
    return [(mark.segment, mark.step, mark.at) for mark in marks]


@given(parts=gaps, seed=st.integers())
@settings(max_examples=200, deadline=None)
def test_shuffled_and_repeated_records_with_clocks_give_the_same_track(
    parts: list[list[int]], seed: int
) -> None:
    """Permuting lines, and printing each from several ranks, changes nothing."""
    claims = claims_of(stretches(parts))
    shaken = claims + claims[::2] + claims[::3]
    random.Random(seed).shuffle(shaken)

    assert told(shaken) == told(claims)


@given(parts=gaps, n=st.integers(2, 5))
@settings(max_examples=200, deadline=None)
def test_records_repeated_on_the_spot_need_no_clock(parts: list[list[int]], n: int) -> None:
    """`n` ranks that print each step one after the other are one rank."""
    once = [claim._replace(at=None) for claim in claims_of(stretches(parts))]
    often = [claim for claim in once for _ in range(n)]
    often = [claim._replace(offset=10 * (k + 1)) for k, claim in enumerate(often)]

    assert [row[:2] for row in told(often)] == [row[:2] for row in told(once)]


@given(parts=gaps)
@settings(max_examples=200, deadline=None)
def test_steps_rise_inside_every_segment(parts: list[list[int]]) -> None:
    """What the audit sums are positive increments."""
    rows = told(claims_of(stretches(parts)))

    for before, after in pairwise(rows):
        assert after[0] in (before[0], before[0] + 1)
        if after[0] == before[0]:
            assert (after[1] or 0) > (before[1] or 0)


@given(n=st.integers(0, 400), limit=st.integers(1, 60), cut=st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_thinning_never_exceeds_its_limit_and_keeps_first_and_last(n: int, limit: int, cut: int) -> None:
    marks = [
        Mark(0, "t:x", k // cut, None, False, k, None, None, None, None, "train", k, ()) for k in range(n)
    ]

    kept = thin(marks, limit)

    assert len(kept) == min(n, limit)
    if n and limit > 1:
        assert (kept[0], kept[-1]) == (marks[0], marks[-1])
    assert sorted(kept, key=lambda mark: mark.offset) == kept


@given(parts=gaps, seed=st.integers())
@settings(max_examples=200, deadline=None)
def test_phase_marks_do_not_undo_the_order_of_the_clock(parts: list[list[int]], seed: int) -> None:
    """Law: a shuffled log with an evaluation in it is the same track."""
    claims = claims_of(stretches(parts))
    shaken = [claim._replace(offset=10 * (n + 1)) for n, claim in enumerate(claims)]
    random.Random(seed).shuffle(shaken)
    shaken = [claim._replace(offset=10 * (n + 1)) for n, claim in enumerate(shaken)]
    evaluation = Claim(5, "phase", at=T0, phase="eval", advances=False)

    marks = build("t:x", [(0, claim) for claim in shaken], [(0, evaluation)], ())

    assert [(m.segment, m.step, m.at) for m in marks if m.phase == "train"] == told(claims)
    assert [m.phase for m in marks].count("eval") == 1

"""Several that write one log without a label are told, and one training that resumes is not."""

import random
from collections.abc import Sequence

import pytest

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.track import build
from slurm_guard.progress.writers import many_writers


def words(steps: Sequence[int], **common: object) -> str:
    """What is told of a log of these steps."""
    claims = [(0, Claim(10 * (n + 1), "step", step=step, **common)) for n, step in enumerate(steps)]  # type: ignore[arg-type]
    return many_writers(claims, build("t:x", claims, [], ())) or ""


def of_ranks(n_ranks: int, n: int, apart: int, seed: int) -> list[int]:
    """Ranks that print every tenth step and run up to `apart` records from each other."""
    rng = random.Random(seed)
    at = [0] * n_ranks
    out = []
    while min(at) < n:
        rank = rng.choice([r for r in range(n_ranks) if at[r] < min(n, min(at) + apart)])
        at[rank] += 1
        out.append(10 * at[rank])
    return out


def n_back(steps: Sequence[int]) -> int:
    claims = [(0, Claim(10 * (n + 1), "step", step=step)) for n, step in enumerate(steps)]
    return sum("step-back" in mark.flags for mark in build("t:x", claims, [], ()))


@pytest.mark.parametrize(("slope", "begin"), [(3, 1000), (1, 5000), (2, 300)])
def test_one_who_counts_below_another_line_by_line_is_told(slope: int, begin: int) -> None:
    said = words([value for n in range(200) for value in (n, begin + slope * n)])

    assert said.startswith("many-writers: ")
    assert " values lie below" in said


def test_two_trainings_at_two_paces_are_told() -> None:
    assert words([value for n in range(200) for value in (10 * n, 7 * n)]).startswith("many-writers: ")


@pytest.mark.parametrize("n_ranks", [3, 8, 16])
@pytest.mark.parametrize("apart", [3, 4, 8])
def test_ranks_that_are_records_apart_are_told_where_they_look_like_restarts(
    n_ranks: int, apart: int
) -> None:
    logs = [of_ranks(n_ranks, 100, apart, seed) for seed in range(20)]

    untold = [n_back(steps) for steps in logs if not words(steps)]

    assert sum(untold) == 0


@pytest.mark.parametrize("n_ranks", [1, 2, 4, 8])
def test_ranks_in_step_that_resume_or_begin_anew_are_not_told(n_ranks: int) -> None:
    once = [step for step in range(10, 1001, 10) for _ in range(n_ranks)]
    on = [step for step in range(510, 1501, 10) for _ in range(n_ranks)]

    assert n_back(once + on) == 1
    assert words(once + on) == ""
    assert words(once + once) == ""
    assert words(once * 2 + on) == ""


@pytest.mark.parametrize("back", [1, 2, 3, 6])
@pytest.mark.parametrize("every", [10, 30])
def test_a_training_that_resumes_a_little_earlier_again_and_again_is_not_told(back: int, every: int) -> None:
    steps = [
        step for begin in range(0, 5 * every, every) for step in range(max(0, begin - back), begin + every)
    ]

    assert words(steps, total=1000) == ""


def test_ranks_apart_that_cause_no_restart_are_not_told() -> None:
    assert words([*(step for n in range(20, 200) for step in (n, n, n - 1, n)), 200]) == ""


def test_what_counts_down_is_not_told() -> None:
    assert words([*range(500, 0, -1)]) == ""


def test_epochs_that_begin_again_are_not_told() -> None:
    claims = [
        (0, Claim(100 * e + b + 1, "batch", step=b, epoch=float(e), total=100))
        for e in range(5)
        for b in range(0, 100, 10)
    ]

    assert many_writers(claims, build("t:x", claims, [], ())) is None


def test_what_cannot_be_told_apart_says_what_to_do() -> None:
    rng, slow, quick, steps = random.Random(5), 0, 0, []
    while quick < 3_000:
        if rng.random() < 0.5:
            quick += 1
            steps.append(quick)
        elif slow < 600:
            slow += 1
            steps.append(slow)

    assert words(steps).startswith("many-writers: its counter falls")
    assert words([*range(1000), *range(500, 1500)]) == ""

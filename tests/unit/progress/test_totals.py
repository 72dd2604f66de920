"""Evaluations in the training's own words, told by a total of their own."""

from itertools import pairwise

import pytest

from slurm_guard.progress.totals import of_training
from tests.unit.progress.logs import all_series, steps


def loop(n: int, total: int, every: int = 1, begin: int = 0) -> str:
    return "".join(f"iter {k}/{total} loss 0.4\n" for k in range(begin, n, every))


def n_trained(text: str) -> int:
    """Gross steps of the first track."""
    counted = [step or 0 for step in steps(text)]
    return sum(max(0, b - a) for a, b in pairwise(counted))


@pytest.mark.parametrize("n_eval", [5, 20, 200, 900])
@pytest.mark.parametrize("every", [50, 100, 400])
@pytest.mark.parametrize("header", ["", "Evaluating...\n"])
def test_an_evaluation_inside_the_training_counts_nothing(n_eval: int, every: int, header: str) -> None:
    text = ""
    for n in range(0, 1000, 10):
        text += f"iter {n}/1000 loss 0.3\n"
        if n % every == 0 and n:
            text += header + loop(n_eval, n_eval)

    assert steps(text + loop(n_eval, n_eval)) == list(range(0, 1000, 10))


def test_two_evaluations_one_after_the_other_count_nothing() -> None:
    text = "".join(loop(n + 100, 1000, 10, n) + loop(20, 20) + loop(50, 50) for n in range(0, 1000, 100))

    assert steps(text) == list(range(0, 1000, 10))


def test_a_short_evaluation_between_whole_epochs_counts_nothing() -> None:
    assert n_trained((loop(100, 100) + loop(20, 20)) * 6) == 6 * 99
    assert n_trained((loop(1000, 1000, 5) + loop(20, 20, 5)) * 6) == 6 * 995  # as far as its print tells


@pytest.mark.parametrize(
    "lengths", [(100, 101, 99, 100), (500, 300, 500, 300), (100, 20), (20, 100), (50, 100, 200)]
)
def test_epochs_and_trainings_of_unlike_length_count(lengths: tuple[int, ...]) -> None:
    assert n_trained("".join(loop(n, n) for n in lengths)) == sum(lengths) - len(lengths)


def test_two_trainings_that_write_at_once_lose_no_record() -> None:
    claims = all_series("".join(f"iter {n}/1000 loss 0.4\niter {n // 2}/500 loss 0.3\n" for n in range(999)))[
        0
    ].claims

    assert len(claims) == 2 * 999
    assert of_training(claims) == claims


def test_stages_that_are_numbered_in_the_same_words_hide_no_training() -> None:
    text = "".join(f"iter {n}/3 loss 0.4\n" + loop(100, 1000 * n) for n in (1, 2, 3))

    assert n_trained(text) >= 3 * 98

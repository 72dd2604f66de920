"""Work of processes that might be part of the training, in rhythm and not."""

import pytest

from slurm_guard.audit import grid
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.kin import recurring_us
from slurm_guard.audit.spans import Kind
from tests.builders import World, run_of

TRAIN = {Kind.TRAIN: 1.0}


def _slots(doubt_ms: list[float]) -> Slots:
    empty = grid.nothing(run_of(World(length_s=60.0 * len(doubt_ms))))
    empty.cov[:] = [60_000.0] * len(doubt_ms)
    empty.doubt[:] = doubt_ms
    return empty


def _every(period: int, length: int, n: int, ms: float = 20_000.0) -> list[float]:
    return [ms if k % period >= period - length else 0.0 for k in range(n)]


def test_evaluations_alike_in_length_and_distance_recur() -> None:
    doubt = _every(15, 3, 90)

    assert recurring_us(_slots(doubt), [TRAIN] * 90) == pytest.approx(1000 * sum(doubt))


def test_one_that_came_and_stayed_does_not_recur() -> None:
    assert recurring_us(_slots([0.0] * 30 + [20_000.0] * 60), [TRAIN] * 90) == 0.0


@pytest.mark.parametrize("begins", [(5, 9, 60), (3, 40, 44)])
def test_visits_at_no_rhythm_do_not_recur(begins: tuple[int, ...]) -> None:
    doubt = [20_000.0 if any(b <= k < b + 2 for b in begins) else 0.0 for k in range(90)]

    assert recurring_us(_slots(doubt), [TRAIN] * 90) == 0.0


def test_only_what_lies_in_training_counts() -> None:
    doubt = _every(15, 3, 90)

    assert recurring_us(_slots(doubt), [{Kind.MARKED: 1.0}] * 90) == 0.0

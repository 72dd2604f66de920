"""Does work follow the pace of the log? Against series that are related, and series that only look it."""

import random
from dataclasses import replace
from math import exp

import pytest

from bench import pace as bench
from slurm_guard.audit.blocks import Fit, fit
from slurm_guard.audit.cost import Block
from slurm_guard.audit.pace import follows_pace, go_together
from slurm_guard.audit.stats import middles, ranks

STEP = [1.1] * 6 + [1.0] * 10


def wavering(values: list[float], size: float, seed: int) -> list[float]:
    """The values, each off by normal noise of a relative size."""
    rng = random.Random(seed)
    return [v * exp(rng.gauss(0, size)) for v in values]


def blocks(pace: list[float], work: list[float]) -> Fit:
    """Blocks of five seconds of one GPU."""
    return fit(
        [
            Block(5.0 * k, 5.0 * k + 5, w * 5000, p * 5000, 5000.0, 5000.0, 0.0)
            for k, (p, w) in enumerate(zip(pace, work, strict=True))
        ]
    )


def test_a_lasting_change_of_both_is_agreement_though_single_blocks_are_off() -> None:
    pace, work = wavering(STEP, 0.01, 1), wavering(STEP, 0.01, 2)
    work[10] *= 0.85  # a checkpoint, whose record falls into the next block
    pace[11] *= 0.87
    assert go_together(pace, work)


def test_a_change_of_the_log_alone_or_of_the_work_alone_is_none() -> None:
    flat = [1.0] * 16
    assert not go_together(wavering(STEP, 0.01, 1), wavering(flat, 0.01, 2))
    assert not go_together(wavering(flat, 0.01, 1), wavering(STEP, 0.01, 2))


def test_a_change_of_both_at_different_times_is_none() -> None:
    later = [1.1] * 10 + [1.0] * 6
    assert not go_together(wavering(STEP, 0.01, 1), wavering(later, 0.01, 2))


def test_the_same_change_by_another_factor_is_none() -> None:
    pace = wavering([1.4] * 6 + [1.0] * 10, 0.01, 1)
    assert not go_together(pace, wavering([1.1] * 6 + [1.0] * 10, 0.01, 2))


def test_one_pause_of_everything_is_no_agreement() -> None:
    """A suspended job stops a log that its work does not write, too."""
    pace, work = wavering([1.0] * 16, 0.02, 1), wavering([1.0] * 16, 0.02, 2)
    pace[7], work[7] = 0.4, 0.4
    assert not go_together(pace, work)


def test_nothing_varies() -> None:
    assert not go_together([1.0] * 16, [2.0] * 16)
    assert not go_together(wavering([1.0] * 16, 0.005, 1), wavering([1.0] * 16, 0.005, 1))


@pytest.mark.parametrize("n", [8, 16, 40])
def test_unrelated_series_seldom_agree(n: int) -> None:
    rng = random.Random(n)
    draw = bench.UNRELATED["unrelated, any two"]
    said = sum(go_together(*([exp(v) for v in s] for s in draw(rng, n))) for _ in range(400))
    assert bench.wilson(said, 400)[0] <= 0.01


@pytest.mark.parametrize("name", ["follows, wander", "follows, one step", "follows, noise"])
def test_related_series_agree_where_there_are_enough_blocks(name: str) -> None:
    rng = random.Random(name)
    said = sum(go_together(*([exp(v) for v in s] for s in bench.RELATED[name](rng, 40))) for _ in range(200))
    assert said >= 0.85 * 200


def test_channels_are_asked_one_by_one_and_too_few_blocks_say_nothing() -> None:
    pace, work = wavering(STEP, 0.01, 1), wavering(STEP, 0.01, 2)
    flat = blocks(pace, wavering([1.0] * 16, 0.01, 3))
    assert follows_pace({"cycles": flat}) is None
    assert follows_pace({"cycles": flat, "energy": blocks(pace, work)}) is True
    assert follows_pace({"energy": blocks(pace[:5], work[:5])}) is None
    unseen = [b._replace(seen_ms=0.0) for b in blocks(pace, work).blocks]
    assert follows_pace({"energy": replace(blocks(pace, work), blocks=unseen)}) is None
    assert follows_pace({}) is None


def test_ranks_share_ties_and_middles_leave_the_ends_out() -> None:
    assert ranks([3.0, 1.0, 3.0, 2.0]) == [2.5, 0.0, 2.5, 1.0]
    assert ranks([]) == []
    assert middles([1.0, 9.0, 2.0, 3.0]) == [2.0, 3.0]
    assert middles([1.0, 2.0]) == []

"""θ from the cheap mode."""

import random

import pytest

from slurm_guard.audit.cost import Block, explained_by_stage, learn, visible_share


def _blocks(costs: list[float]) -> list[Block]:
    return [Block(60.0 * k, 60.0 * (k + 1), c * 10, 10.0, 60_000, 60_000, 0.0) for k, c in enumerate(costs)]


def _noisy(centre: float, n: int, sigma: float = 0.01, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [centre * (1 + sigma * rng.gauss(0, 1)) for _ in range(n)]


def test_a_steady_run_costs_its_mean() -> None:
    theta = learn(_blocks(_noisy(5.0, 200)))

    assert theta is not None
    assert theta.value == pytest.approx(5.0, rel=0.005)


@pytest.mark.parametrize("cheap_share", [0.15, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("cheap_first", [True, False])
def test_the_cheap_stretch_is_found_wherever_it_lies(cheap_share: float, cheap_first: bool) -> None:
    n = 120
    cheap, dear = _noisy(5.0, int(n * cheap_share)), _noisy(7.0, n - int(n * cheap_share), seed=2)

    theta = learn(_blocks(cheap + dear if cheap_first else dear + cheap))

    assert theta is not None
    assert theta.value == pytest.approx(5.0, rel=0.02)


def test_one_lucky_block_is_a_floor_and_no_cost() -> None:
    theta = learn(_blocks([*_noisy(5.0, 60), 2.0]))

    assert theta is not None
    assert theta.value == pytest.approx(5.0, rel=0.01)


def test_too_few_blocks_tell_nothing() -> None:
    assert learn(_blocks([5.0] * 5)) is None
    assert learn([]) is None


def test_the_smallest_visible_diversion_grows_with_noise() -> None:
    quiet, loud = learn(_blocks(_noisy(5.0, 100, 0.005))), learn(_blocks(_noisy(5.0, 100, 0.1)))

    assert quiet is not None
    assert loud is not None
    assert 0.03 < visible_share(quiet) < visible_share(loud) < 0.2


def _stage(costs: list[float], stage: int) -> list[Block]:
    return [b._replace(stage=stage, from_at=b.from_at + 1e5 * stage) for b in _blocks(costs)]


def test_each_stage_is_held_to_its_own_cost() -> None:
    cheap, dear = _stage(_noisy(5.0, 30), 0), _stage(_noisy(8.0, 30, seed=2), 1)

    found = explained_by_stage(cheap + dear)

    assert sum(found[:30]) == pytest.approx(30 * 50.0, rel=0.01)
    assert sum(found[30:]) == pytest.approx(30 * 80.0, rel=0.01)


def test_extra_work_inside_a_stage_is_not_its_cost() -> None:
    dear = _stage(_noisy(8.0, 20) + _noisy(12.0, 20, seed=2), 1)

    found = explained_by_stage(_stage(_noisy(5.0, 30), 0) + dear)

    assert sum(found[30:]) == pytest.approx(40 * 80.0, rel=0.02)


def test_a_stage_too_short_to_learn_from_explains_its_work() -> None:
    short = _stage([9.0] * 5, 1)

    found = explained_by_stage(_stage(_noisy(5.0, 30), 0) + short)

    assert sum(found[30:]) == pytest.approx(5 * 90.0)


def test_two_blocks_with_progress_of_their_neighbours_are_no_cheap_mode() -> None:
    costs = [*_noisy(5.0, 20), 2.0, 8.0, *_noisy(5.0, 20, seed=2), 2.1, 7.9]

    theta = learn(_blocks(costs))

    assert theta is not None
    assert theta.value == pytest.approx(5.0, rel=0.02)

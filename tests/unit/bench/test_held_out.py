"""The held-out families: what they divert is what was asked for, and honest ones divert nothing.

Nothing is judged here. Whoever works on the audit need not look at these runs, and should not. Those that
were held out once are played as well.
"""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from bench.detect import (
    fresh_diverting,
    fresh_honest,
    fresh_inside,
    fresh_slow,
    held_out,
    held_out_honest,
    held_out_inside,
    held_out_slow,
)
from bench.detect.classes import CLASSES, GpuClass
from bench.detect.equip import LARGE, ORDINARY, equip
from bench.detect.scenarios import SHARES, Scenario, scenarios
from bench.world.draw import Site, at
from bench.world.meters import Load
from bench.world.physics import Truth, World
from bench.world.spec import Spec

_ONCE = {
    draw.__name__
    for draw in (
        *held_out_honest.FAMILIES,
        *held_out_slow.FAMILIES,
        *held_out.PROCESS,
        *held_out_inside.INSIDE,
        *held_out_inside.PHASE,
        *held_out_inside.LOG,
        *fresh_honest.FAMILIES,
        *fresh_slow.FAIL_SLOW,
        *fresh_diverting.PROCESS,
        *fresh_inside.INSIDE,
        *fresh_inside.PHASE,
        *fresh_inside.LOG,
    )
}
_OWN = [one for one in scenarios() if one.is_own]
_BLIND = [one for one in scenarios() if one.is_own or one.name in _ONCE]
_HONEST = [one for one in _BLIND if one.is_honest]
_SHARED = [one for one in _BLIND if one.how in ("process", "inside", "phase")]
_LOG = [one for one in _BLIND if one.how == "log"]
_SHORT = Site(("A100",), (1, 2), (2400.0, 3600.0), (60.0,))


class _Told(World):
    """A world that remembers, second by second, how much work there was and how much was diverted."""

    def __init__(self, spec: Spec, rng: Random) -> None:
        super().__init__(spec, rng)
        self.sums_ms = [(0.0, 0.0)]  # diverted, all

    def _count(self, t_s: float, loads: list[list[Load]], is_seen: bool) -> None:
        super()._count(t_s, loads, is_seen)
        self.sums_ms.append((self._diverted_ms, self._work_ms))

    def part(self) -> float:
        """Of the work from the first to the last second in which anything was diverted."""
        sums = self.sums_ms
        on = [k for k, (before, now) in enumerate(pairwise(sums)) if now[0] > before[0]]
        first, last = sums[on[0]], sums[on[-1] + 1]
        return (last[0] - first[0]) / (last[1] - first[1])


def _live(one: Scenario, gpu: GpuClass, share: float, seed: int) -> tuple[_Told, Truth]:
    rng = Random(f"{one.name}/{gpu.name}/{seed}")
    with at(_SHORT):
        spec = one.draw(rng, share)
    equip(spec, gpu, rng)
    world = _Told(spec, rng)
    return world, world.live()


def _classes(one: Scenario) -> list[tuple[int, GpuClass]]:
    """Of families that were played before two or three by turns: they change no more."""
    turn = sum(one.name.encode()) % 3
    return [(k, gpu) for k, gpu in enumerate(CLASSES) if one.is_own or k % 3 == turn]


def _has_company(one: Scenario) -> bool:
    """Whether another process works on the GPUs beside the training."""
    return any(not side.in_rank for side in one.draw(Random(1), 0.25).sides)


def test_there_are_enough_of_each_kind() -> None:
    honest = [one for one in _OWN if one.is_honest]
    hows = Counter(one.how for one in _OWN)

    assert hows["honest"] >= 20
    assert sum(one.is_slow for one in honest) >= 5
    assert sum(_has_company(one) for one in honest) >= 6
    assert hows["process"] >= 9
    assert hows["inside"] >= 5
    assert hows["phase"] >= 2
    assert hows["log"] >= 4
    assert 2 <= sum(not one.is_told for one in _OWN) <= 3
    assert not _ONCE & {one.name for one in _OWN}
    met = Counter(gpu.name for one in _BLIND if not one.is_own for _, gpu in _classes(one))
    assert set(met) == {gpu.name for gpu in CLASSES}


@pytest.mark.parametrize("one", _BLIND, ids=lambda one: one.name)
def test_any_seed_and_any_share_is_a_run_and_the_same_one_twice(one: Scenario) -> None:
    for seed, share in enumerate(SHARES * 4):
        with at(LARGE if seed % 5 == 0 else ORDINARY):
            spec, again = (one.draw(Random(seed), share) for _ in range(2))

        assert (spec.n_gpus, spec.length_s, spec.restarts_s) == (
            again.n_gpus,
            again.length_s,
            again.restarts_s,
        )
        assert list(spec.restarts_s) == sorted(spec.restarts_s)
        assert {gpu for side in spec.sides for gpu in side.gpus} <= set(spec.all_gpus)
        names = [side.name for side in spec.sides if not side.in_rank]
        assert len(set(names)) == len(names)
        diverted = [stage.diverted for stage in spec.stages] + [side.diverted for side in spec.sides]
        assert any(diverted) != one.is_honest


@pytest.mark.parametrize("one", _HONEST, ids=lambda one: one.name)
def test_honest_families_work_and_divert_nothing_on_any_class(one: Scenario) -> None:
    for seed, gpu in _classes(one):
        world, truth = _live(one, gpu, 0.25, seed)

        assert truth.diverted_gpu_ms == 0
        assert 0.2 < truth.work_gpu_ms / truth.allocated_gpu_ms <= 1 + 1e-9
        assert any(record.step is not None for record in world.records)


@pytest.mark.parametrize("one", _SHARED, ids=lambda one: one.name)
def test_about_the_share_that_was_asked_for_is_diverted_on_any_class(one: Scenario) -> None:
    for seed, gpu in _classes(one):
        share = SHARES[seed % len(SHARES)]

        world, truth = _live(one, gpu, share, seed)

        # Pieces that come at random, and pauses at both ends, are not the share to the percent.
        assert world.part() > 0.6 * share
        assert truth.diverted_gpu_ms < 1.3 * share * truth.work_gpu_ms
        assert any(record.step is not None for record in world.records)


@pytest.mark.parametrize("one", _SHARED, ids=lambda one: one.name)
def test_a_larger_share_diverts_more(one: Scenario) -> None:
    diverted_ms = [_live(one, CLASSES[0], share, seed=1)[1].diverted_gpu_ms for share in (0.05, 0.5)]

    assert diverted_ms[0] < diverted_ms[1]


@pytest.mark.parametrize("one", _LOG, ids=lambda one: one.name)
def test_beside_an_untrue_log_all_is_diverted_but_what_it_copied_or_trained(one: Scenario) -> None:
    for seed, gpu in _classes(one):
        world, truth = _live(one, gpu, 0.25, seed)

        diverts = [k for k, stage in enumerate(world.spec.stages) if stage.diverted] or [0]
        trains = any(stage.trains for stage in world.spec.stages[diverts[0] :])
        assert world.part() > 0.7 if trains else world.part() == pytest.approx(1.0)
        assert truth.diverted_gpu_ms > 0.6 * truth.work_gpu_ms
        last_s = max(record.at_s for record in world.records)
        assert last_s > world.spec.length_s - 1000

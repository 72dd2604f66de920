"""A second process that takes turns with the training, and one that merely takes its time."""

import itertools
from dataclasses import replace

from slurm_guard.audit import grid
from slurm_guard.audit.check import ASKS
from slurm_guard.audit.coupling import has_turns, waits_for_it
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Judgement, Verdict
from tests.builders import Log, Tenant, World, build, run_of
from tests.shapes import HONEST, TRAIN

# Rollouts of one to nine minutes, each before as many steps as come: nothing about them is steady.
LONG = (480, 120, 300, 60, 540, 180, 420, 240, 360, 120, 540, 60)


def _slots(own: list[float], second: list[float]) -> Slots:
    empty = grid.nothing(run_of(World(length_s=60.0 * len(own))))
    empty.cov[:] = [60_000.0] * len(own)
    empty.own[:] = [60_000 * v for v in own]
    empty.stray[:] = [60_000 * v for v in second]
    return empty


def test_one_turn_is_no_turns_however_many_others_had_theirs() -> None:
    slots = _slots([0.2, 0.9] * 10, [0.7, 0.0] * 10)
    begin = slots.from_at

    assert has_turns(slots, begin, begin + 1200)  # a server that stays
    assert has_turns(slots, begin, begin + 500)  # one that failed, and another took its place
    assert not has_turns(slots, begin + 120, begin + 170)  # one of many
    assert not has_turns(_slots([0.5] * 20, [0.5] * 20), begin, begin + 1200)


def test_a_training_that_stands_still_for_the_other_waits_for_it() -> None:
    turn = [0.9, 0.9, 0.0, 0.0]

    assert waits_for_it(_slots(turn * 5, [0.9 - v for v in turn * 5]))


def test_two_that_share_the_gpu_do_not_wait_however_the_second_comes_and_goes() -> None:
    assert not waits_for_it(_slots([0.9, 0.9, 0.45, 0.45] * 5, [0.0, 0.0, 0.45, 0.45] * 5))


def test_three_turns_are_too_few_to_tell() -> None:
    turn = [0.9, 0.9, 0.0, 0.0]

    assert not waits_for_it(_slots(turn * 3, [0.9 - v for v in turn * 3]))


def test_turns_within_a_slot_cannot_be_told_from_sharing() -> None:
    assert not waits_for_it(_slots([0.45] * 20, [0.45] * 20))


def _rollouts(exe: str) -> World:
    at, turns = 600.0, []
    for long_s in LONG:
        turns.append((at, at + long_s))
        at += long_s + 420.0
    between = [(60.0, turns[0][0]), *((a[1], b[0]) for a, b in itertools.pairwise(turns))]
    server = Tenant("server", 60, at, share=0.9, ppid=900, exe=exe, pauses=(*between, (turns[-1][1], at)))
    return replace(
        HONEST,
        length_s=at,
        tenants=(replace(TRAIN, pauses=tuple(turns)), server),
        log=Log(pauses=tuple(turns), every=2),
    )


def _of(world: World) -> Judgement:
    return next(j for j in audit_facts(build(world)).judgements if j.run.job_id == 7)


def test_a_rollout_server_of_unequal_rounds_is_no_stranger_where_it_is_the_trainings_program() -> None:
    assert _of(_rollouts(TRAIN.exe)).verdict in (Verdict.CLEAR, Verdict.NOTE)


def test_a_stranger_that_works_while_the_training_stands_still_is_asked_about() -> None:
    assert _of(_rollouts("/tmp/x/worker")).verdict is Verdict.REVIEW


def test_a_stranger_in_regular_bursts_takes_no_turns_with_a_training_that_does_not_rest() -> None:
    bursts = [(float(t), t + 60.0) for t in range(600, 10_800, 240)]
    between = [(60.0, 600.0), *((a[1], b[0]) for a, b in itertools.pairwise(bursts))]
    stranger = Tenant("other", 60, 10_800, share=0.6, ppid=900, exe="/tmp/x/worker", pauses=tuple(between))

    judgement = _of(replace(HONEST, tenants=(TRAIN, stranger)))

    assert "extra-context" in {f.check for f in judgement.findings if f.weight >= ASKS}

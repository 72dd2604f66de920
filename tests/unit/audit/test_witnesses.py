"""Which findings of one run confirm each other: those that speak of the same work."""

from dataclasses import replace

from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Judgement, Verdict
from tests.builders import Log, Tenant, World, build
from tests.shapes import HONEST, OTHER, TRAIN, facts_of
from tests.talk import Talk

DEARER = Log(paces=((0, 6.0), (4000, 7.8)))  # of steps alone: layers unfrozen, longer sequences


def _of(world: World) -> Judgement:
    return next(j for j in audit_facts(build(world)).judgements if j.run.job_id == 7)


def _checks(judgement: Judgement) -> set[str]:
    return {f.check for f in judgement.findings if f.weight >= 1.0}


def test_a_rise_and_an_unnamed_evaluation_of_other_hours_are_asked_about() -> None:
    judgement = _of(replace(HONEST, log=replace(DEARER, until_s=8700)))

    assert _checks(judgement) == {"work-residual", "busy-while-silent"}
    assert judgement.verdict is Verdict.REVIEW
    # The silence is in the lower bound, the rise is not: larger steps look the same.
    assert judgement.unexplained.lo_gpu_ms < 1.1 * 2_100_000


def test_a_strangers_spell_and_a_rise_that_came_later_are_two_things() -> None:
    spell = replace(OTHER, from_s=600, until_s=2400)

    apart = _of(replace(HONEST, tenants=(TRAIN, spell), log=replace(DEARER, paces=((0, 6.0), (5000, 7.8)))))

    assert {"extra-context", "work-residual"} <= _checks(apart)
    assert apart.verdict is Verdict.REVIEW


def test_a_stranger_and_the_work_that_progress_leaves_over_while_it_is_there_are_an_alert() -> None:
    assert next(iter(audit_facts(facts_of("co-tenant")).judgements)).verdict is Verdict.ALERT
    from_start = _of(
        replace(HONEST, tenants=(TRAIN, Tenant("x", 60, 1e9, share=0.4, exe="/tmp/x", ppid=900)))
    )
    assert from_start.verdict is Verdict.REVIEW  # no stretch without it: the price of a step is not known


def _held_open(world: World) -> World:
    """An ssh session to outside that was left open: keep-alives and nothing else."""
    return replace(
        world, talk=(Talk("203.0.113.9:22", 600.0, 10_700, exe="/usr/bin/ssh", out_b=9000, in_b=9000),)
    )


def test_an_idle_session_confirms_neither_a_rise_nor_a_silence() -> None:
    for log in (DEARER, replace(HONEST.log or Log(), until_s=8700)):
        judgement = _of(_held_open(replace(HONEST, log=log)))

        assert "lone-connection" in _checks(judgement)
        assert judgement.verdict is Verdict.REVIEW
    rise = _of(_held_open(replace(HONEST, log=DEARER)))
    assert rise.unexplained.lo_gpu_ms == 0  # the reading of a lasting rise is not lifted by it


def test_records_that_came_in_bulk_confirm_no_rise() -> None:
    judgement = _of(replace(HONEST, log=replace(DEARER, flags=("bulk",))))

    assert {"work-residual", "log-integrity"} <= _checks(judgement)
    assert judgement.verdict is Verdict.REVIEW
    assert judgement.unexplained.lo_gpu_ms == 0


def test_a_stranger_that_was_there_all_the_time_explains_no_rise_that_came_in_the_middle() -> None:
    steady = replace(OTHER, from_s=30, until_s=1e9, share=0.3)

    judgement = _of(replace(HONEST, tenants=(replace(TRAIN, share=0.6), steady), log=DEARER))

    assert {"extra-context", "work-residual"} <= _checks(judgement)
    assert judgement.verdict is Verdict.REVIEW

"""What is said of processes on GPUs that tell of nobody's time, and of instances that tell of their SMs."""

from dataclasses import replace

import pytest

from slurm_guard.audit.check import ASKS
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Account, Finding, Judgement, Verdict
from tests.builders import Log, Tenant, World, build
from tests.shapes import EVALUATOR, OTHER, SHAPES, TRAIN, facts_of

INSTANCE = SHAPES["instance"]


def _of(world: World, job_id: int = 7) -> Judgement:
    return next(j for j in audit_facts(build(world)).judgements if j.run.job_id == job_id)


SLOWER = ((0.0, 6.0), (4000.0, 7.5))


def _with_child(pace: tuple[tuple[float, float], ...], *children: Tenant) -> Judgement:
    return _of(replace(INSTANCE, log=Log(paces=pace), tenants=(TRAIN, *children)))


def _said(judgement: Judgement) -> list[Finding]:
    return [f for f in judgement.findings if f.check == "listed-process"]


def _shape(name: str) -> Judgement:
    return next(j for j in audit_facts(facts_of(name)).judgements if j.run.job_id == 7)


def test_a_process_of_another_program_on_an_instance_is_asked_about_though_nothing_counts_its_work() -> None:
    judgement = _shape("instance-shared")

    assert judgement.verdict is Verdict.REVIEW
    assert not any(f.hard for f in judgement.findings)
    assert judgement.ledger_gpu_ms[Account.UNOBSERVED.value] == judgement.run.allocated_gpu_ms
    assert judgement.unexplained.hi_gpu_ms == 0  # identity has no figure


@pytest.mark.parametrize(
    "other",
    [
        replace(OTHER, exe=TRAIN.exe, script="train.py"),  # perhaps a part of it
        replace(OTHER, exe=TRAIN.exe, script="-c from multiprocessing.spawn import spawn_main"),
        replace(OTHER, until_s=1000),  # for two minutes
        replace(OTHER, from_s=0, until_s=50),  # before the training, and gone
    ],
)
def test_what_may_be_part_of_the_training_is_not_asked_about(other: Tenant) -> None:
    assert _of(replace(INSTANCE, tenants=(TRAIN, other))).verdict is Verdict.NOT_AUDITABLE


def test_another_script_of_the_same_interpreter_is_asked_about_where_steps_are_longer_beside_it() -> None:
    server = replace(OTHER, exe=TRAIN.exe, from_s=4000, until_s=1e9)

    assert _with_child(SLOWER, server).verdict is Verdict.REVIEW
    assert _with_child((), server).verdict is Verdict.NOT_AUDITABLE  # it takes its turns in pauses, perhaps


def test_many_short_processes_of_one_program_are_told_together_and_no_longer_than_they_lived() -> None:
    def each(work_s: float) -> tuple[Tenant, ...]:
        begins = range(600, 10_000, 70)
        return tuple(
            replace(OTHER, exe=TRAIN.exe, name=f"run{k}", from_s=b, until_s=b + work_s)
            for k, b in enumerate(begins)
        )

    assert _of(replace(INSTANCE, tenants=(TRAIN, *each(35.0)))).verdict is Verdict.REVIEW
    probes = _of(replace(INSTANCE, tenants=(TRAIN, *each(2.0))))  # a look now and then
    assert probes.verdict is Verdict.NOT_AUDITABLE


def test_a_child_is_asked_about_where_steps_are_longer_since_it_came() -> None:
    child = replace(EVALUATOR, from_s=4000)

    (said,) = _said(_with_child(SLOWER, child))

    assert said.weight == ASKS
    assert "pace was lower by at least" in said.sentence
    assert not _said(_with_child((), child))  # an evaluator that holds its memory and waits
    assert not _said(_with_child(SLOWER, replace(child, script="train.py")))  # a forked worker
    assert not _said(_with_child(SLOWER, replace(child, from_s=60)))  # nothing to compare with
    comes = tuple((float(at), 6.0 + 3.0 * (k % 2)) for k, at in enumerate(range(4000, 10_800, 450)))
    assert not _said(_with_child(comes, child))  # it evaluates now and then
    assert not _said(_with_child(((0.0, 7.5), (4000.0, 6.0)), child))  # quicker


def test_children_that_come_anew_are_asked_about_where_they_are_there_most_of_the_time() -> None:
    def each(work_s: float) -> list[Tenant]:
        begins = range(1200, 10_000, 900)
        return [
            replace(EVALUATOR, name=f"eval{k}", from_s=b, until_s=b + work_s) for k, b in enumerate(begins)
        ]

    assert _said(_with_child((), *each(660.0)))
    assert not _said(_with_child((), *each(300.0)))


def test_a_stranger_on_an_instance_is_told_in_favour_of_the_run_that_holds_it() -> None:
    (said,) = _said(_shape("instance-victim"))

    assert said.weight < 0


def test_a_process_of_the_owner_outside_the_job_is_asked_about() -> None:
    outside = replace(OTHER, job_id=None)

    assert _of(replace(INSTANCE, tenants=(TRAIN, outside))).verdict is Verdict.REVIEW


def test_a_process_on_another_runs_instance_is_held_against_the_run_that_it_comes_from() -> None:
    far = replace(OTHER, gpus=(2,))
    victim = replace(TRAIN, name="victim", gpus=(2,), uid=2000, job_id=8)
    world = replace(INSTANCE, board_gpus=3, tenants=(TRAIN, far, victim))

    assert _of(world).verdict is Verdict.REVIEW
    assert [f.weight for f in _said(_of(world, 8))] == [-1.0]


def test_without_a_log_one_of_two_unlike_programs_is_asked_about_and_none_is_called_the_logger() -> None:
    (said,) = _said(_of(replace(INSTANCE, log=None, tenants=(TRAIN, OTHER))))

    assert said.weight == ASKS
    assert "nothing tells which logs" in said.sentence


@pytest.mark.parametrize(
    "other", [replace(OTHER, exe=TRAIN.exe), replace(OTHER, ppid=100), replace(OTHER, until_s=1000)]
)
def test_without_a_log_what_has_anything_in_common_is_not_asked_about(other: Tenant) -> None:
    assert not _said(_of(replace(INSTANCE, log=None, tenants=(TRAIN, other))))


def test_another_script_of_the_launcher_is_asked_about_and_a_child_is_not() -> None:
    trainer = replace(TRAIN, ppid=60, parents=("torchrun", "bash"))
    launched = replace(trainer, name="other")
    child = replace(launched, ppid=100, parents=("train", "torchrun"))

    assert [f.weight for f in _said(_of(replace(INSTANCE, tenants=(trainer, launched))))] == [ASKS]
    assert not _said(_of(replace(INSTANCE, tenants=(trainer, child))))


def test_where_times_are_told_the_list_says_nothing() -> None:
    assert not _said(_shape("co-tenant"))


def test_an_instance_that_tells_of_its_sms_is_audited_by_them() -> None:
    honest, diverting = _shape("instance-hopper"), _shape("instance-hopper-diversion")

    assert honest.verdict is Verdict.CLEAR
    assert honest.cost.channel == "cycles"
    assert honest.ledger_gpu_ms[Account.UNOBSERVED.value] == 0
    assert diverting.verdict is Verdict.REVIEW


def test_sm_time_without_a_clock_holds_nothing_against_the_run_as_busy_time_does() -> None:
    """A hot board clocks down, and its steps take longer: only cycles do not change with the clock."""
    diverting = _of(replace(SHAPES["instance-hopper-diversion"], meters=("gpm",)))

    assert diverting.cost.channel == "busy"
    assert diverting.ledger_gpu_ms[Account.UNOBSERVED.value] == 0
    assert diverting.unexplained.lo_gpu_ms == 0
    assert diverting.unexplained.hi_gpu_ms > 1_000_000


def test_sm_time_is_not_asked_where_a_meter_answers() -> None:
    with_both = replace(INSTANCE, meters=("energy", "gpm"))

    assert _of(with_both).cost.channel == "energy"


def test_without_power_empty_pipes_tell_a_hang_from_other_work() -> None:
    """Neither has a meter of power: polling leaves the pipes empty, a filler does not."""

    def after(pipe: float) -> Judgement:
        rest = replace(TRAIN, from_s=5400, share=1.0, pipe=pipe, period_s=None)
        tenants = (replace(TRAIN, until_s=5400, pipe=0.6), rest)
        return _of(replace(INSTANCE, meters=("gpm",), tenants=tenants, log=Log(until_s=5400)))

    assert after(0.06).verdict is Verdict.NOTE
    assert "hang" in after(0.06).classes
    assert after(0.7).verdict is Verdict.REVIEW

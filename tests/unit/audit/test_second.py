"""Second programs that little ties to the training: which they are, and when they are asked about."""

from dataclasses import replace
from itertools import pairwise

import pytest

from slurm_guard.audit import owners
from slurm_guard.audit.holds import GpuUser, LogHold
from slurm_guard.audit.programs import are_apart, script_of
from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.second import candidates
from slurm_guard.model import Account, Finding, Judgement, Verdict
from tests.builders import Log, Tenant, World, build
from tests.shapes import EVALUATOR, HONEST, OTHER, SHAPES, STAYING, TRAIN, facts_of

PYTHON = "/usr/bin/python3.11"


def _of(world: World) -> Judgement:
    return next(j for j in audit_facts(build(world)).judgements if j.run.job_id == 7)


def _shape(name: str) -> Judgement:
    return next(j for j in audit_facts(facts_of(name)).judgements if j.run.job_id == 7)


def _said(judgement: Judgement) -> list[Finding]:
    return [f for f in judgement.findings if f.check == "second-program"]


@pytest.mark.parametrize(
    ("cmdline", "script"),
    [
        ("python train.py --lr 1", "train.py"),
        ("/v/bin/python3 -u -X dev -W ignore runs/a/train.py", "train.py"),
        ("python -m vllm.serve --port 1", "-m vllm.serve"),
        ("python -c import x", "-c"),
        ("python -c from multiprocessing.spawn import spawn_main; spawn_main(5)", None),  # part of its parent
        ("ray::RolloutWorker.generate", None),  # a title that it gave itself
        ("VLLM::EngineCore 1", None),
        ("python", None),
        ("python -u", None),
        ("python -m", None),
        ("", None),
        (None, None),
    ],
)
def test_a_command_line_names_its_script(cmdline: str | None, script: str | None) -> None:
    assert script_of(PYTHON, cmdline) == script


def test_programs_are_apart_only_where_both_are_known() -> None:
    train, other = (PYTHON, "python train.py"), (PYTHON, "python b/other.py")

    assert are_apart(train, other)
    assert are_apart(train, ("/opt/solver", None))
    assert not are_apart(train, (PYTHON, "python a/train.py --rank 2"))
    assert not are_apart(train, (PYTHON, None))
    assert not are_apart(train, (None, "python other.py"))
    assert not are_apart(("/opt/solver", "solver a"), ("/opt/solver", "solver b"))


def test_a_child_of_another_script_is_asked_about_and_nothing_of_it_is_held_below() -> None:
    judgement = _shape("child-stays")

    assert judgement.verdict is Verdict.REVIEW
    assert [f.check for f in judgement.findings if f.weight > 0] == ["second-program"]
    assert judgement.unexplained.lo_gpu_ms == 0
    assert judgement.ledger_gpu_ms[Account.RESIDUAL.value] == 0


def test_a_part_of_the_allocation_is_the_least() -> None:
    little = replace(HONEST, tenants=(replace(TRAIN, share=0.9), replace(STAYING, share=0.04)))

    assert not _said(_of(little))


@pytest.mark.parametrize(
    "child",
    [
        replace(STAYING, until_s=4000),  # less than half of the time
        replace(STAYING, from_s=9000),  # … and of its latter half
        replace(EVALUATOR, pauses=tuple((t - 600.0, float(t)) for t in range(2100, 11_000, 900))),
        # as evaluations do, for six minutes of fifteen
        replace(STAYING, pauses=tuple((t - 540.0, float(t)) for t in range(960, 11_000, 900))),
    ],
)
def test_a_child_that_leaves_or_comes_again_and_again_is_not_asked_about(child: Tenant) -> None:
    assert not _said(_of(replace(HONEST, tenants=(TRAIN, child))))


def test_a_child_that_works_while_the_training_waits_for_it_is_not_asked_about() -> None:
    # Of no like length or distance, and most of the time.
    turns, t = [], 400.0
    for k in range(20):
        turns.append((t, t + 120.0 + 83.0 * (k * 7 % 5)))
        t = turns[-1][1] + 60.0 + 37.0 * (k * 5 % 4)
    rests = tuple((b, a) for (_, b), (a, _) in pairwise(turns))
    child = replace(STAYING, from_s=400, until_s=turns[-1][1], share=0.9, pauses=rests)
    trainer = replace(TRAIN, pauses=tuple(turns))

    judgement = _of(replace(HONEST, tenants=(trainer, child), log=Log(pauses=tuple(turns))))

    assert not _said(judgement)


def test_a_child_that_works_more_while_the_training_rests_than_beside_it_is_not_asked_about() -> None:
    rests = tuple((float(t), t + 600.0) for t in range(600, 10_500, 840))
    trainer, log = replace(TRAIN, share=0.6, pauses=rests), Log(pauses=rests)

    assert not _said(_of(replace(HONEST, tenants=(trainer, STAYING), log=log)))


def test_it_is_no_second_witness() -> None:
    judgement = _shape("helper-stays")

    assert {f.check for f in judgement.findings if f.weight > 0} >= {"second-program", "work-residual"}
    assert judgement.unexplained.lo_gpu_ms >= 0.2 * 3.6e6  # enough for an alert
    assert judgement.verdict is Verdict.REVIEW


def test_it_moves_no_bound() -> None:
    late = replace(SHAPES["late-diversion"], tenants=(replace(TRAIN, period_s=None), STAYING))
    same = replace(late, tenants=(late.tenants[0], replace(STAYING, script="train.py")))

    asked, not_asked = _of(late), _of(same)

    assert _said(asked)
    assert not _said(not_asked)
    assert asked.unexplained == not_asked.unexplained


TRAINER = GpuUser(
    "n1", 1, 1, 1000, 50, PYTHON, "python train.py", ("torchrun",), (), "cgroup", 0.0, 0.0, 1000.0, ("g0",),
    1000, None,
)  # fmt: skip
CHILD = replace(TRAINER, pid=2, ppid=1, cmdline="python other.py")


@pytest.mark.parametrize(("holders", "found"), [((1,), ["child"]), ((1, 2), [])])
def test_where_nothing_tells_who_logs_a_child_is_not_asked_about(
    holders: tuple[int, ...], found: list[str]
) -> None:
    logs = [LogHold("n1", "/log", "stdout", 1000, frozenset(holders))]

    users = owners.link([TRAINER, CHILD], logs, set())

    assert [tie for _, tie in candidates(users, logs, set())] == found


UNTOLD = LogHold("n1", "/log", "stdout", 1000, frozenset({1, 2, 3, 4}))


def _ties(users: list[GpuUser], flows: set[tuple[str, int, int]] | None = None) -> list[tuple[int, str]]:
    linked = owners.link(users, [UNTOLD], flows or set())
    return [(u.pid, tie) for u, tie in candidates(linked, [UNTOLD], flows or set())]


def test_where_nothing_tells_who_logs_another_script_without_a_tie_is_asked_about() -> None:
    other = replace(CHILD, ppid=900, parents=("bash",), sm_ms=300)

    assert _ties([TRAINER, other]) == [(2, "either")]
    assert not _ties([TRAINER, replace(other, cmdline="python train.py --seed 2")])  # another seed of it
    assert not _ties([TRAINER, replace(other, cmdline="ray::Actor.run")])  # it hides its script
    assert not _ties([TRAINER, replace(other, last_at=900.0), replace(TRAINER, pid=3, ppid=2, sm_ms=2)])
    assert not _ties([TRAINER, replace(other, gpus=("g1",))])  # on a GPU of its own


def test_a_tie_of_one_rank_ties_all_of_them_to_a_larger_teacher() -> None:
    ranks = [replace(TRAINER, pid=k, gpus=(f"g{k}",), sm_ms=300) for k in (1, 3)]
    teacher = replace(CHILD, gpus=("g1", "g3"), sm_ms=5000, ppid=900, parents=("bash",))

    assert _ties([teacher, *ranks]) == [(1, "either"), (3, "either")]
    assert not _ties([teacher, *ranks], {("n1", 2, 1)})


def _visits(share: float, from_s: int, work_s: float, **more: object) -> tuple[Tenant, ...]:
    """A new process every ten minutes."""
    begins = range(from_s, 10_500, 600)
    made = (
        replace(STAYING, name=f"save{k}", share=share, from_s=b, until_s=b + work_s)
        for k, b in enumerate(begins)
    )
    return tuple(replace(one, script=f"save.py {k}", **more) for k, one in enumerate(made))  # type: ignore[arg-type]


def test_children_that_start_anew_for_each_piece_of_work_are_one_program() -> None:
    assert _said(_of(replace(HONEST, tenants=(TRAIN, *_visits(0.4, 600, 420.0)))))
    assert not _said(_of(replace(HONEST, tenants=(TRAIN, *_visits(0.4, 600, 180.0)))))  # evaluations


def test_a_saver_that_works_for_minutes_since_some_hour_is_asked_about_and_one_that_saves_is_not() -> None:
    saves = _visits(0.1, 600, 15.0)
    later = [replace(one, share=0.5, until_s=one.from_s + 420) for one in saves[6:]]

    assert _said(_of(replace(HONEST, tenants=(TRAIN, *saves[:6], *later))))
    assert not _said(_of(replace(HONEST, tenants=(TRAIN, *saves))))


def test_a_child_that_came_in_the_middle_and_stays_is_asked_about() -> None:
    came = replace(STAYING, from_s=6500)

    assert _said(_of(replace(HONEST, tenants=(TRAIN, came))))
    assert not _said(_of(replace(HONEST, tenants=(TRAIN, replace(came, until_s=8500)))))  # once, and gone


@pytest.mark.parametrize("flows", [{("n1", 2, 3)}, {("n1", 3, 2)}])
def test_a_connection_to_any_rank_is_enough(flows: set[tuple[str, int, int]]) -> None:
    logs = [LogHold("n1", "/log", "fd", 1000, frozenset({1}))]
    rank = replace(TRAINER, pid=3, gpus=("g1",))

    users = owners.link([TRAINER, rank, CHILD], logs, flows)

    assert not candidates(users, logs, flows)
    assert candidates(users, logs, set())


@pytest.mark.parametrize(
    "other",
    [
        replace(OTHER, exe=TRAIN.exe),  # another case of the same program
        replace(OTHER, ppid=100),  # a child
        replace(OTHER, until_s=5000),  # for less than half of the time
        replace(OTHER, from_s=6000, until_s=1e9),
    ],
)
def test_without_a_log_what_may_belong_together_is_not_asked_about(other: Tenant) -> None:
    assert _of(replace(HONEST, log=None, tenants=(TRAIN, other))).verdict is Verdict.NOT_AUDITABLE


def test_without_a_log_an_unlike_program_is_asked_about_and_has_no_lower_bound() -> None:
    judgement = _shape("unlogged-pair")

    assert judgement.verdict is Verdict.REVIEW
    assert judgement.unexplained.lo_gpu_ms == 0
    assert "no log tells" in _said(judgement)[0].sentence


def test_programs_on_gpus_of_their_own_are_not_beside_each_other_without_a_log() -> None:
    world = replace(SHAPES["unlogged-pair"], gpus=2)
    apart = replace(world, tenants=(TRAIN, replace(world.tenants[1], gpus=(1,))))

    assert not _said(_of(apart))

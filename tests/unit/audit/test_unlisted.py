"""Work that no listed process accounts for, and who else had the GPU's file open: whom it is held against."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from slurm_guard.audit.facts import Facts
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Finding, Judgement, Verdict
from tests.builders import Log, Tenant, World, build
from tests.shapes import HONEST, SHAPES, TRAIN

HIDDEN = Tenant("hidden", 1800, 7200, share=0.8, gpus=(1,), ppid=70, listed=False)
ELSEWHERE = World(board_gpus=3, tenants=(TRAIN, HIDDEN), log=Log())


def _judged(facts: Facts, job_id: int = 7) -> Judgement:
    return next(j for j in audit_facts(facts).judgements if j.run.job_id == job_id)


def _found(facts: Facts, job_id: int = 7) -> list[Finding]:
    return [f for f in _judged(facts, job_id).findings if f.check == "unlisted-holder"]


def _with(facts: Facts, table: str, **columns: Any) -> Facts:
    frame = facts.frames[table]
    changed = frame.with_columns(
        *[pl.lit(value, dtype=frame.schema[name]).alias(name) for name, value in columns.items()]
    )
    return replace(facts, frames={**facts.frames, table: changed})


def test_it_is_soft_and_measures_no_time() -> None:
    facts = build(ELSEWHERE)
    (finding,) = _found(facts)
    judgement = _judged(facts)

    assert (finding.hard, finding.weight, judgement.verdict) == (False, 2.0, Verdict.REVIEW)
    assert judgement.ledger_gpu_ms["foreign"] == 0
    assert audit_facts(facts).outside == ()


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("held", {"uvm": False}),  # a monitor
        ("processes", {"uid": 0}),  # the system's
        ("processes", {"uid": 998}),
        ("processes", {"uid": None}),  # nobody knows whose
        ("windows", {"n_held": None, "n_own": None, "held_truncated": None}),  # nobody looked
        ("windows", {"busy_ms": None}),  # nobody knows whether it worked
        ("windows", {"power_mw": 59_000}),  # busy at the power of an idle board: no meter
        ("windows", {"shared": True}),  # several hold it by right
        ("windows", {"map": "contradicted"}),
        ("tickets", {"gpus": None}),  # which GPUs are its own was not told
    ],
)
def test_what_does_not_hold_together_accuses_nobody(table: str, columns: dict[str, Any]) -> None:
    assert _found(_with(build(ELSEWHERE), table, **columns)) == []


def test_where_others_could_have_done_it_or_were_not_looked_at_it_is_context() -> None:
    two = replace(
        ELSEWHERE,
        tenants=(
            TRAIN,
            HIDDEN,
            Tenant("other", 1800, 7200, 0.0, gpus=(1,), uid=3000, job_id=None, listed=False),
        ),
    )
    several = _found(build(two))
    cut = _found(_with(build(ELSEWHERE), "windows", held_truncated=True))

    assert [f.weight for f in several] == [1.0]
    assert [f.weight for f in cut] == [1.0]
    assert _judged(build(two)).verdict is Verdict.NOTE


def test_a_moment_is_no_finding() -> None:
    brief = replace(ELSEWHERE, tenants=(TRAIN, replace(HIDDEN, until_s=1920.0)))

    assert _found(build(brief)) == []


def test_the_victim_pays_for_nothing_and_its_upper_bound_knows() -> None:
    judgement = _judged(build(SHAPES["unlisted-guest"]))

    assert judgement.verdict in (Verdict.NOTE, Verdict.CLEAR)
    assert judgement.unexplained.lo_gpu_ms == 0
    assert judgement.unexplained.hi_gpu_ms > 0.1 * judgement.run.allocated_gpu_ms


def test_an_unlisted_process_of_the_runs_own_user_excuses_nothing() -> None:
    world = SHAPES["unlisted-guest"]
    own = replace(world, tenants=(world.tenants[0], replace(world.tenants[1], uid=1000)))

    assert _judged(build(own)).unexplained.lo_gpu_ms > 0


def test_a_list_that_names_another_process_accuses_that_one_of_nothing() -> None:
    """The stranger is listed with the time, and has no device file: its number means somebody else."""
    world = replace(
        HONEST, tenants=(replace(TRAIN, share=0.6), Tenant("alien", 1200, 7200, 0.35, uid=2000, job_id=None))
    )
    facts = build(world)
    shares = facts.frames["shares"].with_columns((pl.col("pid") == 100).alias("holds"))
    doubted = replace(facts, frames={**facts.frames, "shares": shares})

    assert len(audit_facts(facts).outside) == 1
    assert audit_facts(doubted).outside == ()
    assert _judged(doubted).ledger_gpu_ms["foreign"] == 0


def test_without_a_list_a_gpu_that_only_others_have_open_is_in_doubt() -> None:
    """And one that the run has open too is its own as far as anybody can see."""
    guest = Tenant("alien", 0, 1e9, share=0.0, uid=2000, job_id=None, listed=False)
    daemon = replace(guest, uid=0)
    why = '{"procs":"NVML gave no process list"}'

    def doubt(tenant: Tenant, n_own: int) -> bool:
        world = build(replace(HONEST, split=False, tenants=(TRAIN, tenant)))
        judgement = _judged(_with(world, "windows", why=why, n_own=n_own))
        assert judgement.ledger_gpu_ms["foreign"] == judgement.ledger_gpu_ms["residual"] == 0
        return any("may or may not be part" in note for note in judgement.notes)

    assert doubt(guest, 0)
    assert not doubt(guest, 1)
    assert not doubt(daemon, 0)


@pytest.mark.parametrize("why", [None, "", "[]", "\x1b[2J", '{"procs": "x"}'])
def test_a_reason_in_other_words_is_none_that_counts(why: str | None) -> None:
    facts = _with(build(replace(HONEST, split=False)), "windows", why=why, n_held=1, n_own=0)

    assert _found(facts) == []
    assert _judged(facts).verdict is not Verdict.REVIEW

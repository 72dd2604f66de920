"""Integer work alone: context where it is flat and without memory, and where nobody says more."""

from dataclasses import replace

import pytest

from slurm_guard.audit.check import SPEAKS
from slurm_guard.audit.registry import CHECKS
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Family, Judgement, Verdict
from tests.builders import Tenant, World, build
from tests.shapes import SHAPES

CHECK = "pipe-mix"
HASHING = SHAPES["integer-hashing"]
HASHER = HASHING.tenants[0]


def test_storage_and_mix_are_no_second_kind_of_evidence() -> None:
    """Rulings and docs/method.md 9: context, beside another family too."""
    weights = {c.id: c.params.weight for c in CHECKS if c.family in (Family.E, Family.H)}

    assert set(weights) == {"claimed-checkpoints", CHECK}
    assert all(0 < weight < SPEAKS for weight in weights.values())


def _judged(world: World) -> Judgement:
    return next(j for j in audit_facts(build(world)).judgements if j.run.job_id == 7)


def _checks(world: World) -> list[str]:
    return [f.check for f in _judged(world).findings]


def _in_turns(pipes: tuple[float, float]) -> tuple[Tenant, ...]:
    """The same process, its integer pipe in two ways by turns."""
    return tuple(
        replace(HASHER, from_s=60.0 + 600 * k, until_s=660.0 + 600 * k, pipe=pipes[k % 2]) for k in range(18)
    )


def test_it_makes_a_note_and_an_unlogged_run_stays_what_it_was() -> None:
    assert _judged(HASHING).verdict is Verdict.NOTE
    unlogged = _judged(SHAPES["integer-unlogged"])
    assert unlogged.verdict is Verdict.NOT_AUDITABLE
    assert "no record of progress" in unlogged.sentence
    assert CHECK in [f.check for f in unlogged.findings]


@pytest.mark.parametrize(
    "world",
    [
        replace(HASHING, tenants=(replace(HASHER, dram=0.2),)),
        replace(HASHING, tenants=(replace(HASHER, pipe=0.5),)),
        replace(HASHING, tenants=(replace(HASHER, floats=0.02),)),
        replace(HASHING, tenants=(replace(HASHER, until_s=3000.0),)),  # less than an hour
        replace(HASHING, tenants=_in_turns((0.98, 0.8))),  # not flat
    ],
)
def test_other_work_on_integers_is_not_mentioned(world: World) -> None:
    assert CHECK not in _checks(world)


@pytest.mark.parametrize(("kind", "said"), [("sieve", False), ("genomics", False), ("pretrain", True)])
def test_a_declared_kind_that_is_no_training_ends_it(kind: str, said: bool) -> None:
    world = replace(HASHING, comments=(f"guard:kind={kind}",) * 2)

    assert (CHECK in _checks(world)) is said

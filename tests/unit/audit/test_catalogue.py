"""Every check keeps its own promises: prose, parameters with an origin, and the examples in its file."""

import dataclasses
import inspect
import re
import sys
from functools import cache

import pytest

from slurm_guard.audit.check import Check, Example
from slurm_guard.audit.registry import CHECKS
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Judgement
from tests.shapes import SHAPES, facts_of

EXPLAINED = [(c, e) for c in CHECKS for e in c.explained]
FLAGGED = [(c, e) for c in CHECKS for e in c.flagged]


@cache
def judged(shape: str) -> Judgement:
    """Job 7 of a shape, judged once."""
    return next(j for j in audit_facts(facts_of(shape)).judgements if j.run.job_id == 7)


def _name(value: object) -> str:
    return value.id if isinstance(value, Check) else value.shape if isinstance(value, Example) else str(value)


def _against(check: Check, shape: str) -> bool:
    """The check speaks, and not in the run's favour."""
    return any(f.check == check.id and f.weight >= 0 for f in judged(shape).findings)


@pytest.mark.parametrize(("check", "example"), EXPLAINED, ids=_name)
def test_an_explained_example_is_not_held_against_the_run(check: Check, example: Example) -> None:
    assert not _against(check, example.shape)


@pytest.mark.parametrize(("check", "example"), FLAGGED, ids=_name)
def test_a_flagged_example_is_found(check: Check, example: Example) -> None:
    assert _against(check, example.shape)


@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_a_check_says_what_it_does_and_does_not(check: Check) -> None:
    texts = (check.title, check.detects, check.does_not_detect, check.false_alarms, check.remedy)

    assert all(text.strip() for text in texts)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.id)
    assert check.explained
    assert check.flagged
    assert all(e.shape in SHAPES for e in (*check.explained, *check.flagged))


@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_every_threshold_states_its_origin(check: Check) -> None:
    source = inspect.getsource(sys.modules[type(check.params).__module__])
    for part in dataclasses.fields(check.params):
        after = source[source.index(f"    {part.name}: ") :][:400]
        assert re.search(r"judgement|measured|documented", after.split("\n\n")[0], re.IGNORECASE), part.name


def test_ids_are_unique() -> None:
    assert len({c.id for c in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_accounts_of_every_shape_sum_to_the_allocation(shape: str) -> None:
    judgement = judged(shape)

    assert sum(judgement.ledger_gpu_ms.values()) == judgement.run.allocated_gpu_ms
    assert min(judgement.ledger_gpu_ms.values()) >= 0
    u = judgement.unexplained
    assert 0 <= u.lo_gpu_ms <= u.mid_gpu_ms <= u.hi_gpu_ms <= judgement.run.allocated_gpu_ms

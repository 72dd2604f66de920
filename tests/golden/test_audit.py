"""The audit of every shape, in one page: what changes here changes verdicts.

To renew: `UPDATE_GOLDEN=1 pytest tests/golden/test_audit.py`, then read the difference before committing it.
"""

import os
from functools import cache
from pathlib import Path

import pytest

from slurm_guard.audit.run import audit_facts
from slurm_guard.document import from_json, to_json
from slurm_guard.model import Audit, Judgement
from tests.shapes import SHAPES, facts_of

GOLDEN = Path(__file__).parent / "audit_shapes.txt"
pytestmark = [pytest.mark.slow, pytest.mark.patient]


def _line(shape: str, judgement: Judgement) -> str:
    """One shape: verdict, trust, bounds and accounts in tenths of a percent, findings with their weights."""
    allocated = max(1, judgement.run.allocated_gpu_ms)

    def percent(ms: int) -> str:
        return f"{100 * ms / allocated:.1f}"

    u = judgement.unexplained
    accounts = " ".join(f"{a}={percent(v)}" for a, v in judgement.ledger_gpu_ms.items() if v)
    found = " ".join(f"{f.check}:{f.weight:+g}" for f in judgement.findings) or "-"
    classes = ",".join(judgement.classes) or "-"
    return (
        f"{shape}\n  {judgement.verdict.value} {judgement.progress.trust} {classes}\n"
        f"  U {percent(u.lo_gpu_ms)} {percent(u.mid_gpu_ms)} {percent(u.hi_gpu_ms)} | {accounts}\n"
        f"  {found}\n  {judgement.sentence}\n"
    )


@cache
def _audit(name: str) -> Audit:
    return audit_facts(facts_of(name))


def test_every_shape_is_judged_as_before() -> None:
    audits = {name: _audit(name) for name in sorted(SHAPES)}
    text = "".join(
        _line(name, next(j for j in audit.judgements if j.run.job_id == 7)) for name, audit in audits.items()
    )

    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")

    assert text == GOLDEN.read_text(encoding="utf-8")


def test_every_shapes_document_survives_the_codec() -> None:
    """In this file: what was audited for the other is not audited anew for it."""
    for name in sorted(SHAPES):
        assert from_json(to_json(_audit(name))) == _audit(name)

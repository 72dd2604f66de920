"""Slots of a run: what came together on the way does not show in them."""

import pytest

from slurm_guard.audit import grid
from slurm_guard.audit.run import audit_facts
from slurm_guard.document import to_json
from tests.shapes import facts_of


@pytest.mark.parametrize("shape", ["honest", "co-tenant", "victim", "rollout"])
@pytest.mark.parametrize("rows", [1, 97])
def test_cells_are_summed_a_few_at_a_time_or_all_at_once_to_the_same_document(
    monkeypatch: pytest.MonkeyPatch, shape: str, rows: int
) -> None:
    at_once = to_json(audit_facts(facts_of(shape)))
    monkeypatch.setattr(grid, "_ROWS", rows)

    assert to_json(audit_facts(facts_of(shape))) == at_once

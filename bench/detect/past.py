"""What earlier nights teach, where the audit can be told; one without a history store has none of it."""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.world.tables import EPOCH_AT
from slurm_guard.audit import facts, run
from slurm_guard.audit.facts import Facts

NIGHTS = 4  # as many as give three runs of two other users
_DAY_S = 86_400.0
_USERS = 3
_STORE = "slurm_guard.lake.history"


def is_there() -> bool:
    """Whether this audit learns from earlier nights."""
    return hasattr(run, "audit_and_remember") and importlib.util.find_spec(_STORE) is not None


def snapshot(rows: Sequence[Any]) -> Any:
    """The history as the audit takes it; null: there is none."""
    if not rows:
        return None
    history: Any = importlib.import_module(_STORE)
    known = history.snapshot("costs", history.frame_of("costs", list(rows)))
    made: Any = getattr(facts, "Snapshot")  # noqa: B009 - an audit without a history has none
    return made(known.frame, known.sha256, known.n_nights)


def remembered(night: Facts, m: int, nights: int) -> list[Any]:
    """The rows that the audit of the m-th of so many earlier nights leaves, as runs of other users."""
    audit_and_remember: Any = getattr(run, "audit_and_remember")  # noqa: B009
    begin_at = EPOCH_AT - _DAY_S * (nights - m)
    return [
        replace(
            row, run=f"{row.run}.{m}", uid=2001 + m % _USERS, from_at=begin_at, until_at=begin_at + _DAY_S
        )
        for row in audit_and_remember(night)[1]
    ]

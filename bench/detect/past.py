"""What earlier nights teach."""

from collections.abc import Sequence
from dataclasses import replace

from bench.world.tables import EPOCH_AT
from slurm_guard.audit.facts import Facts, Snapshot
from slurm_guard.audit.run import audit_and_remember
from slurm_guard.history import PastCost
from slurm_guard.lake import history

NIGHTS = 4  # as many as give three runs of two other users
_DAY_S = 86_400.0
_USERS = 3


def snapshot(rows: Sequence[PastCost]) -> Snapshot | None:
    """The history as the audit takes it; null: there is none."""
    if not rows:
        return None
    known = history.snapshot("costs", history.frame_of("costs", rows))
    return Snapshot(known.frame, known.sha256, known.n_nights)


def remembered(night: Facts, m: int, nights: int) -> list[PastCost]:
    """The rows that the audit of the m-th of so many earlier nights leaves, as runs of other users."""
    begin_at = EPOCH_AT - _DAY_S * (nights - m)
    return [
        replace(
            row, run=f"{row.run}.{m}", uid=2001 + m % _USERS, from_at=begin_at, until_at=begin_at + _DAY_S
        )
        for row in audit_and_remember(night)[1]
    ]

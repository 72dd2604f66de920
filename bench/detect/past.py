"""What earlier nights teach."""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.world.tables import EPOCH_AT
from slurm_guard.audit.alarms import OWN_MODEL, Calls, References
from slurm_guard.audit.facts import Facts, Snapshot
from slurm_guard.audit.run import audit_and_remember
from slurm_guard.history import PastCost
from slurm_guard.lake import history

NIGHTS = 4  # as many as give three runs of two other users
_DAY_S = 86_400.0
_USERS = 3

Known = References  # earlier runs, as the alarm budget asks them


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


def references(runs: Iterable[tuple[str, str, float | None]]) -> Known:
    """Earlier runs as the alarm budget takes them: (user, class, score of a soft ALERT; null: none)."""
    known = References(Calls(), {})
    for user, gpu, score in runs:
        for calls in (known.every, known.models.setdefault(gpu, Calls())):
            calls.n[user] = calls.n.get(user, 0) + 1
            if score is not None:
                insort(calls.scores.setdefault(user, []), score)
                insort(calls.every, score)
    return known


def is_within(known: Known, whose: tuple[str, str], score: float, rate: float) -> bool:
    """Whether a budget of `rate` false alerts a run leaves the soft ALERT of (user, class) one.

    Where too few references are there to reach it, nothing can be said, and the audit changes nothing.
    """
    user, gpu = whose
    own = known.models.get(gpu)
    calls = own if own is not None and own.total >= OWN_MODEL else known.every
    return (calls.without(user) + 1) * rate < 1 or calls.p_value(score, user) <= rate

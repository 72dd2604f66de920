"""Where the GPU time went by account and by partition: the largest few, and the rest summed."""

from collections.abc import Sequence

from slurm_guard import sums
from slurm_guard.model import UNEXPLAINED, Account
from slurm_guard.report import bars, words
from slurm_guard.report.safe import clean_or_dash
from slurm_guard.report.view import GroupRow, Groups
from slurm_guard.report.words import Unit
from slurm_guard.summodel import GroupSum

MOST = 10  # judgement: the eleventh account of a night changes no decision; the document has them all
_KINDS = (("account", "By account"), ("partition", "By partition"))


def build_groups(found: Sequence[GroupSum], unit: Unit) -> tuple[Groups, ...]:
    """A table a kind, the largest allocation first; none of a kind in which no group has a name."""
    tables = []
    for kind, title in _KINDS:
        own = [g for g in found if g.kind == kind]
        if not any(g.name for g in own):
            continue
        rows = [_row(g, clean_or_dash(g.name, 40), unit) for g in own[:MOST]]
        rest = own[MOST:]
        if rest:
            name = f"{words.plural(len(rest), 'other')}, together"
            rows.append(_row(sums.merge(kind, "", rest), name, unit))
        tables.append(Groups(title, kind, tuple(rows)))
    return tuple(tables)


def _row(group: GroupSum, name: str, unit: Unit) -> GroupRow:
    ledger, whole = group.ledger_gpu_ms, sum(group.ledger_gpu_ms.values())
    left = sum(bars.of(ledger, a.value) for a in UNEXPLAINED)
    idle = bars.of(ledger, Account.IDLE.value)
    unseen = bars.of(ledger, Account.UNOBSERVED.value)
    return GroupRow(
        name=name,
        n_runs=f"{group.n_runs:,}",
        allocated=unit.show(group.allocated_gpu_ms),
        explained=words.percent(bars.explained_gpu_ms(ledger), whole),
        idle=words.percent(idle, whole),
        unobserved=words.percent(unseen, whole),
        unexplained=unit.show(left),
        bar=bars.build_bar(ledger, unit),
    )

"""Sums over judged runs: by account, partition and section of the report, and a night in one row. No I/O.

The audit writes them into its document; a report of a part of the runs makes its own by the same functions.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from slurm_guard.model import UNEXPLAINED, Account, Judgement, Verdict
from slurm_guard.sitemodel import BURN_IN as BURN_IN
from slurm_guard.summodel import GroupSum, NightSum

UNMATCHED = "unmatched"
NO_SOURCE = "no-progress-source"  # the class of a run in whose files no progress was found
NOT_READ = "log-unread"  # the class of one in whose files nobody looked: another monitor read its GPUs
PARKED = "parked"
EXPLAINED = "explained"  # section of the runs that were called and that the site has explained
EXPLAINING = (Account.PROGRESS, Account.PHASE, Account.WAIT)
NIGHTS = 30  # of a trend, this one among them. Judgement: a month has every kind of day, and fits a page
_CALLED = (Verdict.ALERT, Verdict.REVIEW)


def is_unmatched(judgement: Judgement) -> bool:
    """Whether there is nothing to set the run's work against: it is then not unexplained, whatever else about
    the run asks for a look."""
    no_log = not {NO_SOURCE, NOT_READ}.isdisjoint(judgement.classes) and judgement.unexplained.lo_gpu_ms == 0
    return no_log or judgement.verdict is Verdict.NOT_AUDITABLE


def is_set_aside(judgement: Judgement) -> bool:
    """It was called, and nothing is left to ask for a look."""
    return judgement.left is not None and not judgement.asks and judgement.verdict in _CALLED


def shown_ledger(judgement: Judgement) -> dict[str, int]:
    """The accounts, own work of a run that could not be audited as unmatched."""
    ledger = dict(judgement.ledger_gpu_ms)
    if is_unmatched(judgement):
        own = ledger.pop(Account.RESIDUAL.value, 0) + ledger.pop(Account.CONTRADICTION.value, 0)
        ledger[UNMATCHED] = own
    return ledger


def section_of(judgement: Judgement) -> str:
    """Where a report shows the run: its verdict, but burn-in that asks for nothing, `explained` and `parked`
    are sections of their own."""
    if judgement.burn_in is not None and not judgement.asks:
        return BURN_IN
    if is_set_aside(judgement):
        return EXPLAINED
    if judgement.verdict is Verdict.NOTE and PARKED in judgement.classes:
        return PARKED
    return judgement.verdict.value


def groups(judgements: Sequence[Judgement], cluster: str) -> tuple[GroupSum, ...]:
    """The cluster's sum, then those by account, partition and section, the largest allocation first."""
    accounts = _by("account", judgements, lambda j: j.run.account)
    return (
        merge("cluster", cluster, accounts),
        *accounts,
        *_by("partition", judgements, lambda j: j.run.partition),
        *_by("section", judgements, section_of),
    )


def _by(kind: str, judgements: Iterable[Judgement], key: Callable[[Judgement], str]) -> list[GroupSum]:
    parts: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        parts.setdefault(key(judgement), []).append(judgement)
    found = [sum_up(kind, name, own) for name, own in parts.items()]
    return sorted(found, key=lambda g: (-g.allocated_gpu_ms, g.name))


def sum_up(kind: str, name: str, judgements: Iterable[Judgement]) -> GroupSum:
    """One group's runs together."""
    own = list(judgements)
    ledger: dict[str, int] = {}
    for judgement in own:
        for account, part in shown_ledger(judgement).items():
            ledger[account] = ledger.get(account, 0) + part
    whole = sum(j.run.allocated_gpu_ms for j in own)
    return GroupSum(kind, name, len(own), whole, dict(sorted(ledger.items())))


def merge(kind: str, name: str, parts: Sequence[GroupSum]) -> GroupSum:
    """Several groups as one."""
    ledger: Counter[str] = Counter()
    for part in parts:
        ledger.update(part.ledger_gpu_ms)
    n_runs, whole = sum(p.n_runs for p in parts), sum(p.allocated_gpu_ms for p in parts)
    return GroupSum(kind, name, n_runs, whole, dict(sorted(ledger.items())))


def of_night(judgements: Sequence[Judgement], window: tuple[float, float]) -> NightSum:
    """The whole night in one row."""
    ledger = sum_up("cluster", "", judgements).ledger_gpu_ms
    counts = Counter(j.verdict for j in judgements if not is_set_aside(j))
    return NightSum(
        *window,
        n_runs=len(judgements),
        n_alert=counts[Verdict.ALERT],
        n_review=counts[Verdict.REVIEW],
        n_note=counts[Verdict.NOTE],
        n_clear=counts[Verdict.CLEAR],
        n_not_auditable=counts[Verdict.NOT_AUDITABLE],
        n_explained=sum(map(is_set_aside, judgements)),
        allocated_gpu_ms=sum(j.run.allocated_gpu_ms for j in judgements),
        explained_gpu_ms=_of(ledger, *(a.value for a in EXPLAINING)),
        idle_gpu_ms=_of(ledger, Account.IDLE.value),
        unobserved_gpu_ms=_of(ledger, Account.UNOBSERVED.value),
        unmatched_gpu_ms=_of(ledger, UNMATCHED),
        unexplained_gpu_ms=_of(ledger, *(a.value for a in UNEXPLAINED)),
        unexplained_lo_gpu_ms=sum(j.unexplained.lo_gpu_ms for j in judgements if not is_unmatched(j)),
    )


def _of(ledger: Mapping[str, int], *names: str) -> int:
    return sum(ledger.get(name, 0) for name in names)


def trend(earlier: Iterable[NightSum | None], tonight: NightSum) -> tuple[NightSum, ...]:
    """The last NIGHTS nights, this one last; nights whose index has no sums are left out."""
    known = [night for night in earlier if night is not None]
    return (*known[-(NIGHTS - 1) :], tonight)

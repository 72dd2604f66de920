"""The alarm budget: as many soft ALERTs as keep the expected false ones a night within what the site accepts.

A soft ALERT's p-value is its rank among runs of earlier nights that were presumably clean: (1 + k) / (n + 1)
with k of n references called by the rule at that score or above. With N runs tonight, calling only those
with p <= budget / N makes at most `budget` false alerts a night in expectation (rulings 21). The smallest
p that n references can give is 1 / (n + 1): below N / budget of them nothing can be said or changed.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from slurm_guard.audit.past import BEYOND
from slurm_guard.model import Judgement, Verdict
from slurm_guard.sitemodel import AlarmBudget
from slurm_guard.siteword import PastNight, SiteWords

# References of one GPU model from which they are asked instead of all. Documented (ledger notes 7.4: a
# thousand for p = 0.001); it must not depend on the budget, else a larger one could allow fewer alerts.
OWN_MODEL = 1000
_ROOM = 1 + 1e-9  # for what is equal but for rounding


@dataclass(frozen=True, slots=True)
class Calls:
    """Earlier runs: how many by user, and the scores of those that were called softly, in order."""

    n: dict[str, int] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    every: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        """References of all users."""
        return sum(self.n.values())

    def without(self, user: str) -> int:
        """References of other users: nobody's own runs speak for or against him."""
        return self.total - self.n.get(user, 0)

    def above(self, score: float, user: str) -> int:
        """Calls at that score or above, of others than the user."""
        own = self.scores.get(user, [])
        return len(self.every) - bisect_left(self.every, score) - len(own) + bisect_left(own, score)

    def p_value(self, score: float, user: str) -> float:
        """The score's rank among n references of other users: above 0, at least 1 / (n + 1)."""
        return (1 + self.above(score, user)) / (self.without(user) + 1)


@dataclass(frozen=True, slots=True)
class References:
    """All, and by GPU model."""

    every: Calls
    models: dict[str, Calls]

    def of(self, judgement: Judgement) -> Calls:
        """Those that the run is compared with."""
        own = self.models.get(judgement.run.gpu_type or "")
        return own if own is not None and own.total >= OWN_MODEL else self.every


def references(past: Sequence[PastNight], words: SiteWords) -> References:
    """Runs of earlier nights without a hard fact, less those that were called rightly or are explained."""
    gone = {d.subject.run for d in words.dispositions if d.word == "right"}
    gone |= {e.subject.run for e in words.exemptions}
    found = References(Calls(), {})
    for night in past:
        for cell in night.cells:
            _add(found, (cell.gpu, cell.user), cell.n, None)
        for asked in night.asked:
            if not (asked.hard or asked.is_explained or asked.run in gone):
                called = asked.verdict is Verdict.ALERT
                _add(found, (asked.gpu, asked.user), 1, asked.score if called else None)
    return found


def _add(found: References, whose: tuple[str, str], n: int, score: float | None) -> None:
    gpu, user = whose
    for calls in (found.every, found.models.setdefault(gpu, Calls())):
        calls.n[user] = calls.n.get(user, 0) + n
        if score is not None:
            insort(calls.scores.setdefault(user, []), score)
            insort(calls.every, score)


def is_met(judgement: Judgement) -> bool:
    """A run that a false alert could meet: judged, without a hard fact, not explained by the site, and no
    burn-in, whose work is not looked at."""
    hard = any(f.hard and f.weight > 0 for f in judgement.findings)
    explained = judgement.left is not None and not judgement.asks
    judged = judgement.verdict is not Verdict.NOT_AUDITABLE and judgement.burn_in is None
    return judged and not hard and not explained


def spend(
    judgements: Sequence[Judgement], known: References, allowed: float
) -> tuple[list[Judgement], AlarmBudget]:
    """The judgements with soft ALERTs beyond the budget as REVIEW, and the account of it."""
    n_runs = sum(map(is_met, judgements))
    total = known.every.total
    if allowed <= 0 or n_runs == 0:
        return list(judgements), AlarmBudget(allowed, None, n_runs, total, 0, 0)
    n_needed = max(0, ceil(n_runs / (allowed * _ROOM)) - 1)
    done = [
        _weighed(j, known.of(j), (allowed, n_runs, n_needed))
        if j.verdict is Verdict.ALERT and is_met(j)
        else j
        for j in judgements
    ]
    demoted = sum(BEYOND in j.classes for j in done)
    return done, AlarmBudget(
        allowed, _expected(known.every, n_runs, allowed), n_runs, total, n_needed, demoted
    )


def _weighed(judgement: Judgement, calls: Calls, budget: tuple[float, int, int]) -> Judgement:
    allowed, n_runs, n_needed = budget
    n = calls.without(judgement.run.user)
    if n < n_needed:
        return judgement
    k = calls.above(judgement.score, judgement.run.user)
    p_value = calls.p_value(judgement.score, judgement.run.user)
    seen = replace(judgement, p_value=round(p_value, 9))
    if n_runs * p_value <= allowed * _ROOM:
        return seen
    why = (
        f" By its evidence this would be an ALERT. Of {n:,} earlier runs of other users {k:,} were called at "
        "this score or above without being found right: a night like this one would bring "
        f"{n_runs * p_value:.2g} false alerts, and the site accepts {allowed:g}. Hence REVIEW."
    )
    classes = tuple(sorted({*judgement.classes, BEYOND}))
    return replace(seen, verdict=Verdict.REVIEW, classes=classes, sentence=judgement.sentence + why)


def _expected(calls: Calls, n_runs: int, allowed: float) -> float | None:
    """Expected false alerts at the lowest score that is still called; null: too few references to say."""
    n = calls.total
    counts = [0, *(len(calls.every) - bisect_left(calls.every, t) for t in dict.fromkeys(calls.every))]
    within = [e for k in counts if (e := n_runs * (1 + k) / (n + 1)) <= allowed * _ROOM]
    return round(max(within), 6) if within else None

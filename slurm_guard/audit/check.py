"""What a check is: a frozen record holding a function, its prose and its own examples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slurm_guard.audit.case import Case
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity

# Caps of the weights of evidence, natural log (ledger notes 7.4). Documented.
HARD = 6.0
SOFT = 3.0
SPEAKS = 1.0  # a finding of less weight is context. Judgement.
ASKS = 2.0  # one of at least this weight is worth a person's look by itself. Judgement.


@dataclass(frozen=True, slots=True)
class Example:
    """A case in words with what the check must say. `shape` is a name that tests/shapes.py has."""

    shape: str
    why: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `params` is the file's Params."""

    id: str
    title: str
    family: Family
    detects: str
    does_not_detect: str
    false_alarms: str
    remedy: str
    params: Any
    find: Callable[[Case, Any], list[Finding]]
    explained: tuple[Example, ...]
    flagged: tuple[Example, ...]
    attack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rating:
    """How a finding is meant: three separate decisions, and the weight."""

    severity: Severity
    confidence: float
    weight: float
    audience: Audience = Audience.AUDITOR
    hard: bool = False


def finding(check: Check, case: Case, rating: Rating, sentence: str, *evidence: Evidence) -> Finding:
    """A finding of `check` on the case's run; its weight is capped by its kind."""
    cap = HARD if rating.hard else SOFT
    return Finding(
        check.id,
        case.run.id,
        check.family,
        rating.severity,
        rating.confidence,
        max(-cap, min(cap, rating.weight)),
        rating.hard,
        rating.audience,
        sentence,
        evidence,
        check.attack,
    )

"""The site's own word on its runs, and what earlier nights were like: values and what they mean. No I/O."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from slurm_guard.model import Finding, Run, Verdict
from slurm_guard.summodel import NightSum

SCOPES = ("run", "job-name", "user", "account")  # the narrowest first
WORDS = ("right", "wrong", "unclear")
USUAL_DAYS = 30  # of an exemption without --until. Judgement: a month's work is explained, not a career
MOST_DAYS = 366  # Judgement: what is meant for longer belongs into the configuration
MOST_REASON = 1000  # characters
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who said it: `name` is the person behind sudo; `login_uid` the kernel's word for who logged in."""

    name: str
    uid: int
    login_uid: int | None  # null: nobody logged in (cron), or the kernel does not tell


@dataclass(frozen=True, slots=True)
class Subject:
    """The run that was spoken of, as the document of that night had it."""

    run: str  # published id
    cluster: str
    job: str
    user: str
    uid: int | None
    account: str
    name: str
    start_at: float


@dataclass(frozen=True, slots=True)
class Exemption:
    """Findings of these checks need no look, on the runs of the scope, until then."""

    id: int
    said_at: float
    by: Speaker
    subject: Subject
    scope: str  # run, job-name, user, account
    checks: tuple[str, ...]
    hard: tuple[str, ...]  # of these checks, those of which hard facts are meant, too
    until_at: float
    reason: str

    def is_for(self, run: Run) -> bool:
        """Whether the run lies in the scope: itself, or one that began no earlier, before the end.

        A name that accounting does not know (empty) is nobody's: it widens nothing.
        """
        of = self.subject
        if run.cluster != of.cluster or run.from_at >= self.until_at:
            return False
        if run.id == of.run:
            return True
        if self.scope == "run" or run.start_at < of.start_at:
            return False
        if self.scope == "account":
            return of.account != "" and run.account == of.account
        same_user = of.user != "" and (run.user, run.uid) == (of.user, of.uid)
        return same_user and (self.scope == "user" or (of.name != "" and run.name == of.name))

    def covers(self, run: Run, finding: Finding) -> bool:
        """Whether this finding needs no look."""
        named = self.hard if finding.hard else self.checks
        return finding.check in named and self.is_for(run)


@dataclass(frozen=True, slots=True)
class Disposition:
    """What came out when somebody had looked: whether the run had been called rightly."""

    id: int
    said_at: float
    by: Speaker
    subject: Subject
    word: str  # right, wrong, unclear
    verdict: Verdict  # as it was called
    checks: tuple[str, ...]  # that called it
    note: str


@dataclass(frozen=True, slots=True)
class SiteWords:
    """All that holds: nothing withdrawn; of several dispositions of a run the last."""

    exemptions: tuple[Exemption, ...] = ()
    dispositions: tuple[Disposition, ...] = ()

    def during(self, from_at: float) -> "SiteWords":
        """Without the exemptions that had ended when the window began: they can cover nothing in it."""
        return SiteWords(tuple(e for e in self.exemptions if e.until_at > from_at), self.dispositions)

    @property
    def up_to(self) -> int:
        """The highest number; 0: nothing was said."""
        ids = [e.id for e in self.exemptions] + [d.id for d in self.dispositions]
        return max(ids, default=0)


@dataclass(frozen=True, slots=True)
class Cell:
    """Runs of one earlier night that were alike and asked for nothing."""

    gpu: str  # Slurm's GPU type; empty: untyped
    n_gpus: int
    user: str
    verdict: Verdict
    score: float  # to a tenth
    n: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A run of an earlier night that was an ALERT or a REVIEW."""

    run: str
    user: str
    name: str
    gpu: str
    n_gpus: int
    verdict: Verdict  # by the rule, whatever the alarm budget made of it
    hard: bool
    score: float
    checks: tuple[str, ...]  # that spoke
    explained: tuple[str, ...]  # of those, what an exemption covered
    is_explained: bool  # nothing was left to ask for a look


@dataclass(frozen=True, slots=True)
class PastNight:
    """One audited night, small enough to be remembered. `n_left_out`: runs beyond its bounds."""

    cluster: str
    from_at: float
    until_at: float
    cells: tuple[Cell, ...]
    asked: tuple[Asked, ...]
    n_left_out: int = 0
    sums: NightSum | None = None  # null: audited by a release that kept none


def digest_of(words: SiteWords, past: Sequence[PastNight]) -> str:
    """SHA-256 that is the same whenever the same was said and remembered."""
    whole = [dataclasses.asdict(words), [_rows(night) for night in past]]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# dataclasses.asdict takes two seconds for sixty large nights.
_CELL = attrgetter(*(part.name for part in dataclasses.fields(Cell)))
_ASKED = attrgetter(*(part.name for part in dataclasses.fields(Asked)))


def _rows(night: PastNight) -> list[object]:
    head = [night.cluster, night.from_at, night.until_at, night.n_left_out]
    return [*head, list(map(_CELL, night.cells)), list(map(_ASKED, night.asked))]

"""What a document says of the site's own word: exemptions, recurrence, precision in the field, alarm budget.

Nouns of the audit document like those of model.py, which holds them; see docs/decisions.md.
"""

from dataclasses import dataclass

IN_MAINTENANCE = "in maintenance"  # how a silent node's note begins that the site has spoken of
BURN_IN = "burn-in"  # class of a run that the configuration names as one, and scope of what it explains


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A time in which nodes were in the site's hands, clipped to the audited window."""

    nodes: str  # as a host list
    n_nodes: int
    from_at: float
    until_at: float
    reason: str
    source: str  # guard.toml; slurm: a reservation with the flag MAINT


@dataclass(frozen=True, slots=True)
class Explained:
    """What the site says of one finding of a run: an exemption, or that its job is burn-in."""

    id: int  # as `slurm-guard explain --list` has it; 0: the configuration's word
    check: str  # whose finding it covers
    by: str  # who said it
    scope: str  # run, job-name, user, account; burn-in
    hard: bool  # whether it covers hard facts of the check, too
    until_at: float  # of burn-in the run's end: it holds as long as the configuration says so
    reason: str


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The same check on the same user's jobs of the same name, in the nights before."""

    check: str
    n_nights: int  # nights on which it spoke
    of_nights: int  # nights that were looked at
    n_explained: int  # of the nights on which it spoke, those on which the site had explained it
    n_wrong: int  # … on which its run's disposition is `wrong`


@dataclass(frozen=True, slots=True)
class Precision:
    """How often runs that were called were called rightly, as the site found out afterwards."""

    kind: str  # verdict, check
    name: str
    n_right: int
    n_wrong: int
    n_unclear: int
    lo: float | None  # 95 % (Clopper and Pearson) of right among right and wrong; null: neither
    hi: float | None


@dataclass(frozen=True, slots=True)
class AlarmBudget:
    """How many false alerts this night was expected to bring, and what came of it."""

    allowed: float  # expected false alerts a night that the site accepts; 0: no budget
    expected: float | None  # at the score that is still called; null: too few references to say
    n_runs: int  # runs of this night that a false alert could have met
    n_references: int  # runs of the nights before that it is measured on
    n_needed: int  # references from which they can speak at all
    n_demoted: int  # alerts that became REVIEW


@dataclass(frozen=True, slots=True)
class Site:
    """What the site had said when this audit was made, and what earlier nights were like."""

    digest: str  # SHA-256 of the words and nights that this audit used
    up_to: int  # the highest number among those words: `slurm-guard audit --words-up-to`
    n_exemptions: int  # in force during the window
    n_nights: int  # nights before this one that are remembered
    n_asked: int  # runs that asked for a look in them
    n_disposed: int  # … and have a disposition
    precision: tuple[Precision, ...]
    budget: AlarmBudget

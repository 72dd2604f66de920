"""The page as display strings, for templates, terminal and mail alike; nothing is computed after it."""

from dataclasses import dataclass

from slurm_guard.report.bars import Bar
from slurm_guard.report.charts import Chart


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what stands beside it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """One number and how to see it oneself."""

    what: str
    value: str
    source: str
    see: str
    clears: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """One check's word."""

    check: str
    family: str
    sentence: str
    strength: str  # words for weight and confidence
    hard: bool
    evidence: tuple[EvidenceView, ...]
    attack: str = ""  # techniques of MITRE ATT&CK with their names; empty: none fits
    explained: str = ""  # who explained it; empty: nobody


@dataclass(frozen=True, slots=True)
class EventView:
    """A mark of the timeline in words."""

    n: int
    when: str
    lane: str
    text: str


@dataclass(frozen=True, slots=True)
class TimelineView:
    """Two drawings of the same timeline, and its content in words."""

    wide: Chart
    narrow: Chart
    accounts: tuple[str, ...]  # those that hold something, for the key
    stretches: tuple[str, ...]
    events: tuple[EventView, ...]
    ties: tuple[str, ...]  # words of words.TIES that the events use
    more_events: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as one line of a table."""

    anchor: str
    verdict: str
    slug: str
    job: str
    name: str
    owner: str
    allocated: str
    explained: str
    idle: str
    unobserved: str
    unexplained: str
    bounds: str  # empty: no bounds can be given
    trust: str  # the log word: observed, consistent, claimed-only, contradicted, none
    sentence: str
    aside: str = ""  # why the site says that it needs no look


@dataclass(frozen=True, slots=True)
class Card:
    """A run in full."""

    row: RunRow
    title: str
    classes: tuple[str, ...]
    facts: tuple[Fact, ...]
    unexplained: str  # the sentence with bounds
    bar: Bar
    ledger: tuple[Fact, ...]
    imbalance: str
    timeline: TimelineView | None
    against: tuple[FindingView, ...]
    favour: tuple[FindingView, ...]
    clears: tuple[str, ...]
    unseen: tuple[str, ...]
    smallest: str
    remarks: tuple[str, ...]  # of the reader, on the run's files
    remedy: str
    site: tuple[str, ...] = ()  # what the site and the nights before say of it


@dataclass(frozen=True, slots=True)
class Section:
    """The runs of one verdict, or those that the site explained: cards first, lines for the rest, and how
    many are only in the document.
    """

    verdict: str
    slug: str
    words: str
    count: int
    allocated: str
    cards: tuple[Card, ...]
    rows: tuple[RunRow, ...]
    more: str


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One account of the whole night."""

    account: str
    words: str
    amount: str
    share: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a plain list with up to four cells."""

    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A bounded list with its heads and the count of what was left out."""

    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    more: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that is shown."""

    title: str
    cluster: str
    window: str
    zone: str
    scope: str  # empty: the whole document
    headline: str
    coverage: tuple[Fact, ...]
    empty: str  # the one honest line of a night without runs
    unit: str
    n_runs: int
    total: str
    bar: Bar
    ledger: tuple[LedgerRow, ...]
    sections: tuple[Section, ...]  # in the order of the verdicts' seriousness, CLEAR last
    outside: Table
    skips: Table
    nodes: Table
    method: str
    glossary: tuple[Fact, ...]
    trusts: tuple[Fact, ...]
    ties: tuple[Fact, ...]
    settings: tuple[Fact, ...]
    footer: str
    precision: Table = Table((), (), "")

"""The page as display strings, for templates, terminal and mail alike; nothing is computed after it."""

from dataclasses import dataclass

from slurm_guard.report.axes import Tick
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
    lead: str  # the one plain sentence
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
    no_favour: str  # said where much speaks against a run and nothing for it; else empty
    clears: tuple[str, ...]
    unseen: tuple[str, ...]
    smallest: str
    remarks: tuple[str, ...]  # of the reader, on the run's files
    remedy: str
    site: tuple[str, ...] = ()  # what the site and the nights before say of it
    see: str = ""  # the command that shows the run with the commands behind its numbers


@dataclass(frozen=True, slots=True)
class Reason:
    """Why runs were not auditable, and the one thing that would make them so."""

    words: str
    remedy: str
    count: str
    allocated: str


@dataclass(frozen=True, slots=True)
class Section:
    """The runs of one verdict, those that the site explained, the parked ones, or burn-in: cards first, lines
    for the rest, and how many are only in the document.
    """

    verdict: str
    slug: str
    words: str
    count: int
    allocated: str
    cards: tuple[Card, ...]
    rows: tuple[RunRow, ...]
    more: str
    reasons: tuple[Reason, ...] = ()  # of NOT AUDITABLE
    short: tuple[RunRow, ...] = ()  # the first few as lines, whether they have cards or not
    more_short: str = ""


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
class GroupRow:
    """An account's or a partition's runs in one line."""

    name: str
    n_runs: str
    allocated: str
    explained: str  # share
    idle: str  # share
    unobserved: str  # share
    unexplained: str
    bar: Bar


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest groups of a kind, the rest summed in the last line."""

    title: str
    kind: str
    rows: tuple[GroupRow, ...]


@dataclass(frozen=True, slots=True)
class TrendRect:
    """One part of one night."""

    color: str
    x: str
    y: str
    width: str
    height: str
    title: str


@dataclass(frozen=True, slots=True)
class TrendLane:
    """A band of the trend with its own axis."""

    title: str
    title_y: str
    bottom: str
    ticks: tuple[Tick, ...]
    rects: tuple[TrendRect, ...]


@dataclass(frozen=True, slots=True)
class TrendChart:
    """The nights at one width."""

    width: int
    height: int
    left: int
    right: str
    axis_y: str
    lanes: tuple[TrendLane, ...]
    x_ticks: tuple[Tick, ...]
    alt: str


@dataclass(frozen=True, slots=True)
class TrendView:
    """The last nights: a sentence, two drawings, the colours they use, and the same as a table."""

    sentence: str
    wide: TrendChart | None  # null: one night is no trend
    narrow: TrendChart | None
    key: tuple[tuple[str, str], ...]  # (colour, name)
    table: Table


@dataclass(frozen=True, slots=True)
class Ask:
    """A run that somebody should look at today, as a line with a link."""

    anchor: str
    title: str
    about: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing that a mail carries: its place in the mail, the same in a sentence, and PNG."""

    cid: str  # letters, digits, dots and hyphens
    png: bytes
    alt: str


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
    groups: tuple[Groups, ...] = ()
    trend: TrendView | None = None
    asks: tuple[Ask, ...] = ()
    more_asks: str = ""
    method_url: str = ""  # empty: none is known
    method_file: str = ""  # of a package, where one put it; empty: none
    night_page: str = ""  # the night's page as a path or a link; empty: this reader has none
    about: tuple[Fact, ...] = ()  # of the audit itself: alarm budget, work done again

"""What a progress source is: it says whether a file is its kind, and reads claims from bytes with offsets.

Everything a source sees was written by the audited party. A source never raises for bad content, never
opens anything, and is fed bounded pieces: what it cannot use becomes a problem ("slug: words").
"""

import re
from typing import NamedTuple, Protocol

MAX_SEGMENT = 4096  # bytes of one line that are looked at: a careless regex took 30 s on a 340 kB line
CHUNK = 1 << 20  # bytes fed at once
MAX_CLAIMS = 200_000  # per series in memory; beyond, every second one is dropped (counters are cumulative)
MAX_SERIES = 64  # clocks followed in one file; a hostile file can name any number
MAX_BARS = 64  # … and bars of unlike totals beside them: shards and calls of a model draw one each
MAX_PHASES = 4_000  # phase marks kept per file
NAMES_JOB = "names-job: "  # begins the word by which a file says its own Slurm job; no problem in itself
NAMES_HOST = "names-host: "  # … its host
LOOP = "~"  # in a clock's key before the word that names its loop: `step~pgd`
UNREAD = "unread"  # phase of a mark that tells nothing but that the log goes on, with a counter nobody reads
MICRO = 1_000_000  # an epoch clock counts in millionths, because steps are integers


class Claim(NamedTuple):
    """One record's word on progress. Counters as written; null: the record does not say.

    `at` is UTC epoch seconds; with `naive` it is local time read as if it were UTC, to be resolved later.
    `key` names the clock (step, samples, epoch, bar); claims of one clock and rank form one series.
    """

    offset: int  # of the record's end in the file
    key: str
    step: int | None = None
    samples: int | None = None
    tokens: int | None = None
    total: int | None = None
    loss: float | None = None
    epoch: float | None = None
    at: float | None = None
    naive: bool = False
    phase: str = "train"
    rank: str = ""
    advances: bool = True  # false: a phase mark, which moves no counter
    took_s: float | None = None  # one step's time as the record has it
    opens: bool = False  # its phase begins here: it marks the phase even where it advances the counter

    def clock(self) -> int | None:
        """The counter that orders this claim; null for a bare phase mark."""
        if self.step is not None:
            return self.step
        return self.samples if self.samples is not None else self.tokens


NOTHING = Claim(0, "")  # a line source's answer for a line that is its own and says nothing


class Series(NamedTuple):
    """All claims of one source, clock and rank in one file, in file order."""

    source: str
    key: str
    rank: str
    claims: list[Claim]


class Found(NamedTuple):
    """What one file gave. `phases`: marks without a counter; `params`: of the model, in the file's words."""

    series: list[Series]
    phases: list[Claim]
    problems: list[str]
    read_b: int
    params: int | None = None


class Reader(Protocol):
    """Reads one file once, from its start."""

    def feed(self, data: bytes, offset: int) -> int:
        """Take `data`, which begins at `offset`; return the offset that is wanted next (never less)."""
        ...

    def skipped(self, offset: int) -> None:
        """The driver leaves bytes out: the next feed begins at `offset`, in the middle of a record."""
        ...

    def finish(self) -> Found:
        """Everything that was found; the reader is used up."""
        ...


class ProgressSource(Protocol):
    """One kind of file."""

    name: str
    resyncs: bool  # can go on after bytes were left out of the middle

    def claims(self, head: bytes, path: str) -> float:
        """How sure (0..1) that this file is of this kind, by its first bytes and its path."""
        ...

    def reader(self) -> Reader:
        """A fresh reader."""
        ...


class LineSource(Protocol):
    """One kind of line inside a text file; a fresh instance per file may keep state."""

    name: str
    needles: tuple[bytes, ...]  # a line with none of these is never shown to the source

    def read(self, text: str, offset: int) -> Claim | None:
        """The claim in a cleaned line of at most MAX_SEGMENT bytes; null: not mine; NOTHING: nobody's."""
        ...

    def settle(self, claims: list[Claim]) -> list[Claim]:
        """After the last line: the series as it should stand."""
        ...


class Tailed:
    """A line source whose needles count only where `tail`, an expression of bytes, matches behind them.

    A line with a terminal sequence is shown wherever it holds a needle: one may stand between the two.
    """

    tail: re.Pattern[bytes]


class TableLines:
    """A line source that also wants the lines after one of its own: rows below a heading have no needle."""

    following = False  # set by the source while it expects rows

    def next_row(self, body: bytes, begin: int) -> int:
        """Where the next raw line begins, from `begin` (a line's begin) on, that can be a row."""
        return begin

    def passed(self, n: int) -> None:
        """So many lines were passed by: none of them can be a row."""


class Anchored:
    """A line source whose lines all begin, once cleaned, with its one needle and match `head` there.

    `head`: a regular expression of bytes; empty: they may begin otherwise.
    """

    head: bytes

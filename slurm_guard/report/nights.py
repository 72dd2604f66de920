"""Several nights as one table: each run with its night, sums of what is shown, bounded.

What cannot be read is named and passed over. One document is held at a time.
"""

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from slurm_guard import summodel, sums
from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.model import Audit, Judgement
from slurm_guard.report import bars, words
from slurm_guard.report.narrow import SLUGS, Narrow, nothing, part_of, share_words, slug_of, sums_words
from slurm_guard.report.safe import clean
from slurm_guard.report.viewlog import owners

MOST_DAYS = 366  # Judgement: what is asked of longer is a question for the JSON of each night
MOST_ROWS = 200  # of the table in a terminal; the CSV has all of them
_SPAN = re.compile(r"(\d{1,4})([dw])")
_ORDERED = ("alert", "review", "explained", "note", "parked", "not-auditable", "burn-in", "clear")
_ORDER = {slug: i for i, slug in enumerate(_ORDERED)}
assert set(_ORDER) == set(SLUGS)


def parse_since(text: str, today: date) -> date:
    """The first night meant by `2026-09-22`, `3d` (the last three nights) or `1w`.

    Raises GuardError since-syntax, since-range.
    """
    found = _SPAN.fullmatch(text.strip())
    try:
        days = int(found[1]) * (7 if found[2] == "w" else 1) if found else None
        first = date.fromisoformat(text) if days is None else today - timedelta(days=days)
    except (ValueError, OverflowError):
        raise GuardError(
            "since-syntax", f"{text[:40]!a} is no beginning", "write 2026-09-22, 3d or 1w", EXIT_USAGE
        ) from None
    if first > today or (today - first).days > MOST_DAYS:
        raise GuardError(
            "since-range",
            f"--since {text[:40]} does not begin within the last {MOST_DAYS} days",
            "for one earlier night: --night",
            EXIT_USAGE,
        )
    return first


@dataclass(frozen=True, slots=True)
class NightRow:
    """One run of one night."""

    night: str
    judgement: Judgement

    @property
    def order(self) -> tuple[object, ...]:
        """The most serious first, as on a night's page, then the latest."""
        j = self.judgement
        newest = -date.fromisoformat(self.night).toordinal()
        return (_ORDER[slug_of(j)], -j.unexplained.lo_gpu_ms, -j.score, newest, j.run.id)


@dataclass(frozen=True, slots=True)
class NightSum:
    """What is shown of one night, in sums. `from_at` and `until_at`: its window."""

    night: str
    from_at: float
    until_at: float
    n_all: int  # runs of the night, shown or not
    verdicts: dict[str, int]
    ledger_gpu_ms: dict[str, int]
    lo_gpu_ms: int  # unexplained for certain
    hi_gpu_ms: int
    row: summodel.NightSum | None = None  # the same as a row of a trend

    @property
    def n_runs(self) -> int:
        """Runs that are shown."""
        return sum(self.verdicts.values())


@dataclass(slots=True)
class Nights:
    """All of it. `failed`: (night, why), of documents that could not be read."""

    first: str
    narrow: Narrow
    sums: list[NightSum] = field(default_factory=list)
    rows: list[NightRow] = field(default_factory=list)  # the first MOST_ROWS
    failed: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(
        default_factory=list
    )  # nights between the first and the last without a document
    known: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    owners: set[str] = field(default_factory=set)  # of the runs that are meant
    asks: bool = False

    @property
    def n_runs(self) -> int:
        """Runs that are meant."""
        return sum(s.n_runs for s in self.sums)

    @property
    def ledger_gpu_ms(self) -> dict[str, int]:
        """Sums of the nights by account."""
        whole: Counter[str] = Counter()
        for s in self.sums:
            whole.update(s.ledger_gpu_ms)
        return dict(whole)

    def check(self) -> None:
        """Raises GuardError narrow-nothing where runs were asked for and none is meant."""
        n_all = sum(s.n_all for s in self.sums)
        if self.n_runs == 0 and n_all > 0 and not self.narrow.is_whole:
            raise nothing(self.narrow, self.known, f"{n_all:,} runs since {self.first}")


def nights_between(names: list[str], first: date, last: date) -> tuple[list[str], list[str]]:
    """Those of the nights within, and the days between the first and last of them that have none."""
    kept = [name for name in sorted(names) if first.isoformat() <= name <= last.isoformat()]
    if not kept:
        return [], []
    begin, end = date.fromisoformat(kept[0]), date.fromisoformat(kept[-1])
    days = [(begin + timedelta(days=k)).isoformat() for k in range((end - begin).days + 1)]
    return kept, [day for day in days if day not in set(kept)]


def read_parts(nights: list[str], found: Nights, read: Callable[[str], Audit]) -> Iterator[tuple[str, Audit]]:
    """(night, what is meant of its document), counted into `found`; one that cannot be read is named there.

    Raises GuardError document-missing where there is no night at all.
    """
    if not nights:
        raise GuardError(
            "document-missing",
            f"there is no night since {found.first}",
            "an earlier --since, or run `slurm-guard audit`",
            EXIT_NOTHING_TO_AUDIT,
        )
    for night in nights:
        try:
            whole = read(night)
        except GuardError as error:
            found.failed.append((night, f"{error.slug}: {error.sentence}"))
            continue
        part = part_of(whole, found.narrow)
        _count(night, whole, part, found)
        yield night, part


def _count(night: str, whole: Audit, part: Audit, found: Nights) -> None:
    for judgement in whole.judgements:
        found.known[0].add(judgement.run.account)
        found.known[1].add(judgement.run.user)
    ledger: Counter[str] = Counter()
    for judgement in part.judgements:
        ledger.update(bars.shown_ledger(judgement))
    # Of a run that could not be audited there are no bounds: its work is unmatched.
    judged = [j for j in part.judgements if not bars.is_unmatched(j)]
    found.sums.append(
        NightSum(
            night,
            part.from_at,
            part.until_at,
            len(whole.judgements),
            dict(Counter(map(slug_of, part.judgements))),
            dict(ledger),
            sum(j.unexplained.lo_gpu_ms for j in judged),
            sum(j.unexplained.hi_gpu_ms for j in judged),
            sums.of_night(part.judgements, (part.from_at, part.until_at)),
        )
    )
    rows = [*found.rows, *(NightRow(night, j) for j in part.judgements)]
    found.rows = heapq.nsmallest(MOST_ROWS, rows, key=lambda row: row.order)
    found.owners |= owners(part.judgements)
    found.asks = found.asks or part.asks


def scope_line(found: Nights) -> str:
    """What the table is of, above everything."""
    nights = f"{found.sums[0].night} to {found.sums[-1].night}" if found.sums else f"since {found.first}"
    said = f"{words.plural(len(found.sums), 'night')}, {nights}"
    if found.narrow.is_whole:
        return f"{said}."
    n_all = sum(s.n_all for s in found.sums)
    share = share_words(found.n_runs, n_all)
    return f"{said}; {found.narrow.words()} alone: {share}. {sums_words(found.n_runs)}"


def gaps(found: Nights) -> list[str]:
    """What is not in the table: damaged and missing nights, each named."""
    said = [f"{night} was passed over: {clean(why, 300)}" for night, why in found.failed]
    if found.missing:
        shown = ", ".join(found.missing[:10])
        more = f" and {len(found.missing) - 10:,} more" if len(found.missing) > 10 else ""
        said.append(f"No document of {shown}{more}.")
    return said

"""A timeline resampled to what a drawing or a list can show, and its unexplained stretches."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from slurm_guard.model import UNEXPLAINED, Account, Judgement, Timeline, TimelineEvent, Verdict
from slurm_guard.report.bars import is_unmatched
from slurm_guard.report.words import UNMATCHED

# Judgement: a column is shaded when at least this share of its GPU time is unexplained; below it, the noise
# of single slots would stripe every honest run.
SHADE_SHARE = 0.10
MOST_EVENTS = 24  # judgement: more marks than this overlap; the document has them all


@dataclass(frozen=True, slots=True)
class Columns:
    """A timeline resampled to what a drawing can show: `merge` slots to a column."""

    start_at: float
    slot_s: float
    accounts: dict[str, list[int | None]]
    power_w: list[float | None]
    progress_per_s: list[float | None]

    @property
    def n(self) -> int:
        """Columns."""
        return len(self.power_w)

    @property
    def until_at(self) -> float:
        """End of the last column."""
        return self.start_at + self.n * self.slot_s


def resample(timeline: Timeline, most: int) -> Columns:
    """Sums of GPU time, means of power and rate; a column with nothing observed stays null."""
    lengths = [len(timeline.power_w), len(timeline.progress_per_s), *map(len, timeline.accounts.values())]
    n_slots = max(lengths)
    merge = max(1, -(-n_slots // most))
    return Columns(
        timeline.start_at,
        timeline.slot_s * merge,
        {name: [_sum(c) for c in _chunks(v, merge, n_slots)] for name, v in timeline.accounts.items()},
        [_mean(c) for c in _chunks(timeline.power_w, merge, n_slots)],
        [_mean(c) for c in _chunks(timeline.progress_per_s, merge, n_slots)],
    )


def _chunks(values: Sequence[float | None], size: int, n: int) -> list[list[float]]:
    """Observed values per column; lists shorter than the timeline end in nulls."""
    return [[v for v in values[i : i + size] if v is not None] for i in range(0, n, size)]


def _sum(values: list[float]) -> int | None:
    return int(sum(values)) if values else None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def stretches(columns: Columns) -> list[tuple[float, float, int]]:
    """(from, until, unexplained GPU-ms) of each run of columns with enough unexplained work."""
    found: list[tuple[float, float, int]] = []
    names = [account.value for account in UNEXPLAINED]
    for i in range(columns.n):
        known = {name: values[i] or 0 for name, values in columns.accounts.items()}
        part, whole = sum(known.get(name, 0) for name in names), sum(known.values())
        if part <= 0 or part < SHADE_SHARE * whole:
            continue
        from_at = columns.start_at + i * columns.slot_s
        if found and abs(found[-1][1] - from_at) < columns.slot_s / 2:
            found[-1] = (found[-1][0], from_at + columns.slot_s, found[-1][2] + part)
        else:
            found.append((from_at, from_at + columns.slot_s, part))
    return found


def shown_timeline(judgement: Judgement) -> Timeline | None:
    """The timeline as drawn: of a run that could not be audited, own work is unmatched, not unexplained."""
    timeline = judgement.timeline
    if timeline is None or not is_unmatched(judgement):
        return timeline
    accounts = dict(timeline.accounts)
    own = [accounts.pop(name.value, []) for name in (Account.RESIDUAL, Account.CONTRADICTION)]
    pairs = itertools.zip_longest(*own)
    accounts[UNMATCHED] = [_sum([v for v in pair if v is not None]) for pair in pairs]
    return dataclasses.replace(timeline, accounts=accounts)


def is_shaded(judgement: Judgement) -> bool:
    """Whether stretches may be called unexplained: not with a lower bound of nothing and no need to look."""
    return judgement.unexplained.lo_gpu_ms > 0 or judgement.verdict in (Verdict.ALERT, Verdict.REVIEW)


def ordered_events(timeline: Timeline) -> list[TimelineEvent]:
    """The events that are shown, in time order; their place in this list is their number."""
    first = sorted(timeline.events, key=lambda event: (event.lane == "process", *_order(event)))
    return sorted(first[:MOST_EVENTS], key=_order)  # of many it is processes that are left out


def _order(event: TimelineEvent) -> tuple[float, str, str]:
    return event.at, event.lane, event.text

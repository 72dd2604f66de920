"""From all series in one file to its tracks: agreeing ranks are one, overlapping clocks are one."""

from operator import itemgetter
from typing import NamedTuple

from slurm_guard.progress import database
from slurm_guard.progress.barseries import joined
from slurm_guard.progress.coverage import Counted, covers_more
from slurm_guard.progress.datarows import INNER_TURNS, n_turns
from slurm_guard.progress.protocol import LOOP, Series
from slurm_guard.progress.registry import STRENGTH

NAMED = frozenset(("guard", *database.SOURCES))  # each series is a training with a name of its own
LEAST = 3  # distinct values below which a series is stray text unless it is all there is (judgement)
FEW = 8  # distinct values below which bare pairs of a text may be settings (judgement)
LEAST_TURNS = 3  # times that a loop begins again, before another clock is the training's (judgement)
STRAY, DOUBTFUL, SURE = range(3)
FEWER = 0.25  # of the best bar's values: one with fewer is a test's or a shard's (judgement)
AGREE = 0.5  # share of common values from which two ranks tell of the same training (judgement)


class Chosen(NamedTuple):
    """One track's worth of series. `suffix` tells it from the file's other tracks."""

    series: Series
    suffix: str
    span: tuple[int, int]  # offsets of its first and last record


def pick(series: list[Series]) -> list[Chosen]:
    """The best clock first; others only where they lie outside what is already told (a second training)."""
    chosen: list[Chosen] = []
    kept = [
        (one, {c.clock() for c in one.claims if c.advances} - {None})
        for one in _one_per_training(_with_joined_bars(series))
    ]
    kept = _without_inner_loops(kept)
    surest = 0
    for one, values in _by_worth(kept):
        sure = _sureness(one, values)
        if not values or (chosen and (sure == STRAY or sure < surest or not _beside(one, values, chosen))):
            continue
        surest = max(surest, sure)
        span = _span(one)
        if one.source not in NAMED and any(_told(one, span, other) for other in chosen):
            continue
        chosen.append(Chosen(one, _suffix(one, chosen), span))
    return chosen


def _by_worth(kept: list[Counted]) -> list[Counted]:
    """The best clock first. Of one that is told by two sources the better known, unless the other covers
    more of it: a JSON line at each checkpoint does not speak for the steps between."""
    rest = sorted(((_worth(*pair), pair) for pair in kept), key=itemgetter(0), reverse=True)
    out: list[Counted] = []
    while rest:
        worth, first = rest[0]
        best = 0
        for nth, (other_worth, other) in enumerate(rest):
            alike = other_worth[:2] == worth[:2] and other[0].source != first[0].source
            if alike and covers_more(other, first):
                best = nth
                break
        out.append(rest.pop(best)[1])
    return out


def _beside(one: Series, values: set[int | None], chosen: list[Chosen]) -> bool:
    """Whether a series may be a track after others: a bar only after bars, with not much fewer values."""
    if not is_weak(one):
        return True
    first = chosen[0].series
    return is_weak(first) and len(values) >= FEWER * len({claim.step for claim in first.claims})


def _with_joined_bars(series: list[Series]) -> list[Series]:
    """The series, bars of near totals that took turns made one."""
    return [
        *(one for one in series if not is_weak(one)),
        *joined([one for one in series if is_weak(one) and one.claims]),
    ]


def is_weak(series: Series) -> bool:
    """A bar, which may count anything."""
    return series.source == "tqdm"


def is_epoch(series: Series) -> bool:
    """A clock in millionths of an epoch."""
    return series.key.partition(LOOP)[0] == "epoch"


def _without_inner_loops(kept: list[Counted]) -> list[Counted]:
    """Without the named loops that begin again and again beside another clock of the same bytes.

    Where nothing else counts there, they are one training after the other (`Fold epoch 3: loss=…`).
    """
    turning = [LOOP in one.key and n_turns(one.claims, INNER_TURNS) > 0 for one, _ in kept]
    outer = [
        [c.offset for c in one.claims]
        for (one, values), turns in zip(kept, turning, strict=True)
        if not turns and not is_weak(one) and len(values) >= LEAST
    ]
    return [
        pair
        for pair, turns in zip(kept, turning, strict=True)
        if not (turns and any(_lie_within(_span(pair[0]), offsets) for offsets in outer))
    ]


def _lie_within(span: tuple[int, int], offsets: list[int]) -> bool:
    """Whether enough of the records at `offsets` lie within `span`."""
    return sum(span[0] <= offset <= span[1] for offset in offsets) >= LEAST


def _span(one: Series) -> tuple[int, int]:
    """The offsets of its first and last record with a counter, of which it has some."""
    offsets = [c.offset for c in one.claims if c.clock() is not None]
    return min(offsets), max(offsets)


def _told(one: Series, span: tuple[int, int], other: Chosen) -> bool:
    """Whether `one` runs beside `other` in the same bytes: then it is another view of the same training.

    Two ranks of the same source and clock that disagree in their values are two trainings instead.
    """
    rival = other.series
    if (one.source, one.key) == (rival.source, rival.key) and one.rank != rival.rank:
        return False
    return span[0] <= other.span[1] and other.span[0] <= span[1]


def _sureness(one: Series, values: set[int | None]) -> int:
    """STRAY, DOUBTFUL or SURE."""
    if len(values) < LEAST:
        return STRAY
    return DOUBTFUL if is_weak(one) or _may_be_settings(one, values) else SURE


def _may_be_settings(one: Series, values: set[int | None]) -> bool:
    """`step: 1000`, `step: 2000`, `step: 5000` of a printed configuration: few, and nothing is told beside
    them. They give way to any clock that goes on for longer, or tells something."""
    if one.source != "keyvalue" or len(values) >= FEW:
        return False
    beside = (value for c in one.claims for value in (c.at, c.loss, c.took_s, c.total))
    return all(value is None for value in beside) and (
        is_epoch(one) or all(c.epoch is None for c in one.claims)
    )


def _worth(one: Series, values: set[int | None]) -> tuple[int, int, float, bool, int]:
    kind = 0 if is_weak(one) else 1 if is_epoch(one) else 2
    steady = LOOP not in one.key or n_turns(one.claims, LEAST_TURNS) == 0
    return _sureness(one, values), kind, STRENGTH.get(one.source, 0.5), steady, len(values)


def _one_per_training(series: list[Series]) -> list[Series]:
    """Ranks whose values agree with a fuller one are left out; those that differ stay."""
    kept: list[tuple[Series, set[int | None]]] = []
    for one in sorted(series, key=lambda s: (-len(s.claims), s.rank)):
        values = {c.clock() for c in one.claims}
        for other, theirs in kept:
            same_clock = (other.source, other.key) == (one.source, one.key)
            if same_clock and len(values & theirs) >= AGREE * len(values):
                break
        else:
            kept.append((one, values))
    return [one for one, _ in kept]


def _suffix(one: Series, chosen: list[Chosen]) -> str:
    """The training's own name where it has one, nothing for the first; else rank or number."""
    if one.source in NAMED and one.key not in ("step", "epoch"):
        return f".{one.key}"
    if not chosen:
        return ""
    return f".rank{one.rank}" if one.rank else f".{len(chosen) + 1}"

"""Claims of one training become a track: duplicates fall away, a fall of the counter opens a segment.

Law: with absolute clocks, shuffled or repeated records give the same track; without, repeated ones do.
"""

from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from slurm_guard.progress.carry import Filed, carried
from slurm_guard.progress.mark import Mark, without_own
from slurm_guard.progress.protocol import UNREAD, Claim

_LAST = 1 << 62  # beyond any point's number
LOOK = 12  # records looked ahead to tell a late line from a restart (judgement: more than ranks lag behind)
MOST_LOOK = 512
# Judgement: how many ranks print one log unlabelled shows in how often its values come again.
RANKS_REPEAT = 4  # from this on often enough for ranks …
RANKS_FALL = 0.1  # … and this part of the records below the one before, in a log of …
RANKS_VALUES = 50  # … so many values: a late line may then be …
RANKS_LAG = 3  # … this many values behind
CLIMB = (
    4  # evaluations that rise, before a fall is a training's and not a look back at checkpoints (judgement)
)
OWN_SHARE = 0.5  # of a log's evaluations that fit nowhere in the training's counter: beyond, it is not theirs
RECORDS = 3  # distinct values below a first one that make it a setting (judgement)
SAME_OFTEN = 0.9  # of the distinct records that come equally often, where ranks flush whole buffers


def build(track: str, filed: list[Filed], marks: list[Filed], flags: tuple[str, ...]) -> list[Mark]:
    """The track in order. `filed`: claims with a counter; `marks`: phases without. `flags` go on all."""
    moving = [item for item in _ordered(filed) if item[1].advances and item[1].clock() is not None]
    still = [item for item in filed if not item[1].advances]
    out: list[Mark] = []
    for (file, claim), segment, fell in _segments(
        _without_looks_back(carried(_without_copies(_without_settings(moving)), _unread(marks)))
    ):
        extra = (*flags, "step-back") if fell else flags
        if claim.phase not in ("end", "train"):
            claim = claim._replace(phase="train")
        out.append(_mark(track, file, claim, segment, extra))
    phases = [
        _mark(track, file, claim, 0, flags)
        for file, claim in (*without_own([*still, *marks], out), *_standing(moving, out))
    ]
    return _merge(_drop_false_counters(out), phases)


def _unread(marks: list[Filed]) -> list[tuple[int, int]]:
    """Where something of a file was left out, or had a counter that nobody reads."""
    return [(file, claim.offset) for file, claim in marks if claim.phase == UNREAD]


def _mark(track: str, file: int, claim: Claim, segment: int, flags: tuple[str, ...]) -> Mark:
    return Mark(
        file, track, segment, claim.at, claim.naive, claim.step, claim.samples, claim.tokens,
        claim.total, claim.loss, claim.phase, claim.offset, flags, claim.took_s,
    )  # fmt: skip


def _ordered(filed: list[Filed]) -> list[Filed]:
    """By claimed time where every record has an absolute one, else as written (local clocks fold)."""
    if all(claim.at is not None and not claim.naive for _, claim in filed):
        return sorted(
            filed, key=lambda item: (item[1].at or 0.0, item[1].clock() or 0, item[0], item[1].offset)
        )
    return sorted(filed, key=lambda item: (item[0], item[1].offset))


def _without_settings(moving: list[Filed]) -> list[Filed]:
    """Without a printed configuration: `epoch: 100` above `Epoch 1: loss …` reads like the first record.

    It is one value before all others and above them, and no time, loss or duration stands beside it.
    """
    first = moving[0][1].clock() if moving else None
    n = 0
    for _, claim in moving:
        if claim.clock() != first:
            break
        if (claim.at, claim.loss, claim.took_s) != (None, None, None):
            return moving
        n += 1
    if n == len(moving) or (moving[n][1].clock() or 0) > (first or 0):
        return moving  # most logs
    rest = {claim.clock() or 0 for _, claim in moving[n:]}
    said = any((claim.at, claim.loss, claim.took_s) != (None, None, None) for _, claim in moving[n:])
    return moving[n:] if said and len(rest) >= RECORDS and max(rest) < (first or 0) else moving


def _without_looks_back(moving: list[Filed]) -> list[Filed]:
    """An evaluation of an older checkpoint names a counter long passed: it is a mark, not a restart. So are
    all of them where most do not fit between the training's records: they count something of their own.

    Where a log has nothing but evaluations, they are all that tells of its trainings: there a fall from which
    it goes on climbing is another one.
    """
    if all(claim.phase in ("train", "end") for _, claim in moving):
        return moving  # most logs
    out: list[Filed] = []
    values = [claim.clock() or 0 for _, claim in moving]
    n_evals = sum(claim.phase == "eval" for _, claim in moving)
    alone = n_evals == len(moving)
    unfit = set() if alone or not n_evals else _unfit(moving, values)
    own = len(unfit) > OWN_SHARE * n_evals
    high = -1
    for nth, item in enumerate(moving):
        value = values[nth]
        if item[1].phase == "eval" and (own or nth in unfit):
            continue
        begins = alone and value < values[nth - 1] and _climbs(values[nth : nth + CLIMB])
        if item[1].phase in ("train", "end") or value > high or begins:
            out.append(item)
            high = value
    return out


def _unfit(moving: list[Filed], values: list[int]) -> set[int]:
    """The numbers of evaluations that lie below the training's record before them, or above the one behind,
    to which the training rose; and of those behind its last record that climbed past it from below."""
    out: set[int] = set()
    waiting: list[int] = []  # evaluations since the training's last record
    before, below = -1, False
    for nth, (_, claim) in enumerate(moving):
        value = values[nth]
        if claim.phase == "eval":
            if value < before:
                out.add(nth)
                below = True
            else:
                waiting.append(nth)
        else:
            if value >= before:
                out.update(one for one in waiting if values[one] > value)
            before, below = value, False
            waiting.clear()
    if below:
        out.update(one for one in waiting if values[one] > before)
    return out


def _climbs(values: list[int]) -> bool:
    """Whether these are enough, each higher than the one before."""
    return len(values) == CLIMB and all(before < after for before, after in pairwise(values))


def _without_copies(moving: list[Filed]) -> list[Filed]:
    """Ranks without labels that flush whole buffers print every record once each: the first of each counts.

    They are told from a training that is run again, which falls back to its first value, and from one that
    resumes, which repeats a part: here nearly all records come equally often, and most falls go elsewhere.
    """
    if len({claim.clock() for _, claim in moving}) == len(moving):
        return moving  # most logs: nothing comes twice
    keys = [(claim.clock(), claim.at, claim.loss, claim.epoch) for _, claim in moving]
    if any(at is None and loss is None for _, at, loss, _ in keys):
        return moving
    often = Counter(Counter(keys).values())
    times, n = often.most_common(1)[0]
    if times < 2 or n < SAME_OFTEN * often.total():
        return moving
    values = [value for value, *_ in keys if value is not None]  # one without a clock is no fall to 0
    falls = [after for before, after in pairwise(values) if after < before]
    if sum(value > values[0] for value in falls) * 2 < len(falls):
        return moving
    first: dict[tuple[int | None, float | None, float | None, float | None], Filed] = {}
    for item, key in zip(moving, keys, strict=True):
        first.setdefault(key, item)
    return list(first.values())


def _segments(moving: list[Filed]) -> list[tuple[Filed, int, bool]]:
    """(record, segment, whether it opens one by falling back), without repeated and late records."""
    out: list[tuple[Filed, int, bool]] = []
    values = [claim.clock() or 0 for _, claim in moving]
    crowd = _crowd(values)
    high: int | None = None
    high_at: float | None = None
    segment = 0
    for index, item in enumerate(moving):
        value, claim = values[index], item[1]
        fell = False
        if high is not None and value <= high:
            # No restart lies before what it restarts from: a rank's late line, or its buffer.
            late = claim.at is not None and high_at is not None and claim.at < high_at
            if value == high or late or not _restarts(values, index, high, claim.total, crowd):
                continue
            segment, fell = segment + 1, True
        out.append((item, segment, fell))
        high, high_at = value, claim.at
    return out


class Crowd(NamedTuple):
    """How a log's values come again. `lag`: the least value that is `RANKS_LAG` behind another; empty: one
    writer, or ranks in step."""

    look: int
    lag: dict[int, int]


def _crowd(values: list[int]) -> Crowd:
    """What is known of the number of ranks that print one log."""
    falls = sum(after < before for before, after in pairwise(values))
    if not falls:
        return Crowd(LOOK, {})  # most logs: nobody asks
    distinct = sorted(set(values))
    often = len(values) / max(1, len(distinct))
    look = min(MOST_LOOK, max(LOOK, round(3 * often)))
    if often < RANKS_REPEAT or len(distinct) < RANKS_VALUES or falls < RANKS_FALL * len(values):
        return Crowd(look, {})
    return Crowd(look, {value: distinct[max(0, nth - RANKS_LAG)] for nth, value in enumerate(distinct)})


def _restarts(values: list[int], index: int, high: int, total: int | None, crowd: Crowd) -> bool:
    """Whether the fall at `index` is a restart rather than a late line of another rank.

    A late line is followed by one above the mark; a restart climbs on below it, or ends far below it.
    """
    value = values[index]
    if total is not None and high >= total:
        return True
    ahead = range(index + 1, min(len(values), index + 1 + crowd.look))
    if value >= crowd.lag.get(high, high) and any(values[place] > high for place in ahead):
        return False
    follows = next((values[place] for place in ahead if values[place] != value), None)
    if follows is None:
        return value * 2 <= high
    if value < follows < high:
        return True
    return follows == high and not any(values[place] > high for place in ahead)


def _standing(moving: list[Filed], out: list[Mark]) -> list[Filed]:
    """Evaluation and checkpoint records stay as phase marks: of a step already reached, or that open one."""
    others = [item for item in moving if item[1].phase != "train"]
    if not others:
        return []  # most logs
    kept = {(mark.file, mark.offset) for mark in out}
    standing = [
        (file, claim._replace(advances=False))
        for file, claim in others
        if claim.opens or (file, claim.offset) not in kept
    ]
    return without_own(standing, out)


def _drop_false_counters(out: list[Mark]) -> list[Mark]:
    """`tokens=4096` on every line is a batch's size, no cumulative count: such a column is emptied."""
    if not _cumulative(out, [mark.tokens for mark in out]):
        out = [mark._replace(tokens=None) for mark in out]
    if not _cumulative(out, [mark.samples for mark in out]):
        out = [mark._replace(samples=None) for mark in out]
    # A track whose clock was emptied with it has nothing left.
    return [
        mark for mark in out if mark.step is not None or mark.samples is not None or mark.tokens is not None
    ]


def _cumulative(out: list[Mark], values: list[int | None]) -> bool:
    """Never falls inside a segment, and does not stand still while the clock moves."""
    if values.count(None) == len(values):
        return True  # most logs
    last: dict[int, int] = {}
    n = rises = 0
    for mark, value in zip(out, values, strict=True):
        if value is None:
            continue
        before = last.get(mark.segment)
        if before is not None:
            n += 1
            if value < before:
                return False
            rises += value > before
        last[mark.segment] = value
    return n == 0 or rises * 2 >= n


def _merge(points: list[Mark], phases: list[Mark]) -> list[Mark]:
    """Phase marks put behind the point that stands before them in the same file, and into its segment.

    The points keep the order of their clock, which need not be the file's.
    """
    if not phases:
        return points
    places: dict[int, list[tuple[int, int]]] = {}
    for index, point in enumerate(points):
        places.setdefault(point.file, []).append((point.offset, index))
    for mine in places.values():
        mine.sort()
    behind: dict[int, list[Mark]] = {}
    for mark in sorted(phases, key=lambda mark: (mark.file, mark.offset)):
        behind.setdefault(_place(mark, places), []).append(mark)
    segment = 0
    placed: list[Mark] = []
    for index in range(-1, len(points)):
        if index >= 0:
            segment = points[index].segment
            placed.append(points[index])
        for mark in behind.get(index, ()):
            alike = [(m.phase, m.step) == (mark.phase, mark.step) for m in placed[-2:]]
            # Of many in a row the first, and of an evaluation's lines the last: it prints while it lasts. One
            # with a counter tells of the moment that it stands for; but behind the last point no other record
            # says that it goes on.
            is_bare = (mark.step, mark.samples, mark.tokens) == (None, None, None)
            lasts = mark.phase == "eval" and (is_bare or index == len(points) - 1)
            if lasts and alike == [True, True]:
                placed.pop()
            if lasts or mark.phase == UNREAD or alike[-1:] != [True]:
                placed.append(mark._replace(segment=segment))
    return placed


def _place(mark: Mark, places: dict[int, list[tuple[int, int]]]) -> int:
    """The number of the point that a phase mark stands behind; -1: before all."""
    mine = places.get(mark.file)
    if mine is None:
        return max(
            (index for file, theirs in places.items() if file < mark.file for _, index in theirs), default=-1
        )
    nth = bisect_right(mine, (mark.offset, _LAST)) - 1
    return mine[nth][1] if nth >= 0 else min(index for _, index in mine) - 1


def thin(marks: list[Mark], limit: int) -> list[Mark]:
    """At most `limit` of them, evenly, keeping the first, the last and both ends of every segment."""
    if len(marks) <= limit:
        return marks
    must = {0, len(marks) - 1}
    for index in range(1, len(marks)):
        if (marks[index].track, marks[index].segment) != (marks[index - 1].track, marks[index - 1].segment):
            must.update((index - 1, index))
    if len(must) >= limit:
        must = set(sorted(must)[: limit - 1]) | {len(marks) - 1}
    room = limit - len(must)
    rest = [index for index in range(len(marks)) if index not in must]
    chosen = {rest[i * len(rest) // room] for i in range(room)} if room and rest else set()
    return [marks[index] for index in sorted(must | chosen)]

"""Lasting rises of what a unit of progress costs: it gets dearer at a few moments and never cheaper again.

Recomputation, layers that are unfrozen, a larger teacher and work that joins in for good look the same; in a
log that counts steps alone so do longer sequences and larger batches.
"""

import itertools
from bisect import bisect_right
from dataclasses import dataclass
from math import sqrt

from slurm_guard.audit.cost import Block
from slurm_guard.audit.stats import median, quantile, step_sigma
from slurm_guard.audit.track import Track

LEAST_RISE = 0.05  # of the level before. Judgement: half of what is called fail-slow (Greyhound: 10 %).
LEAST_SIGMAS = 4.0  # … and in standard errors of both sides. Judgement.
LEAST_PART = 4  # blocks that make a level. Judgement; one too short to have a cost explains its work.
MARGIN = 0.05  # of the blocks at both ends that do not decide whether there is anything to find. Judgement.
MOST_LEVELS = 6  # judgement: a curriculum of more parts is a slope
# A change comes at the same step of a training, give or take a block's edge, and is as large as before.
SAME_STEP, SAME_RISE = 0.10, 0.05  # judgement


@dataclass(frozen=True, slots=True)
class Level:
    """From where on the log's counter a unit costs how many times what it cost at first."""

    counter: float
    times: float


def rises(blocks: list[Block]) -> list[int]:
    """Places of the blocks at which a lasting rise begins, in order; empty where there is none, or where the
    cost falls as well."""
    costs = [b.work / b.units if b.units > 0 else 0.0 for b in blocks]
    if len(costs) < 2 * LEAST_PART or min(costs) <= 0:
        return []
    if quantile(costs, 1.0 - MARGIN) < quantile(costs, MARGIN) * (1.0 + LEAST_RISE):
        return []  # most runs: steady, and not worth the search
    cuts = _cuts(costs, 0, step_sigma(costs))
    while cuts:
        middles = _middles(costs, cuts)
        changes = [b / a - 1.0 for a, b in itertools.pairwise(middles)]
        small = [k for k, change in enumerate(changes) if abs(change) < LEAST_RISE]
        if not small:
            return cuts if min(changes) > 0 and len(cuts) < MOST_LEVELS else []
        del cuts[min(small, key=lambda k: (abs(changes[k]), k))]
    return []


def _middles(costs: list[float], cuts: list[int]) -> list[float]:
    """The median cost of each part."""
    return [median(costs[a:b]) for a, b in itertools.pairwise([0, *cuts, len(costs)])]


def _cuts(costs: list[float], offset: int, noise: float) -> list[int]:
    """Where the mean of the costs changes, by halving: the best cut first, then both sides."""
    n = len(costs)
    if n < 2 * LEAST_PART:
        return []
    sums = [0.0]
    for cost in costs:
        sums.append(sums[-1] + cost)
    whole = sums[-1] / n
    best = max(range(LEAST_PART, n - LEAST_PART + 1), key=lambda k: _gain(sums, k, n, whole))
    before, after = sums[best] / best, (sums[-1] - sums[best]) / (n - best)
    error = noise * sqrt(1.0 / best + 1.0 / (n - best))
    if abs(after - before) < max(LEAST_RISE * min(before, after), LEAST_SIGMAS * error):
        return []
    return [
        *_cuts(costs[:best], offset, noise),
        offset + best,
        *_cuts(costs[best:], offset + best, noise),
    ]


def _gain(sums: list[float], k: int, n: int, whole: float) -> float:
    return k * (sums[k] / k - whole) ** 2 + (n - k) * ((sums[-1] - sums[k]) / (n - k) - whole) ** 2


def at_levels(blocks: list[Block], cuts: list[int]) -> list[Block]:
    """The blocks with their level as their stage."""
    return [block._replace(stage=bisect_right(cuts, k)) for k, block in enumerate(blocks)]


def levels_of(blocks: list[Block], cuts: list[int], track: Track) -> tuple[Level, ...]:
    """The rises by the log's own counter; empty without any."""
    if not cuts:
        return ()
    costs = _middles([b.work / b.units for b in blocks], cuts)
    return tuple(
        Level(counter_at(track, blocks[cut].from_at), cost / costs[0])
        for cut, cost in zip(cuts, costs[1:], strict=True)
    )


def counter_at(track: Track, at: float) -> float:
    """What the log's counter said at an instant."""
    arcs = track.arcs
    k = max(0, bisect_right([arc.from_at for arc in arcs], at) - 1)
    arc = arcs[k]
    part = (at - arc.from_at) / (arc.until_at - arc.from_at)
    return arc.begin + arc.units * min(1.0, max(0.0, part))


def to_text(levels: tuple[Level, ...]) -> str:
    """`counter:times` for each rise, for the history store."""
    return " ".join(f"{level.counter:.0f}:{level.times:.4f}" for level in levels)


def from_text(text: str) -> tuple[Level, ...]:
    """What `to_text` wrote."""
    pairs = (part.split(":") for part in text.split())
    return tuple(Level(float(counter), float(times)) for counter, times in pairs)


def is_like(mine: tuple[Level, ...], theirs: tuple[Level, ...]) -> bool:
    """Whether each rise of one run had come in the other by the same step, and was as large."""
    return all(
        max((t.times for t in theirs if t.counter <= level.counter * (1.0 + SAME_STEP)), default=1.0)
        >= level.times * (1.0 - SAME_RISE)
        for level in mine
    )

"""Does the run's own GPU work follow the pace of its log?

A log that the work does not write may change its pace too, and anything may drift: two series that wander on
their own correlate easily. So the changes from block to block have to go together as well, in the same blocks
and by about the same factor. Rates of false agreement and of agreement missed, on ten kinds of unrelated
pairs and fourteen of related ones: `python -m bench pace` (docs/method.md).
"""

import itertools
from math import atanh, log, sqrt

from slurm_guard.audit import cost
from slurm_guard.audit.blocks import Fit
from slurm_guard.audit.stats import correlation, deviation, middles, ranks

VARIED = 0.03  # standard deviation of log pace from which its changes can be told from noise. Judgement.
VARIED_SMOOTH = 0.02  # the same for runs of three blocks, which hold less noise. Judgement.
LEVELS = 0.7  # correlation of pace and work from which they may be one thing. Judgement.
ELASTIC = 0.6  # work follows when it changes by this part of the pace's change at least, and by its inverse
# at most: a cost that depends on the pace (idling kernels, boost clocks) stays inside. Judgement.
RANKED = 0.6  # correlation of the ranks of pace and work, which one stopped block cannot make. Judgement.
# Normal deviates of the changes' correlation. By chance independent noise passes the first in 2.0 to 3.3 %
# and the second in 0 to 1.4 % of the cases (measured, 8 to 150 blocks, 4,000 pairs each): neighbours among
# the changes share a block. The levels have to correlate as well, which is rarer by far.
SURE, SURE_SMOOTH = 2.33, 2.0
SHARED = 1.5  # the middles of three share blocks: they count as so many times fewer. Judgement.


def follows_pace(own: dict[str, Fit]) -> bool | None:
    """True where the pace of progress varies and work varies with it; null where nothing varies.

    Never false: a slow network or another process changes pace without changing the run's work.
    """
    for fit in own.values():
        usable = [b for b in fit.blocks if b.units > 0 and b.work > 0 and b.seen_ms > 0]
        if fit.theta is None or len(usable) < cost.LEAST_BLOCKS:
            continue
        if go_together([b.units / b.seen_ms for b in usable], [b.work / b.seen_ms for b in usable]):
            return True
    return None


def go_together(pace: list[float], work: list[float]) -> bool:
    """Whether two rates (positive, one value a block, in order of time) vary together, and vary at all."""
    a, b = [log(v) for v in pace], [log(v) for v in work]
    return _levels_and_changes(a, b) or _smoothed(a, b)


def _levels_and_changes(pace: list[float], work: list[float]) -> bool:
    """Block by block. Ranks: one block in which both stopped (a suspended job) is no agreement."""
    if deviation(pace) < VARIED or not _alike(pace, work, LEVELS):
        return False
    if correlation(ranks(pace), ranks(work)) < RANKED:
        return False
    steps, works = ranks(_changes(pace)), ranks(_changes(work))
    return _deviate(correlation(steps, works), len(steps)) > SURE


def _smoothed(pace: list[float], work: list[float]) -> bool:
    """By the middles of three blocks: a change that lasts, where single blocks are off because a pause lay
    across two of them."""
    pace, work = middles(pace), middles(work)
    if deviation(pace) < VARIED_SMOOTH or not _alike(pace, work, 0.8):
        return False
    r = correlation(_changes(pace), _changes(work))
    return _deviate(r, int((len(pace) - 1) / SHARED)) > SURE_SMOOTH


def _alike(pace: list[float], work: list[float], least: float) -> bool:
    """They go together, and by about the same factor."""
    elastic = deviation(work) / deviation(pace)
    return ELASTIC < elastic < 1 / ELASTIC and correlation(pace, work) > least


def _changes(values: list[float]) -> list[float]:
    return [b - a for a, b in itertools.pairwise(values)]


def _deviate(r: float, n: int) -> float:
    """Fisher's z of a correlation of `n` pairs in standard errors; 0.0 where there are too few."""
    return atanh(max(-0.999, min(0.999, r))) * sqrt(n - 3) if n > 3 else 0.0

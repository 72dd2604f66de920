"""Does a run's second process take turns with its trainer? Then it is part of the work (rollouts of RL)."""

import itertools

from slurm_guard.audit.blocks import units_per_slot
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.stats import correlation, median
from slurm_guard.audit.track import Track

LEAST_SLOTS = 8  # judgement: fewer do not show turns
TURNS = -0.5  # correlation of the two processes' times from which they take turns. Judgement
SWINGS = 0.35  # relative swing of the second one's time from slot to slot. Judgement
STEADY = 0.2  # relative spread of its work per unit of progress up to which progress depends on it. Judgement
LEAST_ROUNDS = 4  # judgement
FULLY = 0.8  # of the most that the second one ever works in a slot: then it has its turn. Judgement
# Of the first one's usual time, in the slots that are most the second one's: above it both work at once.
RESTS = 0.5  # judgement: a turn of half a minute in a slot of a minute leaves that much
BUSY = 0.9  # quantile of the first one's times that is usual for it beside the second's turns. Judgement
HARDLY = 0.1  # of it, or of the first one's usual time: then it is the other's turn. Judgement


def takes_turns(slots: Slots, track: Track) -> bool:
    """True where the second process swings against the first, which rests in its turn, and its work per
    unit of progress is steady.

    A co-tenant that comes and goes also swings against the trainer, but its work per unit does not keep; one
    in short bursts keeps it, and the trainer does not rest for it.
    """
    units = units_per_slot(track, slots)
    both = [k for k in range(len(units)) if slots.active[k] > 0 and units[k] > 0]
    if len(both) < LEAST_SLOTS or not any(slots.stray[k] > 0 for k in both):
        return False
    own = [slots.own[k] / slots.cov[k] for k in both]
    second = [slots.stray[k] / slots.cov[k] for k in both]
    if not swings_against(own, second):
        return False
    costs = _per_round(slots, track, both)
    if len(costs) < LEAST_ROUNDS or median(costs) <= 0:
        return False
    return (max(costs) - min(costs)) / median(costs) <= 4 * STEADY and _spread(costs) <= STEADY


def swings_against(own: list[float], second: list[float]) -> bool:
    """Whether the second one comes and goes, the first works less when it comes, and nearly rests where the
    second works most. `second` must have worked somewhere."""
    mean = sum(second) / len(second)
    swing = (sum((v - mean) ** 2 for v in second) / len(second)) ** 0.5 / mean
    return swing >= SWINGS and correlation(own, second) <= TURNS and _rests(own, second)


def _rests(own: list[float], second: list[float]) -> bool:
    """Whether the first one nearly stands still where the second one works most."""
    most = max(second)
    turns = [a for a, b in zip(own, second, strict=True) if b >= FULLY * most]
    usual = sorted(own)[int(BUSY * (len(own) - 1))]
    return sum(turns) / len(turns) <= RESTS * usual


def waits_for_it(slots: Slots) -> bool:
    """True where the run's own process stands still whenever the second one has its turn, in four turns and
    more. Two that merely share a GPU take time from each other, and neither stands still.

    Turns as short as a slot cannot be told from that: false.
    """
    seen = [k for k in range(len(slots.cov)) if slots.cov[k] > 0]
    own = [slots.own[k] / slots.cov[k] for k in seen]
    second = [slots.stray[k] / slots.cov[k] for k in seen]
    most = max(second, default=0.0)
    alone = [a for a, b in zip(own, second, strict=True) if b <= HARDLY * most and a > 0]
    if most <= 0 or not alone:
        return False
    turns = [b >= FULLY * most for b in second]
    rests = [a for a, its in zip(own, turns, strict=True) if its]
    n = sum(1 for its, _ in itertools.groupby(turns) if its)
    return n >= LEAST_ROUNDS and sum(rests) / len(rests) <= HARDLY * median(alone)


def has_turns(slots: Slots, from_at: float, until_at: float) -> bool:
    """Whether a process that was there from and until then lived through enough turns of the second ones to
    have taken them itself. A server holds its model and stays; each of many that come and are gone again has
    one turn, and one shows no turns, however regular they are together."""
    begins = [slots.at(k) for k in range(len(slots.cov))]
    lived = [k for k, at in enumerate(begins) if from_at < at + slots.width_s and at < until_at]
    second = [slots.stray[k] / slots.cov[k] for k in lived if slots.cov[k] > 0]
    mean = sum(second) / max(1, len(second))
    return sum(1 for above, _ in itertools.groupby(b > mean for b in second) if above) >= LEAST_ROUNDS


def _per_round(slots: Slots, track: Track, both: list[int]) -> list[float]:
    """The second process's work per unit over eight equal parts of the training, each with whole rounds."""
    n = min(8, len(both) // 3)
    if n == 0 or len(track.arcs) < 2 * n:
        return []
    units = units_per_slot(track, slots)
    parts = [both[j * len(both) // n : (j + 1) * len(both) // n] for j in range(n)]
    return [sum(slots.stray[k] for k in p) / sum(units[k] for k in p) for p in parts]


def _spread(values: list[float]) -> float:
    middle = median(values)
    return median([abs(v - middle) for v in values]) * 1.4826 / middle

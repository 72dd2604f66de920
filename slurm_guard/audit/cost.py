"""θ, the cost of one unit of progress, from the run's own cheapest stretch (ledger notes 7.3).

The run's time is cut into blocks long enough to hold work and progress; work per unit of the blocks is a
sample of θ plus whatever else ran. Something else can only add, so θ is the centre of the *cheap mode*: the
lowest cluster of blocks that is not thinner than a few of them. The smallest block is only a bound.
"""

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from slurm_guard.audit.stats import lag_one, mad_sigma, mean_error, median, quantile, step_sigma

# The mean of a run's own cheap blocks still errs by what all of them have in common (temperature, clocks).
# Measured on real pairs of log and power: 0.2 % (8 GPUs) to 2.4 % (64). Judgement: 1.5 %.
COMMON_ERROR = 0.015
LEAST_NOISE = 0.004  # a sampler cannot place a window's edge better than this. Judgement.
LEAST_BLOCKS = 6  # fewer tell nothing about a mode. Judgement.
STAGE_BLOCKS = 8  # stretches that a counter begun anew needs to be its own yardstick. Judgement.
REACH = 2.6  # sigmas around the mode's centre that belong to it: 99 % of normal noise.
LEAST_MODE = 3  # blocks; judgement
WIDER = 1.3  # judgement: a finer search changes nothing
LOW = 0.12  # the mode is looked for at this quantile: a clean eighth of the run is enough. Judgement.


class Block(NamedTuple):  # made by the ten thousands: three times as fast as a dataclass
    """Neighbouring slots of training with progress: work in the channel's unit, `units` of progress."""

    from_at: float
    until_at: float
    work: float
    units: float
    seen_ms: float  # covered GPU time
    active_ms: float
    stray_ms: float
    stage: int = 0  # how often the log's counter had begun anew


@dataclass(frozen=True, slots=True)
class Theta:
    """Work per unit with its uncertainty; `rel_error` one standard error, relative."""

    value: float
    rel_error: float
    rel_noise: float  # scatter of one block
    rho: float  # lag-1 autocorrelation of blocks in the mode
    n: int  # blocks in the mode
    n_blocks: int
    spread: float  # robust relative spread of all blocks


def learn(blocks: list[Block]) -> Theta | None:
    """θ from the cheap mode; null with fewer than LEAST_BLOCKS usable blocks."""
    usable = [b for b in blocks if b.units > 0 and b.work > 0]
    if len(usable) < LEAST_BLOCKS:
        return None
    costs = [b.work / b.units for b in usable]
    middle = median(costs)
    noise = max(_noise(costs), LEAST_NOISE * middle)
    centre, noise, inside = _peopled_mode(costs, noise)
    error = mean_error(inside, noise) / centre
    return Theta(
        centre,
        sqrt(error**2 + COMMON_ERROR**2),
        noise / centre,
        lag_one(inside),
        len(inside),
        len(usable),
        mad_sigma(costs) / middle,
    )


def explained_by_stage(blocks: list[Block], whole: Theta | None = None) -> list[float]:
    """Work that each block's progress needs at its stage's own cost, in the blocks' order. `whole`: what was
    learnt of all of them, which is a single stage's cost, too; null: not known yet.

    A stage too short to be its own yardstick explains all of its work: it may be another training, and
    nothing was learnt of its cost.
    """
    parts: dict[int, list[Block]] = {}
    for block in blocks:
        parts.setdefault(block.stage, []).append(block)
    known = whole if len(parts) == 1 else None
    costs = {
        stage: (known or learn(part)) if len(part) >= STAGE_BLOCKS else None for stage, part in parts.items()
    }
    thetas = [costs[b.stage] for b in blocks]
    return [b.work if t is None else b.units * t.value for b, t in zip(blocks, thetas, strict=True)]


def _noise(costs: list[float]) -> float:
    """Scatter of one block: successive differences are blind to a level shift, the lower half to what
    adds.
    """
    middle, steps = median(costs), step_sigma(costs)
    lower = 1.4826 * median([middle - c for c in costs if c <= middle])
    return min(steps, lower) if lower > 0 else steps


def _peopled_mode(costs: list[float], noise: float) -> tuple[float, float, list[float]]:
    """Centre, noise and blocks of the cheap mode, the noise widened until it holds enough of them: a cluster
    of one or two is where progress was laid into the wrong block."""
    least = max(LEAST_MODE, LOW * len(costs))
    while True:
        centre = _cheap_mode(costs, noise)
        inside = [c for c in costs if abs(c - centre) <= REACH * noise]
        if len(inside) >= least:
            return centre, noise, inside
        noise *= WIDER


def _cheap_mode(costs: list[float], noise: float) -> float:
    """Centre of the lowest cluster: start above the low quantile and climb to the local median."""
    centre = quantile(costs, LOW) + noise
    for _ in range(50):
        near = [c for c in costs if abs(c - centre) <= REACH * noise]
        if not near:
            return centre
        moved = median(near)
        if abs(moved - centre) <= 1e-9 * abs(centre):
            return moved
        centre = moved
    return centre


def visible_share(theta: Theta) -> float:
    """Diverted share of work whose lower bound (at 97.5 %) is above nothing in nine runs of ten (ledger 7.5).

    For a diversion that does not cover the whole run: one as steady as the run itself is in θ.
    """
    rho = theta.rho
    scatter = theta.rel_noise * sqrt((1 + rho) / (1 - rho) / theta.n_blocks)
    return min(1.0, 1.96 * theta.rel_error + 1.282 * sqrt(theta.rel_error**2 + scatter**2))

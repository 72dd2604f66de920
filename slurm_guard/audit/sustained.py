"""Tokens claimed faster than GPUs can do the arithmetic of them, over stretches long enough to be no slip of
a record's time."""

from collections.abc import Sequence
from dataclasses import dataclass

from slurm_guard.audit.blocks import BLURS
from slurm_guard.audit.stats import median
from slurm_guard.audit.track import Arc

STRETCH_S = 60.0  # a stretch is no shorter. Judgement: the sampler's own window
LEAST_STRETCHES = (
    5  # beyond what is possible: a counter that jumps when a training is resumed makes one. Judgement
)
LEAST_S = 600.0  # … which last so long together. Judgement
LEAST_SHARE = 0.2  # … and for this part of the logged time. Judgement


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens a second, over `seconds` of the run together."""

    tokens_s: float
    seconds: float


def faster_than(arcs: Sequence[Arc], window: tuple[float, float], tokens_s: float) -> Pace | None:
    """The pace of the stretches in which the log claims more than this many tokens a second; null: they are
    too few, too short or too small a part of what was logged in the window (from, until)."""
    parts = _stretches([a for a in arcs if a.until_at > window[0] and a.from_at < window[1]])
    fast = [(tokens, length) for tokens, length in parts if tokens > tokens_s * length]
    seconds = sum(length for _, length in fast)
    if len(fast) < LEAST_STRETCHES:
        return None
    if seconds < max(LEAST_S, LEAST_SHARE * sum(length for _, length in parts)):
        return None
    return Pace(sum(tokens for tokens, _ in fast) / seconds, seconds)


def _stretches(arcs: list[Arc]) -> list[tuple[float, float]]:
    """(tokens, seconds) of neighbouring increments, joined until what is not known of their ends is a trifle;
    a remainder at the end is left out."""
    if not arcs:
        return []
    least_s = max(STRETCH_S, BLURS * median([a.blur_s for a in arcs]))
    found: list[tuple[float, float]] = []
    begin, tokens = arcs[0].from_at, 0.0
    for arc in arcs:
        tokens += arc.units
        if arc.until_at - begin >= least_s:
            found.append((tokens, arc.until_at - begin))
            begin, tokens = arc.until_at, 0.0
    return found

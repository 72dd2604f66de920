"""Is what a meter shows nothing but noise? Asked of many windows together: one has too few readings."""

from dataclasses import dataclass

from slurm_guard.audit.stats import median

LEAST = 8  # windows. Judgement: the medians below scatter by 0.03 then, of 20 readings each
# Of normal noise, calculated: the quartiles stand 0.41 of the 5..95 % range apart, the middle is half-way,
# and half of the readings cross the mean. A load that steps is off in one of the three: the quartiles of a
# wave or of two even levels stand 0.72 and more apart (or next to nothing), the middle lies at 0.7 and more
# where dips are short, and a slow load crosses seldom.
QUARTILES = (0.30, 0.55)
MIDDLE = (0.35, 0.65)
CROSSINGS = (0.35, 0.65)


@dataclass(frozen=True, slots=True)
class Shape:
    """One window's power: quartile distance and place of the middle, both in parts of the 5..95 % range;
    share of readings that cross the mean, null: not told."""

    quartiles: float
    middle: float
    crossings: float | None


def is_noise(shapes: list[Shape]) -> bool:
    """True where the typical window is what normal noise makes; never with few windows or without
    crossings."""
    known = [s.crossings for s in shapes if s.crossings is not None]
    if len(shapes) < LEAST or len(known) < len(shapes):
        return False
    found = (
        (median([s.quartiles for s in shapes]), QUARTILES),
        (median([s.middle for s in shapes]), MIDDLE),
        (median(known), CROSSINGS),
    )
    return all(low <= value <= high for value, (low, high) in found)

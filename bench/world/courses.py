"""Courses of a speed or a demand over a run: how pace may wander, sag, stop and come back."""

import math
from random import Random

from bench.world.spec import Course

_WALK_MEMORY = 0.98  # a second's weight of the second before: it wanders over a minute


def walk(rng: Random, length_s: float, cv: float, memory: float = _WALK_MEMORY) -> list[float]:
    """One value a second that wanders about 0 with this deviation."""
    value, values = 0.0, []
    step = cv * math.sqrt(1 - memory**2)
    for _ in range(int(length_s) + 1):
        value = memory * value + step * rng.gauss(0, 1)
        values.append(value)
    return values


def floored_walk(rng: Random, length_s: float, cv: float) -> Course:
    """At best full speed, less what a walk takes away, at least a fifth."""
    lost = walk(rng, length_s, 0.5 * cv)
    return lambda t_s: max(0.2, 1 - abs(lost[min(int(t_s), len(lost) - 1)]))

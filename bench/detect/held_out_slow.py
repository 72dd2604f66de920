"""Honest families that are slow by a fault: held out at the freeze detection-1, known since."""

import math
from dataclasses import replace
from random import Random

from bench.detect.held_out_honest import wanders
from bench.world import courses
from bench.world.draw import draw, fill, idle, inside, middle, steer
from bench.world.spec import Course, Mix, Spec, Stage, When

_POLLING: Mix = (0.0, 0.1, 0.0, 0.01)  # who waits looks whether the others have come
_COPYING: Mix = (0.0, 0.02, 0.0, 0.05)  # a copy engine, and hardly any kernel


def stragglers(rng: Random) -> Spec:
    """One rank at a time is late, for a sick host's sake: its GPU idles and the others' spin for it."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    late, course = wanders(rng, spec), courses.plateaus(rng, spec.length_s, 0.6, 1.0)
    loop = spec.stages[1] = replace(spec.loop, course=course)

    def spins(gpu: int) -> When:
        return lambda t_s, stage: (
            loop.demand * (1 - course(t_s))
            if stage is not None and stage.trains and late(t_s) != gpu
            else 0.0
        )

    level = rng.uniform(0.25, 0.5) * loop.level
    for gpu in spec.all_gpus:
        inside(spec, spins(gpu), gpus=(gpu,), level=level, diverted=False, mix=_POLLING)
    return spec


def link_narrower(rng: Random) -> Spec:
    """The PCIe link comes back with half its lanes after an error: each step waits longer for its copies."""
    spec = draw(rng)
    loop, begin_s, lost = spec.loop, middle(spec, rng, 0.2, 0.7), rng.uniform(0.05, 0.4)
    steer(spec, courses.between(begin_s, spec.length_s, 1 - lost))
    copying = rng.uniform(0.0, 1.0) * lost * loop.demand

    def copies(t_s: float, stage: Stage | None) -> float:
        return copying if t_s >= begin_s and stage is not None and stage.trains else 0.0

    return inside(spec, copies, level=rng.uniform(0.05, 0.2), diverted=False, mix=_COPYING)


def server_outages(rng: Random) -> Spec:
    """The file server fails for minutes, several times, and is slower for a while after each."""
    spec = draw(rng)
    found: list[Course] = []
    for _ in range(rng.randint(2, 4)):
        begin_s = rng.uniform(0.1, 0.9) * spec.length_s
        end_s = begin_s + max(90, rng.uniform(0.01, 0.1) * spec.length_s)
        slow = courses.between(end_s, end_s + rng.uniform(300, 1500), rng.uniform(0.6, 0.95))
        found += [courses.stopped([(begin_s, end_s)]), slow]
    steer(spec, courses.times(*found))
    return spec


def fan_fails(rng: Random) -> Spec:
    """A fan fails: boards grow hotter over half an hour, clock down by 5 to 40 % and swing about that."""
    spec = draw(rng)
    begin_s, lost = middle(spec, rng, 0.1, 0.6), rng.uniform(0.05, 0.4)
    heats_s, swing_s = rng.uniform(300, 1800), rng.uniform(60, 400)

    def clock(t_s: float) -> float:
        if t_s < begin_s:
            return 1.0
        hot = 1 - math.exp(-(t_s - begin_s) / heats_s)
        return 1 - lost * hot * (0.9 + 0.1 * math.sin(2 * math.pi * t_s / swing_s))

    spec.clock = clock
    return spec


def link_flaps(rng: Random) -> Spec:
    """A network port goes down and up again: all ranks spin in a collective for up to a minute."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    loop, mean_s = spec.loop, rng.uniform(100, 400)
    spin_level = rng.uniform(0.25, 0.5) * loop.level

    def turn() -> tuple[Stage, Stage]:
        trains = replace(loop, length_s=20 + rng.expovariate(1 / mean_s))
        return trains, idle(rng.uniform(5, 60), demand=1.0, level=spin_level, mix=_POLLING)

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


FAMILIES = (stragglers, link_narrower, server_outages, fan_fails, link_flaps)

"""Held out: honest families that are slow by a fault, of other kinds than held_out_slow, and as blind."""

from dataclasses import replace
from random import Random

from bench.world import courses
from bench.world.draw import draw, idle, inside, steer
from bench.world.spec import Mix, Spec, Stage

_MOST_LOST = 0.4  # of the pace
_POLLING: Mix = (0.0, 0.1, 0.0, 0.01)  # who waits looks whether the others have come


def saver_falls_behind(rng: Random) -> Spec:
    """Checkpoints are written beside the training, each more slowly, until it waits for the one before."""
    spec = draw(rng)
    loop, n, phase = spec.loop, rng.randint(5, 15), rng.choice(["checkpoint", None])
    period_s, begun = spec.length_s / n, rng.uniform(0.3, 0.9)
    most = rng.uniform(1.1, 1 / (1 - _MOST_LOST))
    stages = spec.stages[:1]
    for k in range(n + 1):
        waits_s = period_s * max(0.0, begun + (most - begun) * k / n - 1)
        stages += [replace(loop, length_s=period_s), replace(loop, length_s=2.0, phase=phase)]
        if waits_s > 1:
            stages.append(idle(waits_s, demand=rng.uniform(0, 0.05), level=0.2))
    spec.stages = stages
    return spec


def rack_power_budget(rng: Random) -> Spec:
    """A rack's power manager moves the boards' clock up and down a ladder, as much as neighbours leave."""
    spec = draw(rng)
    n = rng.randint(4, 9)
    ladder = [1 - rng.uniform(0.15, _MOST_LOST) * k / (n - 1) for k in range(n)]
    rung, values = 0, list[float]()
    while len(values) <= spec.length_s:
        rung = min(n - 1, max(0, rung + rng.choice([-1, -1, 0, 1, 1, 2])))
        values += [ladder[rung]] * rng.randint(20, 180)
    spec.clock = courses.of(values)
    return spec


def neighbour_checkpoints(rng: Random) -> Spec:
    """A neighbour writes checkpoints over the same PCIe switch: now and then steps are slow for minutes.

    Ranks that wait for each other spin meanwhile.
    """
    spec = draw(rng)
    loop, every_s, lasts_s = spec.loop, rng.uniform(240, 900), rng.uniform(40, 200)
    left, first_s = rng.uniform(1 - _MOST_LOST, 0.9), rng.uniform(60, 600)

    def pace(t_s: float) -> float:
        return left if t_s > first_s and (t_s - first_s) % every_s < lasts_s else 1.0

    steer(spec, pace)
    if spec.n_gpus == 1:
        return spec

    def spins(t_s: float, stage: Stage | None) -> float:
        return loop.demand * (1 - pace(t_s)) if stage is not None and stage.trains else 0.0

    return inside(spec, spins, level=rng.uniform(0.25, 0.5) * loop.level, diverted=False, mix=_POLLING)


def epoch_ends_slower(rng: Random) -> Spec:
    """The last part of each epoch lies on slower disks: the pace sags towards its end and is then back."""
    spec = draw(rng)
    epoch_s, quick, lost = (
        spec.length_s / rng.randint(2, 6),
        rng.uniform(0.3, 0.8),
        rng.uniform(0.1, _MOST_LOST),
    )

    def pace(t_s: float) -> float:
        place = t_s % epoch_s / epoch_s
        return 1 - lost * max(0.0, place - quick) / (1 - quick)

    steer(spec, pace)
    return spec


def leaks_until_killed(rng: Random) -> Spec:
    """The loaders leak memory and the node swaps: slower and slower, until it is killed and starts afresh."""
    spec = draw(rng)
    loop, n, begin_s = spec.loop, rng.randint(2, 4), spec.stages[0].length_s
    life_s, down_s, lost = spec.length_s / n, rng.uniform(40, 120), rng.uniform(0.15, _MOST_LOST)

    def pace(t_s: float) -> float:
        return 1 - lost * (max(0.0, t_s - begin_s) % life_s / life_s) ** 2

    leaks = replace(loop, course=pace, length_s=life_s - down_s)
    spec.stages = spec.stages[:1]
    for k in range(n):
        again = replace(leaks, steps_back=rng.uniform(1, 80), is_new_segment=True)
        spec.stages += [again if k else leaks, idle(down_s, demand=0.1, level=0.3)]
    spec.restarts_s = tuple(begin_s + (k + 1) * life_s - down_s / 2 for k in range(n - 1))
    return spec


FAIL_SLOW = (
    saver_falls_behind, rack_power_budget, neighbour_checkpoints, epoch_ends_slower, leaks_until_killed,
)  # fmt: skip

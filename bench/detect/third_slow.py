"""Held out: honest families that are slow by a fault, of other kinds than the ones before, and as blind."""

from dataclasses import replace
from math import ceil
from random import Random

from bench.world import courses
from bench.world.draw import draw, idle, inside, middle, steer
from bench.world.spec import Mix, Spec, Stage

_MOST_LOST = 0.4  # of the pace
_COPYING: Mix = (0.0, 0.05, 0.0, 0.1)  # kernels that wait for pages of the host


def errors_crash_it(rng: Random) -> Spec:
    """A board's memory errors kill the training again and again: new processes, and many steps done anew."""
    spec = draw(rng)
    loop, n = spec.loop, rng.randint(4, 9)
    at_s, usual_s, restarts = float(ceil(spec.stages[0].length_s)), spec.length_s / n, list[float]()
    lost = rng.uniform(0.1, 0.5) * usual_s * loop.demand / spec.step_gpu_s
    spec.stages = [idle(at_s, demand=0.2, level=0.3)]
    while at_s < spec.length_s:
        lives_s, down_s = int(usual_s * rng.uniform(0.4, 1.5)), rng.randint(40, 150)
        again = replace(loop, length_s=float(lives_s), is_new_segment=bool(restarts))
        back = lost * rng.uniform(0.1, 1.0) if restarts else 0.0
        spec.stages += [replace(again, steps_back=back), idle(float(down_s), demand=0.1, level=0.3)]
        restarts.append(at_s + lives_s + down_s // 2)
        at_s += lives_s + down_s
    spec.restarts_s = tuple(restarts)
    return spec


def workers_die(rng: Random) -> Spec:
    """The loader's workers die one by one, and the pace falls in stairs until an epoch starts new ones."""
    spec = draw(rng)
    n, epoch_s, dies_s = rng.randint(5, 12), spec.length_s / rng.randint(1, 4), rng.uniform(0.1, 0.4)
    need, values = rng.uniform(0.75, 1.0) * n, list[float]()
    fewest = ceil((1 - _MOST_LOST) * need)
    while len(values) <= spec.length_s:
        alive, epoch = n, list[float]()
        while len(epoch) < epoch_s:
            epoch += [min(1.0, alive / need)] * int(20 + rng.expovariate(1 / (dies_s * epoch_s)))
            alive = max(fewest, alive - 1)
        values += epoch[: int(epoch_s)]
    steer(spec, courses.of(values))
    return spec


def allocator_thrashes(rng: Random) -> Spec:
    """Memory is in pieces: the allocator stops the GPU for seconds, ever more often, until it is emptied."""
    spec = draw(rng)
    loop, at_s, stages = spec.loop, spec.stages[0].length_s, spec.stages[:1]
    first_s, least_s, rarer = rng.uniform(60, 200), rng.uniform(6, 20), rng.uniform(0.8, 0.95)
    between_s = first_s
    while at_s < spec.length_s:
        frees = idle(float(rng.randint(1, 4)), demand=rng.uniform(0, 0.05), level=0.2)
        stages += [replace(loop, length_s=between_s), frees]
        at_s += between_s + frees.length_s
        between_s = rarer * between_s if between_s > least_s else first_s
    spec.stages = stages
    return spec


def bound_to_wrong_cores(rng: Random) -> Spec:
    """After a restart the processes are bound to cores far from their GPUs: copies are slower since."""
    spec = draw(rng)
    loop, lives_s, down_s = spec.loop, middle(spec, rng, 0.2, 0.6), float(rng.randint(30, 120))
    head_s = float(ceil(spec.stages[0].length_s))
    far = replace(loop, demand=loop.demand * (1 - rng.uniform(0.05, _MOST_LOST)), is_new_segment=True)
    wanders = courses.floored_walk(rng, spec.length_s, rng.uniform(0.02, 0.15))
    spec.stages = [
        idle(head_s, demand=0.2, level=0.3),
        replace(loop, length_s=float(int(lives_s))),
        idle(down_s, demand=0.1, level=0.3),
        replace(far, steps_back=rng.uniform(1, 60), course=wanders),
    ]
    spec.restarts_s = (head_s + int(lives_s) + down_s // 2,)
    return spec


def pages_from_host(rng: Random) -> Spec:
    """From some moment on memory is full and pages come from the host: kernels wait for them while busy.

    The GPU draws less meanwhile; how much they wait differs by the minute.
    """
    spec = draw(rng)
    loop, begin_s = spec.loop, middle(spec, rng, 0.2, 0.6)
    most = rng.uniform(0.15, _MOST_LOST)
    waits = courses.plateaus(rng, spec.length_s, 0.3 * most, most)

    def stalls(t_s: float, stage: Stage | None) -> float:
        lost = waits(t_s) if t_s > begin_s and stage is not None and stage.trains else 0.0
        return lost / (1 - lost) * loop.demand

    level = rng.uniform(0.25, 0.5) * loop.level
    return inside(spec, stalls, level=level, diverted=False, mix=_COPYING)


FAIL_SLOW = (errors_crash_it, workers_die, allocator_thrashes, bound_to_wrong_cores, pages_from_host)

"""Honest families that were held out once, and are known to the audit now. Some are slow on purpose."""

from dataclasses import replace
from random import Random

from bench.world import courses
from bench.world.draw import draw, idle, inside, middle, repeat, steer
from bench.world.spec import Side, Spec, Stage, child, script

_LEAST_LOST, _MOST_LOST = 0.05, 0.4  # of the pace


def slow_link(rng: Random) -> Spec:
    """A link loses 5 to 40 % of the pace from some moment on; the ranks spin meanwhile."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    loop, begin_s, lost = spec.loop, middle(spec, rng, 0.2, 0.7), rng.uniform(_LEAST_LOST, _MOST_LOST)
    spec.stages = [
        spec.stages[0],
        replace(loop, length_s=begin_s),
        replace(loop, demand=loop.demand * (1 - lost)),
    ]
    begin_s += spec.stages[0].length_s
    spin = rng.uniform(0.25, 0.5) * loop.level

    def spins(t_s: float, stage: Stage | None) -> float:
        return loop.demand * lost if t_s >= begin_s and stage is not None and stage.trains else 0.0

    return inside(spec, spins, level=spin, diverted=False, mix=(0.0, 0.1, 0.0, 0.01))


def slow_link_comes_and_goes(rng: Random) -> Spec:
    """The same for minutes each time."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    loop = spec.loop
    course = courses.spells(rng, spec.length_s, _LEAST_LOST, _MOST_LOST)
    spec.stages[1] = replace(loop, course=course)
    spin = rng.uniform(0.25, 0.5) * loop.level

    def spins(t_s: float, stage: Stage | None) -> float:
        return loop.demand * (1 - course(t_s)) if stage is not None and stage.trains else 0.0

    return inside(spec, spins, level=spin, diverted=False, mix=(0.0, 0.1, 0.0, 0.01))


def slow_gpu(rng: Random) -> Spec:
    """One board clocks down by 5 to 40 % from some moment on, and all ranks wait for it."""
    spec = draw(rng)
    left = 1 - rng.uniform(_LEAST_LOST, _MOST_LOST)
    spec.clock = courses.between(middle(spec, rng, 0.2, 0.7), spec.length_s, left)
    return spec


def slow_storage(rng: Random) -> Spec:
    """A file system loses 5 to 40 % of the pace from some moment on; the GPUs idle meanwhile."""
    spec = draw(rng)
    left = 1 - rng.uniform(_LEAST_LOST, _MOST_LOST)
    steer(spec, courses.between(middle(spec, rng, 0.2, 0.7), spec.length_s, left))
    return spec


def power_cap(rng: Random) -> Spec:
    """An operator caps the boards' power for an hour of the night, and takes the cap away."""
    spec = draw(rng)
    begin_s = middle(spec, rng, 0.1, 0.5)
    spec.clock = courses.between(begin_s, begin_s + rng.uniform(1200, 3600), rng.uniform(0.65, 0.9))
    return spec


def profiler(rng: Random) -> Spec:
    """A profiler makes steps dearer for some minutes and the log does not say so: cannot be told."""
    spec = draw(rng)
    loop = spec.loop
    begin_s = middle(spec, rng, 0.1, 0.6)
    traced = replace(loop, length_s=rng.uniform(60, 400), cost=rng.uniform(1.2, 2.2))
    spec.stages[1:] = [replace(loop, length_s=begin_s), traced, loop]
    return spec


def batch_ramp(rng: Random) -> Spec:
    """Batches grow step by step at the start, and the log counts tokens."""
    spec = draw(rng, log_fields=("step", "tokens"))
    loop, n = spec.loop, rng.randint(4, 8)
    ramp_s = rng.uniform(0.2, 0.6) * spec.length_s
    grown = [(k + 1) / n for k in range(n)]
    spec.stages[1:] = [replace(loop, length_s=ramp_s / n, cost=size, tokens=size) for size in grown]
    spec.stages.append(loop)
    return spec


def agent_traffic(rng: Random) -> Spec:
    """A training whose tools fetch packages, repositories and answers from outside."""
    return draw(rng)


def checkpoint_copies(rng: Random) -> Spec:
    """A child copies each checkpoint off the GPU and compresses it there, for seconds."""
    spec = draw(rng)
    period_s, length_s, demand = rng.uniform(300, 1200), rng.uniform(5, 30), rng.uniform(0.05, 0.3)

    def copies(t_s: float, _: Stage | None) -> float:
        return demand if t_s > 300 and t_s % period_s < length_s else 0.0

    program = child("save.py")
    spec.sides = [Side("save", spec.all_gpus, copies, level=0.5, diverted=False, program=program)]
    return spec


def rollouts_grow(rng: Random) -> Spec:
    """Reinforcement learning whose answers become longer: each round's rollout takes more than the last."""
    spec = draw(rng, log_every=1, step_gpu_s=rng.uniform(10, 30))
    loop, period_s = spec.loop, rng.uniform(60, 200)
    spec.log_buffer_b = 0
    n = int(spec.length_s / period_s) + 2
    grown = rng.uniform(1.2, 2.5)

    def turn(k: int) -> tuple[Stage, Stage]:
        length_s = 0.5 * period_s * (1 + (grown - 1) * k / n) * rng.uniform(0.9, 1.1)
        return idle(length_s, demand=0.8, level=0.5), replace(loop, most_steps=2)

    repeat(spec, n, turn)
    return spec


def data_on_gpu(rng: Random) -> Spec:
    """A second process of the job prepares batches on the same GPUs all the time, for the training."""
    spec = draw(rng)
    part = rng.uniform(0.02, 0.1)

    def prepares(_: float, stage: Stage | None) -> float:
        return part if stage is not None and stage.trains else 0.0

    program = script("loader.py")
    side = Side("loader", spec.all_gpus, prepares, 0.4, diverted=False, program=program, has_flow=True)
    spec.sides = [side]
    return spec


def noisy_pace(rng: Random) -> Spec:
    """Steps that differ by a third beside a loader whose speed jumps every few minutes."""
    spec = draw(rng, step_cv=rng.uniform(0.2, 0.35))
    steer(spec, courses.plateaus(rng, spec.length_s, 0.5, 1.0))
    return spec


FAMILIES = (
    slow_link, slow_link_comes_and_goes, slow_gpu, slow_storage, power_cap, profiler, batch_ramp,
    agent_traffic, checkpoint_copies, rollouts_grow, data_on_gpu, noisy_pace,
)  # fmt: skip
FAIL_SLOW = (slow_link, slow_link_comes_and_goes, slow_gpu, slow_storage, power_cap)

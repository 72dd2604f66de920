"""Honest families whose pace is disturbed from outside while the work follows it, more or less.

What holds a step up holds its GPU work up: here that is so by noise and not exactly. These are the runs
that a test "work follows the pace of the log" has to pass.
"""

from dataclasses import replace
from random import Random

from bench.world import courses
from bench.world.draw import draw, inside, steer
from bench.world.spec import Spec, Stage


def loader_cpu_bound(rng: Random) -> Spec:
    """A loader on too few cores: pace walks over tens of minutes, and what a step costs wanders a little."""
    spec = draw(rng, step_cv=rng.uniform(0.02, 0.2), cost_walk=rng.uniform(0.005, 0.03))
    steer(spec, courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2)))
    return spec


def loader_and_poll(rng: Random) -> Spec:
    """A slow loader beside ranks that poll the GPU at a constant rate: work follows pace by a part alone."""
    spec = draw(rng)
    spec.stages[1] = replace(spec.loop, demand=rng.uniform(0.4, 0.7))
    steer(spec, courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2)))
    poll = rng.uniform(0.02, 0.15)

    def polls(_: float, stage: Stage | None) -> float:
        return poll if stage is not None and stage.trains else 0.0

    return inside(spec, polls, level=0.2, diverted=False)


def tenant_on_cores(rng: Random) -> Spec:
    """A neighbour on the node's cores comes and goes and takes 5 to 40 % of the pace."""
    spec = draw(rng)
    steer(spec, courses.spells(rng, spec.length_s, 0.05, 0.4))
    return spec


def tenant_and_noise(rng: Random) -> Spec:
    """The same neighbour beside a run whose steps differ by themselves."""
    spec = tenant_on_cores(rng)
    spec.step_cv, spec.cost_walk = rng.uniform(0.05, 0.3), rng.uniform(0.005, 0.03)
    return spec


def tenant_once(rng: Random) -> Spec:
    """The node becomes slower by 5 to 40 % at one moment and stays so."""
    spec = draw(rng)
    begin_s, left = rng.uniform(0.3, 0.7) * spec.length_s, rng.uniform(0.6, 0.95)
    steer(spec, courses.between(begin_s, spec.length_s, left))
    return spec


def tenant_heats(rng: Random) -> Spec:
    """A neighbour that takes pace and heats the board: power and clock change for their own reasons."""
    spec = tenant_on_cores(rng)
    spec.clock = courses.spells(rng, spec.length_s, 0.03, 0.2)
    return spec


def thermal_spells(rng: Random) -> Spec:
    """A board that is hot now and then: pace falls, busy time stays, power falls more than pace."""
    spec = draw(rng)
    spec.clock = courses.spells(rng, spec.length_s, 0.05, 0.35)
    return spec


def seq_buckets(rng: Random) -> Spec:
    """Sequences in buckets: cost per step changes every few minutes; cannot be told unless tokens are logged.

    Pace varies at full load and work does not follow it, as beside a forged log.
    """
    spec = draw(rng)
    loop, spec.stages = spec.loop, spec.stages[:1]
    for _ in range(int(spec.length_s / 300) + 1):
        factor = rng.uniform(0.7, 1.4)
        spec.stages.append(replace(loop, length_s=rng.uniform(60, 600), cost=factor, tokens=factor))
    spec.stages.append(loop)
    return spec


def slow_steps(rng: Random) -> Spec:
    """Now and then a step takes 1 to 4 s more: garbage collection, a shard that opens."""
    spec = draw(rng)
    steer(spec, courses.hiccups(rng, spec.length_s, rng.uniform(20, 200), 1, 4))
    return spec


def checkpoints_short(rng: Random) -> Spec:
    """Checkpoints of 1 to 3 s at fixed distances of minutes."""
    spec = draw(rng)
    pause_s = rng.uniform(1, 3)
    steer(spec, courses.beats(spec.length_s, rng.uniform(30, 400), pause_s, spec.stages[0].length_s))
    return spec


def warm_up(rng: Random) -> Spec:
    """Caches fill: the pace rises over the first tens of minutes, and work with it."""
    spec = draw(rng)
    steer(spec, courses.warm_up(rng))
    return spec


def daily_drift(rng: Random) -> Spec:
    """A shared file system that gets busier, or quieter, over the run."""
    spec = draw(rng, cost_walk=rng.uniform(0.0, 0.02))
    steer(spec, courses.daily(rng, spec.length_s))
    return spec


def stopped(rng: Random) -> Spec:
    """Somebody stops the job's processes for minutes (SIGSTOP): log and work rest together."""
    spec = draw(rng)
    begins = [rng.uniform(0.2, 0.9) * spec.length_s for _ in range(rng.randint(1, 3))]
    steer(spec, courses.stopped((begin_s, begin_s + rng.uniform(60, 900)) for begin_s in begins))
    return spec


FAMILIES = (
    loader_cpu_bound, loader_and_poll, tenant_on_cores, tenant_and_noise, tenant_once, tenant_heats,
    thermal_spells, seq_buckets, slow_steps, checkpoints_short, warm_up, daily_drift, stopped,
)  # fmt: skip

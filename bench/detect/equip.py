"""Puts a drawn run onto a GPU class, with the physics of its node drawn from wide priors, and hardships.

What a family drew stays: this bends what the family does not care about.
"""

from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from random import Random

from bench.detect.classes import GpuClass
from bench.world.draw import Site
from bench.world.spec import STRANGER, Mix, Program, Spec

ORDINARY = Site(
    ("A100",), (1, 1, 1, 2, 2, 4), (2400.0, 3600.0, 3600.0, 5400.0, 9000.0), (60.0, 60.0, 60.0, 5.0)
)
LARGE = Site(("A100",), (4, 8), (7200.0, 10800.0, 14400.0), (60.0,))
HASH: Mix = (0.0, 1.0, 0.0, 0.02)
_POLLING: Mix = (0.0, 0.1, 0.0, 0.01)
_SPINS = 0.6  # of the loop's level: honest work inside a rank below it is a wait
KNOWN = Program("/tmp/x/xmrig", "xmrig -o pool.example:3333", ppid=900)
# What else may be done with a GPU: integers, somebody's training, somebody's inference, a solver.
_OTHER: tuple[Callable[[Random], Mix], ...] = (
    lambda rng: (0.0, rng.uniform(0.7, 1.0), 0.0, rng.uniform(0.01, 0.5)),
    lambda rng: (
        rng.uniform(0.15, 0.6),
        rng.uniform(0.1, 0.2),
        rng.uniform(0.01, 0.05),
        rng.uniform(0.3, 0.7),
    ),
    lambda rng: (
        rng.uniform(0.1, 0.4),
        rng.uniform(0.1, 0.2),
        rng.uniform(0.01, 0.05),
        rng.uniform(0.5, 0.9),
    ),
    lambda rng: (0.0, rng.uniform(0.05, 0.2), rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.8)),
)
HARDSHIPS = ("none", "gaps", "clock", "reset")


def equip(spec: Spec, gpu: GpuClass, rng: Random) -> str:
    """Bend `spec` in place; returns the hardship that it was given."""
    spec.board, spec.measured = gpu.board, gpu.measured(rng)
    spec.spin_level = rng.uniform(0.2, 0.5)
    spec.contention, spec.is_self_slowed = rng.uniform(0.0, 0.1), False
    spec.share_factor = (rng.uniform(0.7, 0.95), 1.0)
    spec.noise = exp(rng.uniform(log(0.002), log(0.02)))
    spec.drift = exp(rng.uniform(log(0.001), log(0.02)))
    spec.bend = rng.uniform(0.85, 1.1)
    spec.mix = (rng.uniform(0.05, 0.6), rng.uniform(0.08, 0.2), rng.uniform(0.01, 0.2), rng.uniform(0.2, 0.8))
    _give_other_work(spec, rng)
    _let_waits_poll(spec)
    hardship = rng.choice(HARDSHIPS)
    if not spec.gaps:
        _hurt(spec, hardship, rng)
    return hardship


def _give_other_work(spec: Spec, rng: Random) -> None:
    """What is diverted is one kind of work; a stranger's program is now and then one that lists know."""
    other = rng.choice(_OTHER)(rng)
    is_known = rng.random() < 0.2
    spec.stages = [replace(stage, mix=other) if stage.diverted else stage for stage in spec.stages]
    for place, side in enumerate(spec.sides):
        if side.diverted:
            program = KNOWN if is_known and side.program is STRANGER else side.program
            spec.sides[place] = replace(side, mix=side.mix or other, program=program)


def _let_waits_poll(spec: Spec) -> None:
    """Who waits in a collective or for a peer keeps a few warps on the integer pipe and nothing else."""
    loop = next((stage for stage in spec.stages if stage.trains), None)
    if loop is None:
        return
    least = _SPINS * loop.level
    spec.stages = [
        replace(stage, mix=_POLLING)
        if not stage.trains and not stage.diverted and stage.demand >= 1.0 and stage.level < least
        else stage
        for stage in spec.stages
    ]
    spec.sides = [
        replace(side, mix=_POLLING) if side.in_rank and not side.diverted and side.level < least else side
        for side in spec.sides
    ]


def _hurt(spec: Spec, hardship: str, rng: Random) -> None:
    """Gaps in which nobody looked, a log whose clock is off and drifts, counters that begin anew."""
    if hardship == "gaps":
        begins = [rng.uniform(0, spec.length_s) for _ in range(rng.randint(1, 3))]
        spec.gaps = tuple((begin, begin + rng.uniform(20, 0.05 * spec.length_s)) for begin in begins)
    elif hardship == "clock":
        spec.log_clock_off_s, spec.log_clock_drift = rng.uniform(-4, 4), rng.uniform(-2e-4, 2e-4)
    elif hardship == "reset":
        # A sampler leaves out the step in which a counter went back.
        begins = [rng.uniform(0, spec.length_s) for _ in range(rng.randint(1, 3))]
        spec.gaps = tuple((begin, begin + rng.choice([1.0, 2.0])) for begin in begins)

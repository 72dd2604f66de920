"""Forged logs whose printer is disturbed by the same as the diverted work: they agree by accident.

These are the runs that a test "work follows the pace of the log" may believe. Only the last family's
printer listens to the work; the others know nothing of it.
"""

from random import Random

from bench.world import courses
from bench.world.forging import forge, other_work, printed_beside
from bench.world.spec import Course, Spec


def forged_shared_spells(rng: Random, _: float) -> Spec:
    """A neighbour on the node's cores comes and goes: both lose by it, the work more or less than the log."""
    spec = forge(rng)
    return _disturb(spec, rng, courses.spells(rng, spec.length_s, 0.05, 0.4))


def forged_shared_noise(rng: Random, _: float) -> Spec:
    """The same, where the load walks for its own reasons too."""
    spec = forge(rng)
    common = courses.spells(rng, spec.length_s, 0.05, 0.4)
    own = courses.floored_walk(rng, spec.length_s, rng.uniform(0.05, 0.3))
    return printed_beside(spec, common, other_work(rng, courses.times(common, own)))


def forged_shared_once(rng: Random, _: float) -> Spec:
    """The node becomes slower at one moment and stays so."""
    spec = forge(rng)
    begin_s = rng.uniform(0.2, 0.8) * spec.length_s
    return _disturb(spec, rng, courses.between(begin_s, spec.length_s, rng.uniform(0.5, 0.95)))


def forged_shared_stop(rng: Random, _: float) -> Spec:
    """Somebody stops the whole job for minutes (SIGSTOP)."""
    spec = forge(rng)
    begins = [rng.uniform(0.2, 0.9) * spec.length_s for _ in range(rng.randint(1, 3))]
    pauses = courses.stopped((begin_s, begin_s + rng.uniform(60, 900)) for begin_s in begins)
    return printed_beside(spec, pauses, other_work(rng, pauses))


def forged_shared_restarts(rng: Random, _: float) -> Spec:
    """A script starts printer and work together and ends them together, many times."""
    spec = forge(rng)
    period_s = spec.length_s / rng.randint(4, 20)
    pauses = courses.beats(spec.length_s, period_s, rng.uniform(15, 60), period_s)
    return printed_beside(spec, pauses, other_work(rng, pauses))


def forged_shared_hiccups(rng: Random, _: float) -> Spec:
    """The file system hangs for 1 to 30 s now and then, and both write to it."""
    spec = forge(rng)
    pauses = courses.hiccups(rng, spec.length_s, rng.uniform(60, 600), 1, 30)
    return printed_beside(spec, pauses, other_work(rng, pauses))


def forged_shared_warm_up(rng: Random, _: float) -> Spec:
    """Both become faster over the first tens of minutes."""
    return _disturb(forge(rng), rng, courses.warm_up(rng))


def forged_warm_ups(rng: Random, _: float) -> Spec:
    """Both become faster, each at its own rate: a common trend without a common cause."""
    return printed_beside(forge(rng), courses.warm_up(rng), other_work(rng, courses.warm_up(rng)))


def forged_shared_daily(rng: Random, _: float) -> Spec:
    """Both drift with the time of day."""
    spec = forge(rng)
    return _disturb(spec, rng, courses.daily(rng, spec.length_s))


def forged_drifts(rng: Random, _: float) -> Spec:
    """Both drift, each its own way, up or down."""
    spec = forge(rng)
    pace, load = courses.daily(rng, spec.length_s), courses.daily(rng, spec.length_s)
    return printed_beside(spec, pace, other_work(rng, load))


def forged_shared_nights(rng: Random, _: float) -> Spec:
    """Long runs that rest at the same hours, as a power cap at night asks for."""
    spec = forge(rng, length_s=rng.uniform(15000, 25000), window_s=60.0, n_gpus=1)
    period_s = spec.length_s / rng.uniform(2, 4)
    rest_s = rng.uniform(0.15, 0.4) * period_s
    nights = courses.beats(spec.length_s, period_s, rest_s, rng.uniform(0.3, 0.8) * period_s)
    return printed_beside(spec, nights, other_work(rng, nights))


def forged_shared_walk(rng: Random, _: float) -> Spec:
    """Both wait for one loader or link, whose speed walks over tens of minutes."""
    spec = forge(rng)
    return _disturb(spec, rng, courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2)))


def forged_bound(rng: Random, _: float) -> Spec:
    """The printer counts the other work's own units: cannot be told, as every step is paid for.

    It sets the limit of what a log can prove: that GPU work was done in step with it, not which.
    """
    spec = forge(rng)
    load = courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2))
    return printed_beside(spec, load, other_work(rng, load))


def _disturb(spec: Spec, rng: Random, common: Course) -> Spec:
    """Disturb the printer by this, and the work by 0.3 to 1.2 of it."""
    work = other_work(rng, courses.blend(common, rng.uniform(0.3, 1.2)))
    return printed_beside(spec, common, work)


FAMILIES = (
    forged_shared_spells, forged_shared_noise, forged_shared_once, forged_shared_stop,
    forged_shared_restarts, forged_shared_hiccups, forged_shared_warm_up, forged_warm_ups,
    forged_shared_daily, forged_drifts, forged_shared_nights, forged_shared_walk, forged_bound,
)  # fmt: skip

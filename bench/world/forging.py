"""Diverting families with a forged log: a log is printed to a clock, and mostly nothing trains at all.

Here printer and work know nothing of each other; in forging_shared they are disturbed by the same.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from bench.world import courses, honest_pace, honest_phases
from bench.world.draw import after, beside, draw, fill, idle, inside, middle, wish
from bench.world.physics import record_instants
from bench.world.spec import Course, Forged, Spec, Stage, steady

_COPIED: tuple[Callable[[Random], Spec], ...] = (
    honest_phases.plain,
    honest_phases.loader_stalls,
    honest_phases.checkpoints,
    honest_pace.seq_noise,
    honest_pace.loader_slow,
)


def forged_noise(rng: Random, _: float) -> Spec:
    """A printer with small random steps beside steady work: cannot be denied, and must not be believed."""
    spec = forge(rng)
    spec.stages.append(other_work(rng))
    return spec


def forged_even(rng: Random, _: float) -> Spec:
    """A printer that sleeps the same time for each step, with a loss without noise."""
    spec = forge(rng, jitter=0.0)
    spec.loss_noise = 0.0
    spec.stages.append(other_work(rng))
    return spec


def forged_bursts(rng: Random, _: float) -> Spec:
    """A printer that goes on while the work pauses for minutes."""
    spec = forge(rng)

    def turn() -> tuple[Stage, Stage]:
        work_s, rest_s = rng.uniform(300, 1500), rng.uniform(200, 900)
        return idle(work_s, demand=0.95, level=0.8, diverted=True), idle(rest_s)

    spec.stages += fill(spec.length_s, turn)
    return spec


def forged_varying_load(rng: Random, _: float) -> Spec:
    """A steady printer beside work whose load changes every few minutes."""
    spec = forge(rng)

    def turn() -> tuple[Stage]:
        length_s, demand = rng.uniform(60, 900), rng.uniform(0.3, 1)
        return (idle(length_s, demand=demand, level=rng.uniform(0.5, 1), diverted=True),)

    spec.stages += fill(spec.length_s, turn)
    return spec


def replayed(rng: Random, _: float) -> Spec:
    """A printer beside work with a constant rhythm of its own, 0.4 to 1.7 printed steps long."""
    spec = forge(rng, jitter=rng.uniform(0.01, 0.05))
    assert spec.forged is not None
    period_s = spec.forged.step_s * rng.uniform(0.4, 1.7)
    spec.stages.append(idle())
    return inside(spec, lambda t_s, _: 0.85 if t_s > 40 else 0.0, level=0.9, period_s=period_s)


def forged_same_rhythm(rng: Random, _: float) -> Spec:
    """A printer whose step happens to be as long as the other work's own period, within 3 %."""
    spec = forge(rng)
    assert spec.forged is not None
    period_s = spec.forged.step_s * rng.uniform(0.97, 1.03)
    spec.stages.append(idle())
    return inside(spec, lambda t_s, _: 0.85 if t_s > 40 else 0.0, level=0.9, period_s=period_s)


def forged_walk_walk(rng: Random, _: float) -> Spec:
    """A printer whose pace walks beside work whose load walks: they agree now and then by chance."""
    spec = forge(rng)
    pace = courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2))
    load = courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2))
    return printed_beside(spec, pace, other_work(rng, load))


def forged_plateaus(rng: Random, _: float) -> Spec:
    """Printer and load both jump every few minutes, each when it likes."""
    spec = forge(rng)
    pace = courses.plateaus(rng, spec.length_s, 0.5, 1)
    load = courses.plateaus(rng, spec.length_s, 0.3, 1)
    return printed_beside(spec, pace, other_work(rng, load))


def forged_copied(rng: Random, _: float) -> Spec:
    """A printer that copies an honest run's times, beside steady work."""
    spec = forge(rng)
    spec.stages.append(other_work(rng))
    return _copy(spec, rng)


def forged_copied_walk(rng: Random, _: float) -> Spec:
    """The same beside work whose load walks."""
    spec = forge(rng)
    load = courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2))
    spec.stages.append(other_work(rng, load))
    return _copy(spec, rng)


def _copy(spec: Spec, rng: Random) -> Spec:
    model = rng.choice(_COPIED)(rng)
    assert spec.forged is not None
    spec.forged = replace(spec.forged, instants_s=record_instants(model, rng))
    spec.log_every = 1
    return spec


def forged_checkpoints(rng: Random, _: float) -> Spec:
    """A printer that pauses for checkpoints, beside work that pauses at another distance."""
    spec = forge(rng)
    pace = courses.beats(spec.length_s, rng.uniform(200, 900), rng.uniform(8, 60), 90)
    load = courses.beats(spec.length_s, rng.uniform(200, 900), rng.uniform(8, 60), 40)
    return printed_beside(spec, pace, other_work(rng, load))


def forged_by_process(rng: Random, _: float) -> Spec:
    """The printer is a process of its own without a GPU, and the only one that holds the log."""
    spec = forge(rng, is_log_inherited=False)
    spec.is_printer_apart = True
    spec.stages.append(other_work(rng))
    return spec


def forged_old_pace(rng: Random, share: float) -> Spec:
    """A real training is held up by work inside its ranks from the middle on; the log keeps the old pace.

    Load and log stay as they were: only the rhythm of the real steps could tell.
    """
    spec = _keep_pace(rng)
    return inside(spec, after(middle(spec, rng), wish(spec, share)))


def forged_old_pace_beside(rng: Random, share: float) -> Spec:
    """The same, where the work is a process of its own."""
    spec = _keep_pace(rng)
    return beside(spec, share, after(middle(spec, rng), wish(spec, share)))


def _keep_pace(rng: Random) -> Spec:
    """A training whose log is printed at the pace that it has alone."""
    spec = draw(rng)
    spec.is_log_forged = True
    step_s = spec.step_gpu_s / spec.loop.demand
    spec.forged = Forged(step_s, spec.step_cv, first_s=spec.stages[0].length_s + step_s)
    return spec


def forge(rng: Random, jitter: float | None = None, **fixed: object) -> Spec:
    """A run that does nothing but print; what it works on is added after 40 s."""
    spec = draw(rng, **fixed)
    spec.is_log_forged = True
    spec.forged = Forged(rng.uniform(2.5, 12), rng.uniform(0.004, 0.03) if jitter is None else jitter)
    spec.log_every = rng.choice([1, 5])
    spec.stages = [idle(40)]
    return spec


def other_work(rng: Random, course: Course = steady) -> Stage:
    """Work that no step counts, to the end of the run."""
    return idle(demand=rng.uniform(0.9, 1), level=rng.uniform(0.5, 1), diverted=True, course=course)


def printed_beside(spec: Spec, pace: Course, work: Stage) -> Spec:
    """Let the printer take this pace beside this work."""
    assert spec.forged is not None
    spec.forged = replace(spec.forged, course=pace)
    spec.stages.append(work)
    return spec


FAMILIES = (
    forged_noise, forged_even, forged_bursts, forged_varying_load, replayed, forged_same_rhythm,
    forged_walk_walk, forged_plateaus, forged_copied, forged_copied_walk, forged_checkpoints,
    forged_by_process, forged_old_pace, forged_old_pace_beside,
)  # fmt: skip

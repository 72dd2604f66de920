"""Diverting families with a forged log: nothing trains, all the work is other work, and a log is printed."""

from random import Random

from bench.world.draw import draw, fill, idle, inside
from bench.world.spec import Forged, Spec, Stage


def forged_noise(rng: Random, _: float) -> Spec:
    """A printer with small random steps beside steady work: cannot be denied, and must not be believed."""
    spec = _forge(rng, rng.uniform(0.004, 0.03))
    spec.stages[1:] = [_steady_work(rng)]
    return spec


def forged_even(rng: Random, _: float) -> Spec:
    """A printer that sleeps the same time for each step, with a loss without noise."""
    spec = _forge(rng, 0.0)
    spec.loss_noise = 0.0
    spec.stages[1:] = [_steady_work(rng)]
    return spec


def forged_bursts(rng: Random, _: float) -> Spec:
    """A printer that goes on while the work pauses for minutes."""
    spec = _forge(rng)

    def turn() -> tuple[Stage, Stage]:
        work_s, rest_s = rng.uniform(300, 1500), rng.uniform(200, 900)
        return idle(work_s, demand=0.95, level=0.8, diverted=True), idle(rest_s)

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


def forged_varying_load(rng: Random, _: float) -> Spec:
    """A steady printer beside work whose load changes every few minutes."""
    spec = _forge(rng)

    def turn() -> tuple[Stage]:
        length_s, demand = rng.uniform(60, 900), rng.uniform(0.3, 1)
        return (idle(length_s, demand=demand, level=rng.uniform(0.5, 1), diverted=True),)

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


def replayed(rng: Random, _: float) -> Spec:
    """A printer beside work with a rhythm of its own, of another period than the printed steps."""
    spec = _forge(rng, rng.uniform(0.01, 0.05))
    assert spec.forged is not None
    spec.log_every = 5
    period_s = spec.forged.step_s * rng.uniform(0.4, 1.7)
    spec.stages[1:] = [idle()]
    return inside(spec, lambda t_s, _: 0.85 if t_s > 40 else 0.0, level=0.9, period_s=period_s)


def _forge(rng: Random, jitter: float | None = None) -> Spec:
    """A run that does nothing but print; its stages begin after 40 s."""
    spec = draw(rng)
    spec.is_log_forged = True
    spec.forged = Forged(rng.uniform(2.5, 12), rng.uniform(0.004, 0.03) if jitter is None else jitter)
    spec.log_every = rng.choice([1, 5])
    spec.stages = [idle(40)]
    return spec


def _steady_work(rng: Random) -> Stage:
    return idle(demand=rng.uniform(0.9, 1), level=rng.uniform(0.5, 1), diverted=True)


FAMILIES = (forged_noise, forged_even, forged_bursts, forged_varying_load, replayed)

"""Courses of a speed or a demand over a run: how it may wander, sag, stop and come back."""

import math
from collections.abc import Iterable, Sequence
from random import Random

from bench.world.spec import Course

_MINUTE_MEMORY = 0.98  # a second's weight of the second before it


def of(values: Sequence[float]) -> Course:
    """One value per second; the last holds on."""
    return lambda t_s: values[min(int(t_s), len(values) - 1)]


def times(*courses: Course) -> Course:
    """All of them at once."""
    return lambda t_s: math.prod(course(t_s) for course in courses)


def blend(course: Course, part: float) -> Course:
    """Something that feels only a part of what `course` does; more than 1: it feels it more."""
    return lambda t_s: max(0.0, 1 - part * (1 - course(t_s)))


def between(begin_s: float, end_s: float, factor: float) -> Course:
    """This factor for a while."""
    return lambda t_s: factor if begin_s <= t_s < end_s else 1.0


def stopped(pauses: Iterable[tuple[float, float]]) -> Course:
    """Nothing at all between these times."""
    spans = tuple(pauses)
    return lambda t_s: 0.0 if any(begin_s <= t_s < end_s for begin_s, end_s in spans) else 1.0


def walk(rng: Random, length_s: float, cv: float, memory: float = _MINUTE_MEMORY) -> list[float]:
    """One value a second that wanders about 0 with this deviation."""
    value, values = 0.0, []
    step = cv * math.sqrt(1 - memory**2)
    for _ in range(int(length_s) + 1):
        value = memory * value + step * rng.gauss(0, 1)
        values.append(value)
    return values


def floored_walk(rng: Random, length_s: float, cv: float) -> Course:
    """At best full speed, less what a walk over minutes takes away, at least a fifth."""
    return of([max(0.2, 1 - abs(lost)) for lost in walk(rng, length_s, 0.5 * cv)])


def slow_walk(rng: Random, length_s: float, cv: float) -> Course:
    """A walk over tens of minutes about four fifths of the speed, between a tenth and all of it."""
    values = walk(rng, length_s, cv, memory=1 - 1 / rng.uniform(300, 1500))
    return of([min(1.0, max(0.1, 0.8 + value)) for value in values])


def spells(rng: Random, length_s: float, least: float, most: float) -> Course:
    """Somebody comes and goes, for minutes each, and takes between these parts of the speed."""
    values: list[float] = []
    while len(values) <= length_s:
        values += [1.0] * (1 + int(rng.expovariate(1 / 400)))
        values += [1 - rng.uniform(least, most)] * (1 + int(rng.expovariate(1 / 300)))
    return of(values)


def plateaus(rng: Random, length_s: float, least: float, most: float) -> Course:
    """Another value between these every few minutes."""
    values: list[float] = []
    while len(values) <= length_s:
        values += [rng.uniform(least, most)] * int(rng.uniform(60, 600))
    return of(values)


def hiccups(rng: Random, length_s: float, every_s: float, least_s: float, most_s: float) -> Course:
    """Stops of a second or a few at any time, on average this often."""
    values = [1.0] * (int(length_s) + 1)
    begin_s = rng.expovariate(1 / every_s)
    while begin_s < length_s:
        _stop(values, begin_s, rng.uniform(least_s, most_s))
        begin_s += most_s + rng.expovariate(1 / every_s)
    return of(values)


def beats(length_s: float, every_s: float, pause_s: float, first_s: float = 0.0) -> Course:
    """Stops of the same length at fixed distances."""
    values = [1.0] * (int(length_s) + 1)
    begin_s = first_s
    while begin_s < length_s:
        _stop(values, begin_s, pause_s)
        begin_s += every_s
    return of(values)


def _stop(values: list[float], begin_s: float, length_s: float) -> None:
    """Take a stop out of the seconds that it touches."""
    end_s = begin_s + length_s
    for second in range(int(begin_s), min(len(values), math.ceil(end_s))):
        values[second] = max(0.0, values[second] - (min(end_s, second + 1) - max(begin_s, second)))


def warm_up(rng: Random) -> Course:
    """The speed rises to all of it over the first tens of minutes."""
    lost, settles_s = rng.uniform(0.1, 0.4), rng.uniform(300, 1500)
    return lambda t_s: 1 - lost * math.exp(-t_s / settles_s)


def daily(rng: Random, length_s: float) -> Course:
    """A run's piece of a day: the speed drifts one way by 5 to 30 %."""
    begin, end = 1.0, 1 - rng.uniform(0.05, 0.3)
    if rng.random() < 0.5:
        begin, end = end, begin
    return lambda t_s: begin + (end - begin) * min(1.0, t_s / length_s)

"""Draws a run from wide priors, and the handful of shapes that families bend it into."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from bench.world.spec import Course, Side, Spec, Stage, When

_BOARDS = ("H100", "A100", "V100", "T4", "L40S", "RTX4090", "GH200", "B200", "A10")
_PLAIN = frozenset({"energy", "busy", "shares"})
_LEAST_RECORD_S = 1.0  # logs are not written faster
_LEAST_BUFFERED = 300  # a log of fewer records is flushed line by line


@dataclass(frozen=True, slots=True)
class Site:
    """What a place has: its boards, and how large and long runs are there. Repeated ones are as likelier."""

    boards: tuple[str, ...] = _BOARDS
    n_gpus: tuple[int, ...] = (1, 1, 2, 4)
    lengths_s: tuple[float, ...] = (2400.0, 3600.0, 5400.0, 9000.0)
    windows_s: tuple[float, ...] = (60.0, 60.0, 60.0, 5.0)


_ANYWHERE = Site()
_SITE = ContextVar("_SITE", default=_ANYWHERE)


@contextmanager
def at(site: Site) -> Iterator[None]:
    """Runs drawn meanwhile are of this place."""
    token = _SITE.set(site)
    try:
        yield
    finally:
        _SITE.reset(token)


def draw(rng: Random, **fixed: Any) -> Spec:
    """A run of start-up and training; `fixed` are fields of the spec that a family sets itself."""
    site = _SITE.get()
    drawn: dict[str, Any] = {
        "board": rng.choice(site.boards),
        "n_gpus": rng.choice(site.n_gpus),
        "length_s": rng.choice(site.lengths_s),
        "window_s": rng.choice(site.windows_s),
        "step_gpu_s": math.exp(rng.uniform(math.log(0.15), math.log(12))),
        "step_cv": rng.uniform(0.004, 0.05),
        "step_duty": rng.uniform(0.6, 0.97),
        "log_every": rng.choice([1, 5, 10, 20]),
        "log_fields": rng.choice([("step",), ("step", "samples"), ("step", "tokens"), ("samples",)]),
        "log_clock_s": rng.choice([1e-3, 1e-3, 1.0, None]),
        "log_buffer_b": rng.choice([0, 0, 8192]),
        "log_clock_off_s": rng.choice([0.0, 0.0, 2.0, -2.0]),
        "noise": rng.uniform(0.002, 0.01),
        "drift": rng.uniform(0.002, 0.02),
        "sensor_s": rng.choice([0.1, 0.5, 1.0]),
        "log_how": rng.choice(["fd", "stdout", "guard"]),
        "cost_walk": rng.choice([0.0, 0.0, 0.002]),
        "measured": rng.choice([_PLAIN, _PLAIN, _PLAIN | {"cycles"}]),
    }
    if drawn["window_s"] == 5.0:
        drawn["length_s"] = min(drawn["length_s"], 2400.0)
    drawn["is_log_inherited"] = drawn["log_how"] == "stdout"
    drawn["is_written_known"] = rng.random() < 0.8
    spec = Spec(**{**drawn, **fixed})
    while spec.has_log and spec.log_every * spec.step_gpu_s < _LEAST_RECORD_S:
        spec.log_every *= 5
    if spec.length_s / (spec.log_every * spec.step_gpu_s) < _LEAST_BUFFERED:
        spec.log_buffer_b = 0
    begin = idle(rng.uniform(30, 240), demand=rng.uniform(0, 0.5), level=rng.uniform(0.2, 0.5))
    spec.stages = [begin, Stage(True, demand=rng.uniform(0.8, 0.99), level=rng.uniform(0.5, 0.95))]
    return spec


def idle(length_s: float = math.inf, demand: float = 0.0, level: float = 0.0, **more: Any) -> Stage:
    """A stage that trains nothing: a wait, or work that no step counts."""
    return Stage(False, length_s, demand=demand, level=level, **more)


def like(loop: Stage, length_s: float = math.inf, **more: Any) -> Stage:
    """A stage of work that looks as the training does and counts no step."""
    return idle(length_s, **{"demand": 0.9, "level": loop.level * 0.9, **more})


def repeat(spec: Spec, n: int, make: Callable[[int], Iterable[Stage]]) -> None:
    """After the start-up, what `make` makes, `n` times."""
    spec.stages = [spec.stages[0], *(stage for k in range(n) for stage in make(k))]


def fill(length_s: float, make: Callable[[], Iterable[Stage]]) -> list[Stage]:
    """Stages from `make` until they are as long as the run."""
    stages: list[Stage] = []
    while sum(stage.length_s for stage in stages) < length_s:
        stages += make()
    return stages


def steer(spec: Spec, course: Course) -> None:
    """Let the demand of the last stage take this course: steps follow it."""
    spec.stages[-1] = replace(spec.stages[-1], course=course)


def middle(spec: Spec, rng: Random, least: float = 0.2, most: float = 0.6) -> float:
    """A moment between these parts of the run."""
    return rng.uniform(least, most) * spec.length_s


def wish(spec: Spec, share: float) -> float:
    """The demand that makes `share` of a GPU's work beside the training."""
    return share / (1 - share) * spec.loop.demand


def after(begin_s: float, demand: float) -> When:
    """Wants this much from then on."""
    return lambda t_s, _: demand if t_s > begin_s else 0.0


def beside(spec: Spec, share: float, when: When | None = None, **more: Any) -> Spec:
    """Add work of another process on all GPUs, from the first minute unless `when` says else."""
    spec.sides.append(Side("side", spec.all_gpus, when or after(60, wish(spec, share)), **more))
    return spec


def inside(spec: Spec, when: When, **more: Any) -> Spec:
    """Add work inside the ranks of all GPUs."""
    spec.sides.append(Side("inside", more.pop("gpus", spec.all_gpus), when, in_rank=True, **more))
    return spec

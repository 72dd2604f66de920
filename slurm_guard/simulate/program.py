"""What a job really does: stages of work on its GPUs, side loads, and the log that it writes about them."""

import random
from dataclasses import dataclass, field
from typing import NamedTuple

from slurm_guard.simulate.boards import Load
from slurm_guard.simulate.logs import StepNews, Writer
from slurm_guard.simulate.physics import Profile, draw_profile

Place = tuple[str, int]  # node, NVML index
_SENSOR_S = 0.7  # what one reading of the power sensor averages over: 1 s and less (nvml.h)


class Stage(NamedTuple):
    """One part of a program: `for_s` of a kind; kind train also ends when `steps` more are done."""

    kind: str
    for_s: float = float("inf")
    steps: int | None = None
    demand: float = 1.0
    says: str | None = None  # phase named in the log when it begins, `<name>-end` when it ends


class Side(NamedTuple):
    """Work beside the program: of one of its own processes, of another one, or of somebody else's."""

    places: tuple[Place, ...]
    pids: tuple[int, ...]  # one a place
    kind: str
    demand: float
    from_s: float
    until_s: float
    mem_mib: int = 1500


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training: work per step in GPU-seconds on each GPU, and how steadily it runs."""

    step_work_s: float = 6.0
    step_cv: float = 0.006  # measured: 0.1–0.6 % between MLPerf runs; single steps vary more
    compute: float = 0.86  # share of time with training kernels when nothing disturbs
    spin: float = 0.10  # share of time in communication
    total_steps: int = 20000
    first_step: int = 0
    batch: int = 512
    tokens_per_step: int = 1_048_576
    mem_mib: int = 42000
    clock_off_s: float = 0.0  # the program's clock beside the node's
    kind: str = "train"  # of kernel that a step is made of
    forged_step_s: float | None = None  # the log tells of steps this long, whatever the GPUs do


@dataclass
class Program:
    """Runs stages over time. Times are seconds since the job's start; `begin_at` makes them UTC."""

    begin_at: float
    places: tuple[Place, ...]
    pids: tuple[int, ...]  # one rank a place
    stages: list[Stage]
    recipe: Recipe
    writers: list[Writer]
    rng: random.Random
    sides: tuple[Side, ...] = ()
    steps: int = 0
    saved_at: list[float] = field(default_factory=list)  # UTC, its checkpoints
    _profiles: dict[str, Profile] = field(default_factory=dict)
    _stage: int = 0
    _stage_begun_s: float = 0.0
    _stage_steps: int = 0
    _work: list[float] = field(default_factory=list)
    _next_work: float = 0.0
    _cost_s: float = 1.0
    _last_step_s: float = 0.0
    _forged: int = 0
    _said: int = -1

    def __post_init__(self) -> None:
        self._work = [0.0] * len(self.places)
        self.steps = self.recipe.first_step
        self._next_work = self._cost_s = self._cost()

    def profile(self, kind: str) -> Profile:
        """This program's own kernels: the same on all of its boards."""
        if kind not in self._profiles:
            self._profiles[kind] = draw_profile(kind, self.rng)
        return self._profiles[kind]

    def loads(self, t_s: float, dt_s: float) -> list[tuple[Place, Load]]:
        """What runs from `t_s` for `dt_s`."""
        self._advance(t_s)
        found = []
        stage = self.stages[self._stage] if self._stage < len(self.stages) else None
        least = min(self._work)
        for i, (place, pid) in enumerate(zip(self.places, self.pids, strict=True)):
            if stage is not None:
                found += [(place, load) for load in self._rank_loads(stage, i, pid, least, dt_s)]
        for side in self.sides:
            if side.from_s <= t_s < side.until_s:
                profile = self.profile(side.kind)
                for place, pid in zip(side.places, side.pids, strict=True):
                    found.append((place, Load(pid, side.kind, side.demand, side.mem_mib, profile)))
        return found

    def took(self, t_s: float, dt_s: float, work_s: dict[tuple[Place, int, str], float]) -> None:
        """What was granted in that step by place, pid and kind; finished steps are logged."""
        if self._training():
            for i, (place, pid) in enumerate(zip(self.places, self.pids, strict=True)):
                self._work[i] += work_s.get((place, pid, self.recipe.kind), 0.0)
            self._finish_steps(t_s, dt_s)
        if self.recipe.forged_step_s is not None:
            self._forge(t_s + dt_s)
        for writer in self.writers:
            writer.tick(self.begin_at + t_s + dt_s)

    def diverted(self) -> set[tuple[Place, int, str]]:
        """Where, who and what is not the job's declared work: the judge's knowledge."""
        found = {(place, pid, "hash") for place, pid in zip(self.places, self.pids, strict=True)}
        for side in self.sides:
            found |= {(place, pid, side.kind) for place, pid in zip(side.places, side.pids, strict=True)}
        return found

    def until_s(self) -> float:
        """When the last of its side loads ends; 0: none."""
        return max((side.until_s for side in self.sides), default=0.0)

    def end(self, t_s: float) -> None:
        """The job is over: no stage runs on, buffers go to disk. Side loads may outlive it."""
        self._stage = len(self.stages)
        for writer in self.writers:
            writer.flush(self.begin_at + t_s)

    def _training(self) -> bool:
        return self._stage < len(self.stages) and self.stages[self._stage].kind == "train"

    def _rank_loads(self, stage: Stage, i: int, pid: int, least: float, dt_s: float) -> list[Load]:
        mem, recipe = self.recipe.mem_mib, self.recipe
        if stage.kind != "train":
            kind = recipe.kind if stage.kind == "idle" else stage.kind
            demand = 0.0 if stage.kind == "idle" else stage.demand
            return [Load(pid, kind, demand, mem, self.profile(kind))]
        full = recipe.compute * dt_s
        want = max(0.0, min(full, least + 1.1 * full - self._work[i]))  # data parallel: nobody runs ahead
        waits = recipe.spin + recipe.compute * (1.0 - stage.demand) + (full - want) / dt_s
        works, spins = self._leans(want / dt_s, waits, dt_s)
        asked = recipe.compute * stage.demand
        return [
            Load(pid, recipe.kind, asked, mem, self.profile(recipe.kind), want, works),
            Load(pid, "spin", waits, mem, self.profile("spin"), None, spins),
        ]

    def _leans(self, works: float, waits: float, dt_s: float) -> tuple[float, float]:
        """How the last moment of this interval differs from its mean: a step computes first, then waits."""
        if works <= 0.0 or waits <= 0.0:
            return 1.0, 1.0
        rate = max(1e-6, works)  # work a second, roughly: where in a step the interval ends need not be exact
        place = 1.0 - (self._next_work - min(self._work) - rate * dt_s) / self._cost_s
        width = _SENSOR_S * rate / self._cost_s
        if width >= 1.0:
            return 1.0, 1.0
        return (
            _overlap(place - width, place, 0.0, works) / works,
            _overlap(place - width, place, works, min(1.0, works + waits)) / waits,
        )

    def _advance(self, t_s: float) -> None:
        """Enter the stage that is due, saying so in the log."""
        while self._stage < len(self.stages):
            stage = self.stages[self._stage]
            if self._said != self._stage:
                self._said = self._stage
                self._tell(stage.says, t_s)
                self._last_step_s = t_s
            done = stage.steps is not None and self._stage_steps >= stage.steps
            if not done and t_s - self._stage_begun_s < stage.for_s:
                return
            self._tell(f"{stage.says}-end" if stage.says else None, t_s)
            self._stage += 1
            self._stage_begun_s, self._stage_steps = t_s, 0

    def _finish_steps(self, t_s: float, dt_s: float) -> None:
        least = min(self._work)
        stage = self.stages[self._stage]
        while least >= self._next_work and (stage.steps is None or self._stage_steps < stage.steps):
            late = (least - self._next_work) / (self.recipe.compute * dt_s) * dt_s
            at_s = max(self._last_step_s + 1e-3, t_s + dt_s - late)
            self.steps += 1
            self._stage_steps += 1
            self._cost_s = self._cost()
            self._next_work += self._cost_s
            news = self._news(at_s, at_s - self._last_step_s)
            self._last_step_s = at_s
            for writer in self.writers:
                writer.step(news)

    def _forge(self, until_s: float) -> None:
        each_s = self.recipe.forged_step_s
        assert each_s is not None
        while (self._forged + 1) * each_s + 90.0 <= until_s:  # it, too, "starts up" for a while
            self._forged += 1
            self.steps = self._forged
            news = self._news(90.0 + self._forged * each_s, each_s)
            for writer in self.writers:
                writer.step(news)

    def _tell(self, name: str | None, t_s: float) -> None:
        if name == "checkpoint":
            self.saved_at.append(self.begin_at + t_s)
        if name is not None:
            for writer in self.writers:
                writer.phase(name, self.begin_at + t_s + self.recipe.clock_off_s, self._news(t_s, 1.0))

    def _cost(self) -> float:
        return self.recipe.step_work_s * max(0.2, self.rng.gauss(1.0, self.recipe.step_cv * 3))

    def _news(self, at_s: float, took_s: float) -> StepNews:
        step, recipe = self.steps, self.recipe
        loss = 1.8 + 9.0 / (1 + step / 40) ** 0.5 + self.rng.gauss(0.0, 0.02)
        at = self.begin_at + at_s + recipe.clock_off_s
        tokens = step * recipe.tokens_per_step
        return StepNews(step, recipe.total_steps, at, took_s, loss, step * recipe.batch, tokens)


def _overlap(begin: float, end: float, low: float, high: float) -> float:
    """Share of [begin, end] that lies in [low, high] of some step; steps are one long and repeat."""
    total = 0.0
    for turn in range(int(begin) - 1, int(end) + 2):
        total += max(0.0, min(end, high + turn) - max(begin, low + turn))
    return total / (end - begin)

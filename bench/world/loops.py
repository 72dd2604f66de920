"""What counts steps: a training loop that needs GPU time for them, and a printer that does not."""

from collections.abc import Iterator
from random import Random

from bench.world.spec import Forged

_LEAST_COST = 0.3  # a step may be cheap by chance, but not free
_LEAST_PAUSE = 0.2
SAMPLES, TOKENS = 64, 64 * 1024  # of a step: any number will do


class Loop:
    """A training loop. `phase` is the part of the running step that is done."""

    def __init__(self, rng: Random, step_gpu_s: float, cv: float) -> None:
        self.rng, self.step_gpu_s, self.cv = rng, step_gpu_s, cv
        self.phase = 0.0
        self.step = 0
        self.samples = self.tokens = 0.0
        self.steps_per_s = 0.0  # in the last second
        self._cost_gpu_s = self._draw_cost()

    def _draw_cost(self) -> float:
        return self.step_gpu_s * max(_LEAST_COST, self.rng.gauss(1, self.cv))

    def advance(self, t_s: float, gpu_s: float, tokens: float = 1.0) -> Iterator[float]:
        """Live through one second in which it gets this much GPU time; the instants at which steps ended."""
        used_gpu_s = 0.0
        self.steps_per_s = -self.phase
        while (need_gpu_s := (1 - self.phase) * self._cost_gpu_s) <= gpu_s - used_gpu_s:
            used_gpu_s += need_gpu_s
            self._end_step(tokens)
            yield t_s + used_gpu_s / gpu_s
        self.phase += (gpu_s - used_gpu_s) / self._cost_gpu_s
        self.steps_per_s += self.phase

    def _end_step(self, tokens: float) -> None:
        self.phase = 0.0
        self.step += 1
        self.steps_per_s += 1
        self.samples += SAMPLES
        self.tokens += TOKENS * tokens
        self._cost_gpu_s = self._draw_cost()

    def go_back(self, steps: float) -> None:
        """Take the counters back by so many steps, to zero at most: a restart from a checkpoint."""
        left = max(0, int(self.step - min(steps, self.step)))
        part = left / self.step if self.step else 0.0
        self.step = left
        self.samples *= part
        self.tokens *= part


class Printer:
    """Prints a forged log. It counts as fast as its course allows, whatever the GPUs do."""

    def __init__(self, rng: Random, forged: Forged) -> None:
        self.rng, self.forged = rng, forged
        self.step = 0
        self._left_s = forged.first_s
        self._copied = list(reversed(forged.instants_s or ()))

    def advance(self, t_s: float) -> Iterator[float]:
        """Live through one second; the instants at which it printed a step."""
        if self.forged.instants_s is not None:
            yield from self._copy(t_s)
            return
        speed = self.forged.course(t_s)
        used_s = 0.0
        while speed > 0 and self._left_s <= (1 - used_s) * speed:
            used_s += self._left_s / speed
            self._left_s = self.forged.step_s * max(_LEAST_PAUSE, self.rng.gauss(1, self.forged.jitter))
            self.step += 1
            yield t_s + used_s
        self._left_s -= (1 - used_s) * speed

    def _copy(self, t_s: float) -> Iterator[float]:
        while self._copied and self._copied[-1] <= t_s + 1:
            self.step += 1
            yield self._copied.pop()

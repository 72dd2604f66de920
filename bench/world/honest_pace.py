"""Honest families whose pace or cost per step changes: heat, loaders, curricula, neighbours."""

from dataclasses import replace
from random import Random

from bench.world.courses import between, floored_walk
from bench.world.draw import draw, inside, middle, steer
from bench.world.spec import Spec, Stage


def ddp_stdout_all(rng: Random) -> Spec:
    """Many ranks that all inherited the script's stdout, where one of them logs."""
    return draw(rng, n_gpus=rng.choice([2, 4, 8]), is_log_inherited=True)


def grad_accum(rng: Random) -> Spec:
    """Steps of minutes: few records, each of much work."""
    return draw(rng, step_gpu_s=rng.uniform(60, 400), log_every=rng.choice([1, 2, 5]), log_buffer_b=0)


def loader_slow(rng: Random) -> Spec:
    """A loader that is the bottleneck all the time, and wanders."""
    spec = draw(rng)
    spec.stages[1] = replace(spec.loop, demand=rng.uniform(0.3, 0.7))
    steer(spec, floored_walk(rng, spec.length_s, rng.uniform(0.05, 0.3)))
    return spec


def fail_slow_comm(rng: Random) -> Spec:
    """A link fails slowly: from some moment on the ranks spin for longer in each step."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    loop, begin_s, left = spec.loop, middle(spec, rng, 0.2, 0.8), rng.uniform(0.5, 0.9)
    slow = replace(loop, demand=loop.demand * left)
    spec.stages = [spec.stages[0], replace(loop, length_s=begin_s), slow]
    begin_s += spec.stages[0].length_s

    def spins(t_s: float, stage: Stage | None) -> float:
        is_slow = t_s >= begin_s and stage is not None and stage.trains
        return loop.demand * (1 - left) if is_slow else 0.0

    return inside(spec, spins, level=rng.uniform(0.25, 0.45) * loop.level, diverted=False)


def thermal(rng: Random) -> Spec:
    """A hot board clocks down for a while."""
    spec = draw(rng)
    begin_s = middle(spec, rng)
    length_s = rng.uniform(0.1, 0.5) * spec.length_s
    spec.clock = between(begin_s, begin_s + length_s, rng.uniform(0.6, 0.92))
    return spec


def curriculum_tokens(rng: Random) -> Spec:
    """Steps grow in the middle, and the log counts their tokens."""
    spec = draw(rng, log_fields=("step", "tokens"))
    loop, n = spec.loop, rng.randint(2, 4)
    length_s = spec.length_s / n
    spec.stages[1:] = [
        replace(loop, length_s=length_s, cost=factor * 0.5, tokens=factor)
        for factor in (1.0, 2.0, 4.0, 8.0)[:n]
    ]
    return spec


def curriculum_steps(rng: Random) -> Spec:
    """Steps grow and the log counts steps alone: cannot be told from other work that joins in."""
    spec = draw(rng, log_fields=("step",))
    loop, n = spec.loop, rng.randint(2, 4)
    length_s = spec.length_s / n
    spec.stages[1:] = [replace(loop, length_s=length_s, cost=cost) for cost in (1.0, 1.4, 2.0, 3.0)[:n]]
    return spec


def load_change_ema(rng: Random) -> Spec:
    """Layers are unfrozen at mid-run: the same once, with nothing in the log that says so; cannot be told."""
    spec = draw(rng, log_fields=("step",))
    loop = spec.loop
    cost, level = rng.uniform(1.1, 1.6), loop.level * rng.uniform(0.95, 1.05)
    grown = replace(loop, cost=cost, level=level)
    spec.stages = [spec.stages[0], replace(loop, length_s=0.4 * spec.length_s), grown]
    return spec


def seq_noise(rng: Random) -> Spec:
    """Sequences of any length: steps differ by 10 to 40 %, and their mean wanders."""
    return draw(rng, step_cv=rng.uniform(0.1, 0.4), cost_walk=rng.uniform(0.01, 0.03))


def pipeline_imbalance(rng: Random) -> Spec:
    """One stage of a pipeline has more to do than the others."""
    spec = draw(rng, n_gpus=4)

    def more(_: float, stage: Stage | None) -> float:
        return 0.08 if stage is not None and stage.trains else 0.0

    return inside(spec, more, gpus=(0,), level=0.6, diverted=False)


def serving(rng: Random) -> Spec:
    """An inference server under steady load: requests of any size, counted as samples."""
    spec = draw(rng, log_fields=("samples",))
    spec.stages[1] = replace(spec.loop, demand=rng.uniform(0.3, 0.7))
    spec.step_cv = 0.5
    steer(spec, floored_walk(rng, spec.length_s, 0.4))
    return spec


FAMILIES = (
    ddp_stdout_all, grad_accum, loader_slow, fail_slow_comm, thermal, curriculum_tokens, curriculum_steps,
    load_change_ema, seq_noise, pipeline_imbalance, serving,
)  # fmt: skip

"""Held out: honest families of one program that look odd, written without a look at how the audit judges."""

from dataclasses import replace
from math import ceil
from random import Random

from bench.world import courses
from bench.world.draw import draw, fill, idle, steer
from bench.world.spec import Spec

_TOKENS = ("step", "tokens")
_HOUR_S = 3600.0


def elastic_batch(rng: Random) -> Spec:
    """Ranks of a large node leave and come back, and the batch with them; tokens are logged."""
    spec = draw(rng, n_gpus=rng.choice([4, 8]), log_fields=_TOKENS)
    loop, n, at_s = spec.loop, spec.n_gpus, float(ceil(spec.stages[0].length_s))
    spec.stages, restarts, k = [idle(at_s, demand=0.2, level=0.3)], list[float](), n
    while at_s < spec.length_s:
        trains_s, meets_s = rng.randint(300, 1500), rng.randint(15, 120)
        some = replace(loop, length_s=float(trains_s), gpus=tuple(range(k)), tokens=k / n)
        spec.stages += [
            replace(some, is_new_segment=bool(restarts), steps_back=rng.uniform(0, 5) if restarts else 0.0),
            idle(float(meets_s), demand=0.05, level=0.2),
        ]
        restarts.append(at_s + trains_s + meets_s // 2)
        at_s += trains_s + meets_s
        k = min(n, max(n // 2, k + rng.choice([-2, -1, 1, 2])))
    spec.restarts_s = tuple(restarts)
    return spec


def resumes_fast_forward(rng: Random) -> Spec:
    """Preempted and resumed several times: the loader skips what was seen, which takes longer each time.

    New processes go on from a checkpoint; while they skip, the GPU has next to nothing to do.
    """
    spec = draw(rng)
    loop, n, skips = spec.loop, rng.randint(2, 5), rng.uniform(0.05, 0.25)
    at_s, trains_s, restarts = float(ceil(spec.stages[0].length_s)), spec.length_s / n, list[float]()
    spec.stages = [idle(at_s, demand=0.2, level=0.3)]
    for k in range(n):
        length_s, down_s = int(trains_s * rng.uniform(0.6, 1.1)), rng.randint(40, 200)
        again = replace(loop, length_s=float(length_s), steps_back=rng.uniform(1, 100) if k else 0.0)
        skips_s = float(int(skips * (at_s + length_s)))
        spec.stages += [
            replace(again, is_new_segment=k > 0), idle(float(down_s)),
            idle(skips_s, demand=rng.uniform(0, 0.08), level=0.2),
        ]  # fmt: skip
        restarts.append(at_s + length_s + down_s // 2)
        at_s += length_s + down_s + skips_s
    spec.stages.append(replace(loop, is_new_segment=True))
    spec.restarts_s = tuple(restarts)
    return spec


def log_in_another_zone(rng: Random) -> Spec:
    """The log's clock is that of another time zone, and a new file is begun every so many minutes."""
    spec = draw(rng, log_clock_s=rng.choice([1e-3, 1.0]))
    spec.log_clock_off_s = _HOUR_S * rng.choice([-8, -7, -5, -4, 1, 2, 3, 5.5, 8, 9])
    loop, file_s = spec.loop, rng.uniform(240, 1500)
    files = fill(spec.length_s, lambda: (replace(loop, length_s=file_s, is_new_segment=True),))
    spec.stages[1:] = [replace(files[0], is_new_segment=False), *files[1:]]
    return spec


def batch_follows_noise(rng: Random) -> Spec:
    """Gradient noise is measured now and then in unlogged passes, and the batch is larger after some."""
    spec = draw(rng, log_fields=_TOKENS)
    loop, size, at_s = spec.loop, rng.uniform(0.3, 1.0), spec.stages[0].length_s
    period_s, n_passes, stages = rng.uniform(200, 900), rng.uniform(3, 30), spec.stages[:1]
    while at_s < spec.length_s:
        trains_s = period_s * rng.uniform(0.9, 1.1)
        passes = idle(n_passes * size, demand=rng.uniform(0.75, 0.98), level=loop.level * rng.uniform(0.9, 1))
        stages += [replace(loop, length_s=trains_s, cost=size * rng.uniform(0.97, 1.03), tokens=size), passes]
        at_s += trains_s + passes.length_s
        size *= rng.choice([1.0, 1.0, 1.15, 1.3, 1.5]) if size < 3 else 1.0
    spec.stages = stages
    return spec


def bubbles_shrink(rng: Random) -> Spec:
    """A pipeline of many GPUs gets more micro-batches in each stage: its bubbles shrink, the load rises."""
    spec = draw(rng, n_gpus=rng.choice([4, 8]), log_fields=_TOKENS)
    loop, n, deep = spec.loop, rng.randint(3, 6), rng.choice([4, 8])
    first, best = rng.choice([deep // 2, deep, 2 * deep]), rng.uniform(0.9, 0.99)
    spec.stages[1:] = []
    for k in range(n):
        micro = first * 2**k
        part, size = best * micro / (micro + deep - 1), 2.0 ** (k - n + 1)
        spec.stages.append(replace(loop, length_s=spec.length_s / n, demand=part, cost=size, tokens=size))
    return spec


def line_an_epoch(rng: Random) -> Spec:
    """A large job whose log has a line at the end of each epoch alone, and whose loader's pace varies."""
    spec = draw(rng, n_gpus=rng.choice([4, 8]), log_buffer_b=0, log_fields=("step", "samples"))
    steer(spec, courses.plateaus(rng, spec.length_s, rng.uniform(0.6, 0.9), 1.0))
    epoch_s = spec.length_s / rng.randint(6, 18)
    spec.log_every = max(1, int(epoch_s * spec.loop.demand / spec.step_gpu_s))
    return spec


def precision_lowered(rng: Random) -> Spec:
    """After a while layers are calibrated for minutes and go on in FP8: a step costs a quarter less or so."""
    spec = draw(rng)
    loop, begin_s = spec.loop, rng.uniform(0.1, 0.4) * spec.length_s
    cheap = replace(loop, cost=rng.uniform(0.55, 0.85), level=min(1.0, loop.level * rng.uniform(0.85, 1.1)))
    calibrates = idle(rng.uniform(40, 200), demand=rng.uniform(0.3, 0.8), level=0.7 * loop.level)
    spec.stages[1:] = [replace(loop, length_s=begin_s), calibrates, cheap]
    return spec


FAMILIES = (
    elastic_batch, resumes_fast_forward, log_in_another_zone, batch_follows_noise, bubbles_shrink,
    line_an_epoch, precision_lowered,
)  # fmt: skip

"""Diverting inside the ranks, in claimed phases, beside a log: held out at detection-1, known since.

`share` is as in held_out; in LOG it is passed over.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, pairwise
from math import ceil
from random import Random

from bench.detect.held_out import FULL, in_turns, pause_for
from bench.world import courses
from bench.world.draw import after, draw, idle, inside, middle, wish
from bench.world.forging import forge, other_work, printed_beside
from bench.world.physics import record_instants
from bench.world.spec import Forged, Spec, Stage


def inproc_governs_pace(rng: Random, share: float) -> Spec:
    """Work inside the ranks takes what the loader gives above a target: it rests in stalls, the pace is even.

    The loader's speed walks. Whenever it would let the training be quicker than the target, the rest goes to
    other work, from a fifth of the run on or later: the log looks better than before.
    A small share is taken in the loader's quickest minutes alone.
    """
    spec = draw(rng)
    load = courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2))
    loop = spec.stages[1] = replace(spec.loop, course=load)
    begin_s = middle(spec, rng, 0.2, 0.5)
    offers = [loop.demand * load(t_s) for t_s in range(int(begin_s), int(spec.length_s), 20)]
    target = _target(offers, share)

    def when(t_s: float, stage: Stage | None) -> float:
        offered = loop.demand * load(t_s)
        if t_s < begin_s or stage is None or offered <= target:
            return 0.0
        return offered * (1 - target) / target

    return inside(spec, when)


def inproc_under_batch_ramp(rng: Random, share: float) -> Spec:
    """Work joins in inside the ranks at the moment of a larger batch, which shall explain the longer step.

    Tokens are logged, so that a token is dearer than before and a step would be anyway.
    """
    spec = draw(rng, log_fields=("step", "tokens"))
    loop, n = spec.loop, rng.randint(3, 6)
    each_s = rng.uniform(0.4, 0.8) * spec.length_s / n
    sizes = [(k + 1) / n for k in range(n)]
    grown = [replace(loop, cost=size * rng.uniform(0.96, 1.0), tokens=size) for size in sizes]
    spec.stages[1:] = [*(replace(stage, length_s=each_s) for stage in grown[:-1]), grown[-1]]
    begin_s = spec.stages[0].length_s + rng.randint(1, n - 1) * each_s
    return inside(spec, after(begin_s, wish(spec, share)))


def inproc_every_kth(rng: Random, share: float) -> Spec:
    """Every so many steps the ranks do some passes for somebody else, from the first quarter on.

    It keeps time with the training's own steps, so that the log has a regular longer interval.
    """
    spec = draw(rng)
    loop, begin_s = spec.loop, middle(spec, rng, 0.15, 0.4)
    other_s = float(rng.randint(2, 15))
    steps_s = other_s * FULL * (1 - share) / (share * loop.demand)
    k = max(1, round(steps_s * loop.demand / spec.step_gpu_s))
    other_s = max(1.0, k * spec.step_gpu_s * share / (1 - share) / FULL)
    other = idle(other_s, demand=FULL, level=loop.level * rng.uniform(0.8, 1.1), diverted=True)
    n = ceil(spec.length_s / (other_s + k * spec.step_gpu_s))
    again = (replace(loop, most_steps=k), other)
    spec.stages = [
        spec.stages[0],
        replace(loop, length_s=begin_s),
        *(stage for _ in range(n) for stage in again),
    ]
    return spec


def inproc_fills_bubbles(rng: Random, share: float) -> Spec:
    """Work inside the ranks runs while they wait for each other's gradients: small shares slow nothing."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    spec.stages[1] = replace(spec.loop, demand=rng.uniform(0.5, 0.75))
    return inside(spec, after(middle(spec, rng, 0.2, 0.5), wish(spec, share)), level=rng.uniform(0.5, 0.95))


def inproc_takes_turns(rng: Random, share: float) -> Spec:
    """Work inside the ranks moves on to other GPUs of the run every few minutes, from the middle on."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    turns = in_turns(spec, share, middle(spec, rng, 0.2, 0.5), rng.uniform(60, 600))
    for gpu, when in enumerate(turns):
        inside(spec, when, gpus=(gpu,))
    return spec


def inproc_skips_microbatches(rng: Random, share: float) -> Spec:
    """Micro-batches are logged and left out, other work has their time: cannot be told by what a step costs.

    A step takes as long and works as much as before; only what the pipes do may differ, where that is read.
    """
    spec = draw(rng)
    spec.is_log_forged = True
    loop, begin_s = spec.loop, middle(spec, rng, 0.2, 0.5)
    less = replace(loop, demand=loop.demand * (1 - share), cost=1 - share)
    spec.stages[1:] = [replace(loop, length_s=begin_s), less]
    when = after(begin_s + spec.stages[0].length_s, loop.demand * share)
    return inside(spec, when, level=loop.level)


def replaces_validations(rng: Random, share: float) -> Spec:
    """The first validations are real; later ones are logged and left out, and other work has their time.

    Validations take as long as other work needs for its share of the run: many minutes for a large one.
    """
    spec = draw(rng)
    spec.is_log_forged = True
    loop, period_s = spec.loop, min(rng.uniform(400, 900), spec.length_s / 7)
    pause_s = pause_for(loop.demand, share, period_s)
    real = idle(pause_s, demand=rng.uniform(0.6, 0.9), level=loop.level * rng.uniform(0.5, 0.9), phase="eval")
    other = replace(real, demand=FULL, level=loop.level * rng.uniform(0.8, 1.1), diverted=True)
    n, n_real = ceil(spec.length_s / period_s), rng.randint(1, 2)
    turns = [(replace(loop, length_s=period_s - pause_s), real if k < n_real else other) for k in range(n)]
    spec.stages[1:] = [stage for turn in turns for stage in turn]
    return spec


def fakes_recoveries(rng: Random, share: float) -> Spec:
    """Crashes on purpose: between a crash and the next step the new processes work for somebody else.

    Each goes on from a checkpoint some steps back; loading one takes seconds, and here it takes minutes.
    """
    spec = draw(rng)
    loop = spec.loop
    period_s = round(min(rng.uniform(600, 2400), spec.length_s / 5))
    pause_s = round(pause_for(loop.demand, share, period_s))
    other = idle(pause_s, demand=FULL, level=loop.level * rng.uniform(0.8, 1.1), diverted=True)
    begin_s, n = ceil(spec.stages[0].length_s), ceil(spec.length_s / period_s)
    again = replace(loop, steps_back=rng.uniform(0, 20), is_new_segment=True)
    for k in range(n):
        spec.stages += [replace(again if k else loop, length_s=period_s - pause_s - 15), idle(15.0), other]
    del spec.stages[1]  # the training as it was drawn, without an end
    spec.restarts_s = tuple(begin_s + k * period_s - pause_s - 7 for k in range(1, n + 1))
    return spec


def replays_own_pace(rng: Random, _: float) -> Spec:
    """A training that ends early; its log goes on with its own first intervals once more, with noise.

    It trains for a tenth of the run or so, so that there is something to copy. All of the rest is diverted.
    """
    spec = draw(rng, step_gpu_s=rng.uniform(0.5, 4), log_every=rng.choice([1, 5]))
    loop = spec.loop
    trained_s = spec.stages[0].length_s + max(400.0, rng.uniform(0.08, 0.2) * spec.length_s)
    own = record_instants(replace(spec, length_s=trained_s), rng)
    noise, instants = rng.uniform(0.01, 0.1), list(own)
    for before, now in cycle(pairwise(own)):
        instants.append(instants[-1] + (now - before) * max(0.2, rng.gauss(1, noise)))
        if instants[-1] > spec.length_s:
            break
    spec.is_log_forged, spec.log_every = True, 1
    spec.forged = Forged(spec.step_gpu_s, 0.0, instants_s=tuple(instants))
    other = idle(demand=FULL, level=loop.level * rng.uniform(0.8, 1.1), diverted=True)
    spec.stages[1:] = [replace(loop, length_s=trained_s - spec.stages[0].length_s), other]
    return spec


def log_follows_late(rng: Random, _: float) -> Spec:
    """A printer looks at the GPU's load every few minutes and takes its pace from that, always too late."""
    spec = forge(rng)
    look_s = rng.uniform(60, 300)
    load = courses.plateaus(rng, spec.length_s, 0.4, 1.0)
    return printed_beside(
        spec, lambda t_s: load(max(0.0, (t_s // look_s - 1) * look_s)), other_work(rng, load)
    )


def log_rare(rng: Random, _: float) -> Spec:
    """A printer of a line in five to fifteen minutes, as for epochs, beside work whose load varies."""
    spec = forge(rng)
    spec.forged, spec.log_every = Forged(rng.uniform(300, 900), rng.uniform(0.005, 0.05)), 1
    spec.log_buffer_b = 0
    spec.stages.append(other_work(rng, courses.plateaus(rng, spec.length_s, 0.4, 1.0)))
    return spec


def _target(offers: Sequence[float], share: float) -> float:
    """The pace above which everything is diverted, so that it is `share` of the work."""
    lo, hi = 0.05, 0.999
    for _ in range(30):
        target = (lo + hi) / 2
        taken = [1 - target if offered > target else 0.0 for offered in offers]
        work = sum(1.0 if offered > target else offered for offered in offers)
        lo, hi = (target, hi) if sum(taken) > share * work else (lo, target)
    return lo


INSIDE = (
    inproc_governs_pace, inproc_under_batch_ramp, inproc_every_kth, inproc_fills_bubbles, inproc_takes_turns,
    inproc_skips_microbatches,
)  # fmt: skip
PHASE = (replaces_validations, fakes_recoveries)
LOG = (replays_own_pace, log_follows_late, log_rare)

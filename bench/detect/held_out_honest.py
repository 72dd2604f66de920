"""Honest families: held out at the freeze detection-1, known since; written without a look at the audit."""

from collections.abc import Iterable
from dataclasses import replace
from math import ceil, exp, inf, log
from random import Random

from bench.world import courses
from bench.world.draw import draw, fill, idle, inside, middle
from bench.world.spec import Course, Program, Side, Spec, Stage, When, child

_BURN = Program("/opt/tools/gpu_burn", "gpu_burn 300")
_TOKENS = ("step", "tokens")


def ema_eval_thread(rng: Random) -> Spec:
    """A thread of the training evaluates averaged weights while it trains on; a line of the log names it."""
    spec = draw(rng)
    loop, part = spec.loop, rng.uniform(0.15, 0.5)
    named, period_s = replace(loop, length_s=rng.uniform(20, 120), phase="eval"), rng.uniform(300, 1200)
    spec.stages[1:] = fill(spec.length_s, lambda: (replace(loop, length_s=period_s), named))

    def evaluates(_: float, stage: Stage | None) -> float:
        return part if stage is not None and stage.phase == "eval" else 0.0

    return inside(spec, evaluates, level=loop.level * rng.uniform(0.65, 1.0), diverted=False)


def compresses_checkpoints(rng: Random) -> Spec:
    """Checkpoints are compressed by the CPU for minutes while the GPUs stand still, longer as it grows."""
    spec = draw(rng)
    loop, period_s, length_s = spec.loop, rng.uniform(600, 1800), rng.uniform(60, 300)
    grown = iter(rng.uniform(0.8, 1.2) * (1 + 0.05 * k) for k in range(1000))

    def turn() -> tuple[Stage, Stage]:
        return replace(loop, length_s=period_s), idle(length_s * next(grown))

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


def recompute_toggled(rng: Random) -> Spec:
    """Out of memory, it goes on with gradients recomputed: cannot be told from work that joins in there.

    A step costs a quarter to two fifths more from then on, and neither counters nor log say why.
    """
    spec = draw(rng)
    loop, begin_s = spec.loop, middle(spec, rng, 0.2, 0.6)
    dear = replace(loop, cost=rng.uniform(1.25, 1.4), steps_back=rng.uniform(5, 100), is_new_segment=True)
    spec.stages[1:] = [
        replace(loop, length_s=begin_s),
        idle(rng.uniform(60, 180), demand=0.1, level=0.3),
        dear,
    ]
    spec.restarts_s = (begin_s + spec.stages[0].length_s + 30,)
    return spec


def length_buckets(rng: Random) -> Spec:
    """Batches of like length come in a fixed order; long ones cost more per token, and tokens are logged."""
    spec = draw(rng, log_fields=_TOKENS)
    loop, n, dearer = spec.loop, rng.randint(3, 6), rng.uniform(0.0, 0.25)
    sizes = [0.5 * (1 + 2 * k / (n - 1)) for k in range(n)]
    length_s = rng.uniform(40, 400)
    turn = [
        replace(loop, length_s=length_s, tokens=size, cost=size * (1 + dearer * (size - 1))) for size in sizes
    ]
    spec.stages[1:] = fill(spec.length_s, lambda: turn)
    return spec


def mixture_sources(rng: Random) -> Spec:
    """Text, code and pictures take turns of minutes from the start; a token of each has a cost of its own."""
    spec = draw(rng, log_fields=_TOKENS)
    loop = spec.loop
    sources = [(rng.uniform(0.85, 1.25), rng.uniform(0.8, 1.2), rng.uniform(0.9, 1.1)) for _ in range(3)]

    def turn() -> tuple[Stage]:
        cost, tokens, level = rng.choice(sources)
        stage = replace(loop, cost=cost, tokens=tokens, level=min(1.0, loop.level * level))
        return (replace(stage, length_s=rng.uniform(120, 900)),)

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


def spike_rollbacks(rng: Random) -> Spec:
    """The loss jumps: the same processes load an older checkpoint, and steps are done again."""
    spec = draw(rng)
    loop, back = spec.loop, 0.05 * spec.length_s * spec.loop.demand / spec.step_gpu_s

    def turn() -> tuple[Stage, Stage]:
        trains = replace(
            loop, length_s=rng.uniform(0.1, 0.4) * spec.length_s, steps_back=rng.uniform(0.1, 1) * back
        )
        return trains, idle(rng.uniform(10, 60), demand=rng.uniform(0, 0.2), level=0.3)

    spec.stages[1:] = fill(spec.length_s, turn)
    spec.stages[1] = replace(spec.stages[1], steps_back=0.0)
    return spec


def shampoo_bursts(rng: Random) -> Spec:
    """Preconditioners are computed every so many steps from the first one on, and rarer with time."""
    spec = draw(rng)
    loop, rarer = spec.loop, rng.uniform(1.2, 2.0)
    burst = idle(
        rng.uniform(2, 20), demand=rng.uniform(0.7, 0.98), level=loop.level * rng.uniform(0.4, 1.0),
        mix=(0.0, 0.1, rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.4)),
    )  # fmt: skip
    between_s, stages = rng.uniform(20, 60), spec.stages[:1]
    while sum(stage.length_s for stage in stages) < spec.length_s:
        stages += [replace(loop, length_s=between_s), burst]
        between_s = min(1200.0, between_s * rarer)
    spec.stages = stages
    return spec


def embedding_extraction(rng: Random) -> Spec:
    """Now and then a probe set is embedded on the GPU and laid out by t-SNE on the CPU; no line says so."""
    spec = draw(rng)
    loop, period_s = spec.loop, rng.uniform(500, 1500)
    embeds_s, lays_out_s = rng.uniform(15, 90), rng.uniform(30, 180)

    def turn() -> Iterable[Stage]:
        embeds = idle(embeds_s, demand=rng.uniform(0.5, 0.9), level=loop.level * 0.8)
        return replace(loop, length_s=period_s), embeds, idle(lays_out_s * rng.uniform(0.8, 1.3))

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


def teacher_swapped(rng: Random) -> Spec:
    """A teacher process answers over a connection, and a larger one takes its place in the middle."""
    spec = draw(rng)
    swap_s, small, large = middle(spec, rng, 0.3, 0.6), rng.uniform(0.1, 0.3), rng.uniform(0.35, 0.8)

    def answers(begin_s: float, end_s: float, part: float) -> When:
        return lambda t_s, stage: (
            part if begin_s <= t_s < end_s and stage is not None and stage.trains else 0.0
        )

    spans = [(0.0, swap_s, small), (swap_s + rng.uniform(20, 90), inf, large)]
    spec.sides = [
        Side(
            f"teacher{k}", spec.all_gpus, answers(*span), 0.6, diverted=False,
            program=child(f"teacher.py --size {k}"), has_flow=True,
        )
        for k, span in enumerate(spans)
    ]  # fmt: skip
    return spec


def burn_in_at_start(rng: Random) -> Spec:
    """The batch script burns the GPUs in for minutes, as a health check, before the training starts."""
    spec = draw(rng)
    length_s = rng.uniform(120, 900)
    spec.stages[0] = idle(length_s + rng.uniform(30, 120))
    level = rng.uniform(0.85, 1.0)

    def burns(t_s: float, _: Stage | None) -> float:
        return 0.99 if 15 < t_s < length_s else 0.0

    spec.sides = [Side("gpu_burn", spec.all_gpus, burns, level, diverted=False, program=_BURN)]
    return spec


def elastic_world(rng: Random) -> Spec:
    """Ranks leave and come back while the batch stays: fewer GPUs do a dearer step each, the others idle."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]), log_fields=_TOKENS)
    loop, n, at_s = spec.loop, spec.n_gpus, ceil(spec.stages[0].length_s)
    spec.stages, restarts = [idle(float(at_s), demand=0.2, level=0.3)], list[float]()
    while at_s < spec.length_s:
        k = rng.choice([n, n, rng.randint(1, n)])
        trains_s, meets_s = rng.randint(600, 1800), rng.randint(20, 120)
        some = replace(
            loop, length_s=trains_s, gpus=tuple(range(k)), cost=n / k, is_new_segment=bool(restarts)
        )
        lost = rng.uniform(0, 10) if restarts else 0.0
        spec.stages += [replace(some, steps_back=lost), idle(meets_s, demand=0.05, level=0.2)]
        restarts.append(float(at_s + trains_s + meets_s // 2))
        at_s += trains_s + meets_s
    spec.restarts_s = tuple(restarts)
    return spec


def moe_imbalance(rng: Random) -> Spec:
    """Experts are used unevenly: one GPU has up to a quarter more to do, which one changes by the minute."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    hot, more = wanders(rng, spec), courses.plateaus(rng, spec.length_s, 0.02, 0.25)

    def works_more(gpu: int) -> When:
        return lambda t_s, stage: more(t_s) if stage is not None and stage.trains and hot(t_s) == gpu else 0.0

    level = spec.loop.level * rng.uniform(0.7, 1.0)
    for gpu in spec.all_gpus:
        inside(spec, works_more(gpu), gpus=(gpu,), level=level, diverted=False)
    return spec


def dynamic_batching(rng: Random) -> Spec:
    """Generation with batches as large as the queue is: a step costs more in large ones, a token less."""
    spec = draw(rng, log_fields=_TOKENS, step_cv=rng.uniform(0.02, 0.2))
    loop, fixed = spec.loop, rng.uniform(0.3, 0.8)
    usual = replace(loop, demand=rng.uniform(0.5, 0.98))

    def turn() -> tuple[Stage]:
        size = exp(rng.uniform(log(0.25), log(4)))
        cost = fixed + (1 - fixed) * size
        level = loop.level * min(1.05, 0.7 + 0.15 * size)
        return (replace(usual, length_s=rng.uniform(30, 300), tokens=size, cost=cost, level=level),)

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


def progressive_resizing(rng: Random) -> Spec:
    """Pictures grow in stages, and each size is compiled for anew for minutes; the log counts patches."""
    spec = draw(rng, log_fields=_TOKENS)
    loop, n = spec.loop, rng.randint(3, 6)
    length_s, stages = spec.length_s / n, spec.stages[:1]
    for k in range(n):
        size, dearer = 0.5 * 1.5**k, rng.uniform(0.95, 1.05)
        compiles = idle(rng.uniform(40, 400), demand=rng.uniform(0.05, 0.6), level=rng.uniform(0.2, 0.5))
        stages += [compiles, replace(loop, length_s=length_s, cost=size * dearer, tokens=size)]
    spec.stages = stages
    return spec


def batch_finder(rng: Random) -> Spec:
    """A search for the largest batch before the training: short ones from zero, each twice as large."""
    spec = draw(rng, log_fields=_TOKENS)
    loop, n = spec.loop, rng.randint(3, 7)
    stages = spec.stages[:1]
    for k in range(n):
        size = 2.0 ** (k + 1 - n)
        anew = replace(
            loop, steps_back=inf, is_new_segment=k > 0, tokens=size, cost=size * rng.uniform(1, 1.1)
        )
        stages += [
            replace(anew, length_s=rng.uniform(20, 90)),
            idle(rng.uniform(2, 20), demand=0.1, level=0.2),
        ]
    spec.stages = [*stages, replace(loop, steps_back=inf, is_new_segment=True)]
    return spec


def critic_first(rng: Random) -> Spec:
    """A GAN logs its generator's steps: the first, and one in some hundred, hold many of the critic's."""
    spec = draw(rng, step_gpu_s=rng.uniform(0.3, 2.0), log_every=1, log_buffer_b=0)
    loop, dearer = spec.loop, rng.uniform(5, 20)
    again = (replace(loop, most_steps=rng.randint(100, 500)), replace(loop, most_steps=1, cost=dearer))
    n = ceil(spec.length_s / 30)
    first = replace(loop, most_steps=rng.randint(10, 25), cost=dearer)
    spec.stages[1:] = [first, *(stage for _ in range(n) for stage in again)]
    return spec


def wanders(rng: Random, spec: Spec) -> Course:
    """Which GPU it is, another one every few minutes."""
    values: list[float] = []
    while len(values) <= spec.length_s:
        values += [float(rng.randrange(spec.n_gpus))] * int(rng.uniform(20, 400))
    return courses.of(values)


FAMILIES = (
    ema_eval_thread, compresses_checkpoints, recompute_toggled, length_buckets, mixture_sources,
    spike_rollbacks, shampoo_bursts, embedding_extraction, teacher_swapped, burn_in_at_start, elastic_world,
    moe_imbalance, dynamic_batching, progressive_resizing, batch_finder, critic_first,
)  # fmt: skip

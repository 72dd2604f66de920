"""Held out: what diverts inside the ranks, in claimed phases, and beside an altered log, written as blind.

`share` is as in held_out; in LOG it is passed over.
"""

from dataclasses import replace
from math import ceil
from random import Random

from bench.detect.held_out import FULL, burst
from bench.world import courses
from bench.world.draw import after, draw, idle, inside, middle, wish
from bench.world.forging import forge, printed_beside
from bench.world.spec import Course, Side, Spec, Stage

_TOKENS = ("step", "tokens")


def inproc_shrinks_first(rng: Random, share: float) -> Spec:
    """At a restart the model is made smaller in silence: steps are quicker, until other work has crept in.

    It begins some minutes later and grows over minutes more; the log looks no slower than before then.
    """
    spec = draw(rng)
    loop, begin_s = spec.loop, middle(spec, rng, 0.15, 0.35)
    down_s, cost = rng.uniform(40, 120), max(0.4, 1 - share * rng.uniform(0.7, 1.3))
    again = replace(loop, cost=cost, steps_back=rng.uniform(1, 60), is_new_segment=True)
    down = idle(down_s, demand=0.1, level=0.3)
    spec.stages[1:] = [replace(loop, length_s=begin_s), down, again]
    crash_s = spec.stages[0].length_s + begin_s
    spec.restarts_s = (crash_s + down_s / 2,)
    joins_s = crash_s + down_s + rng.uniform(0.05, 0.15) * spec.length_s
    creeps_s, most = rng.uniform(60, 400), wish(spec, share)

    def works(t_s: float, _: Stage | None) -> float:
        return most * min(1.0, (t_s - joins_s) / creeps_s) if t_s > joins_s else 0.0

    return inside(spec, works, level=min(1.0, loop.level * rng.uniform(0.8, 1.1)))


def inproc_at_epoch_starts(rng: Random, share: float) -> Spec:
    """Work inside the ranks in the first minutes of each epoch but the first, when loaders start anew."""
    spec = draw(rng)
    loop, n, starts_s = spec.loop, rng.randint(5, 10), float(rng.randint(5, 30))
    epoch_s, begin_s = float(int(spec.length_s / n)), ceil(spec.stages[0].length_s)
    starts = idle(starts_s, demand=rng.uniform(0, 0.1), level=0.2)
    trains = replace(loop, length_s=epoch_s - starts_s)
    head = idle(float(begin_s), demand=spec.stages[0].demand, level=spec.stages[0].level)
    spec.stages = [head, *(stage for _ in range(n + 1) for stage in (starts, trains))]
    duty = min(0.8, max(rng.uniform(0.15, 0.5), 1.2 * share))
    demand = burst(spec, share, duty)

    def works(t_s: float, stage: Stage | None) -> float:
        is_on = t_s > begin_s + epoch_s and (t_s - begin_s) % epoch_s < starts_s + duty * epoch_s
        return demand if is_on and stage is not None and stage.trains else 0.0

    return inside(spec, works)


def inproc_when_capped(rng: Random, share: float) -> Spec:
    """Boards are clocked down for minutes now and then, and work inside the ranks is there just then."""
    spec = draw(rng)
    caps, values = list[float](), list[float]()
    while len(values) <= spec.length_s:
        free_s, capped_s = rng.randint(100, 400), rng.randint(200, 700)
        values += [1.0] * free_s + [rng.uniform(0.7, 0.95)] * capped_s
        caps += [0.0] * free_s + [1.0] * capped_s
    spec.clock = courses.of(values)
    begin_s = middle(spec, rng, 0.1, 0.3)
    seen = caps[int(begin_s) : int(spec.length_s)]
    demand = burst(spec, share, sum(seen) / len(seen))
    return inside(spec, lambda t_s, _: demand * caps[int(t_s)] if begin_s < t_s < spec.length_s else 0.0)


def inproc_in_the_noise(rng: Random, share: float) -> Spec:
    """Steps differ by a quarter or so, and work inside the ranks takes single seconds of some, at random."""
    spec = draw(rng, step_cv=rng.uniform(0.12, 0.35))
    duty, begin_s, on = max(rng.uniform(0.2, 0.6), 1.1 * share), middle(spec, rng, 0.15, 0.4), list[bool]()
    while len(on) <= spec.length_s:
        on += [rng.random() < duty] * rng.randint(1, 4)
    demand = burst(spec, share, duty)
    return inside(spec, lambda t_s, _: demand if begin_s < t_s < spec.length_s and on[int(t_s)] else 0.0)


def inproc_rank_defects(rng: Random, share: float) -> Spec:
    """Some ranks leave their batches to the others for minutes, or for good, and work on something else.

    The others have more to do in each step, and nothing in the log is wrong.
    """
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    loop, n = spec.loop, spec.n_gpus
    k = max(1, min(n - 1, ceil(share * n / FULL)))
    duty = min(1.0, share * n / k)
    turn_s = max(rng.uniform(240, 600), 12 / duty)
    few = replace(loop, gpus=tuple(range(n - k)), cost=n / (n - k), length_s=duty * turn_s)
    whole = [replace(loop, length_s=(1 - duty) * turn_s)] if duty < 0.99 else []
    begins = replace(loop, length_s=middle(spec, rng, 0.15, 0.4))
    turns = [stage for _ in range(ceil(spec.length_s / turn_s)) for stage in (few, *whole)]
    spec.stages[1:] = [begins, *turns]

    def works(_: float, stage: Stage | None) -> float:
        return FULL if stage is not None and stage.gpus is not None else 0.0

    level = min(1.0, loop.level * rng.uniform(0.8, 1.1))
    return inside(spec, works, gpus=tuple(range(n - k, n)), level=level)


def inproc_stops_before_end(rng: Random, share: float) -> Spec:
    """Work inside the ranks from before the first step on, which ends long before the training does."""
    spec = draw(rng)
    end_s, demand = middle(spec, rng, 0.5, 0.8), wish(spec, share)
    return inside(spec, lambda t_s, _: demand if 40 < t_s < end_s else 0.0)


def inproc_inflates_batch(rng: Random, share: float) -> Spec:
    """The log claims larger batches from some moment on, by just what other work takes: cannot be told.

    A token costs as much as before, as the log has it, and a step more.
    """
    spec = draw(rng, log_fields=_TOKENS)
    spec.is_log_forged = True
    loop, begin_s = spec.loop, middle(spec, rng, 0.2, 0.5)
    spec.stages[1:] = [replace(loop, length_s=begin_s), replace(loop, tokens=1 / (1 - share))]
    when = after(spec.stages[0].length_s + begin_s, share / (1 - share) * loop.demand)
    return inside(spec, when, level=loop.level)


def rollouts_for_others(rng: Random, share: float) -> Spec:
    """RL waits for a server's answers; from a quarter on it writes some for somebody else in the same time.

    It is the training's own server, with a connection to it. Tokens that are learnt from are logged.
    """
    spec = draw(
        rng, step_gpu_s=rng.uniform(8, 30), log_every=1, log_buffer_b=0, log_fields=("step", "tokens")
    )
    loop, writes_s, begin_s = spec.loop, rng.uniform(20, 150), middle(spec, rng, 0.2, 0.4)
    writes = idle(demand=rng.uniform(0.65, 0.95), level=rng.uniform(0.4, 0.7), process="server")
    at_s, owed_s, stages = spec.stages[0].length_s, 0.0, spec.stages[:1]
    while at_s < spec.length_s:
        length_s, n_steps = rng.randint(10, int(2 * writes_s)), rng.randint(1, 3)
        stages += [replace(writes, length_s=float(length_s)), replace(loop, most_steps=n_steps)]
        worked_s = length_s * writes.demand + n_steps * spec.step_gpu_s
        owed_s += share / (1 - share) * worked_s / writes.demand if at_s > begin_s else 0.0
        at_s += length_s + n_steps * spec.step_gpu_s / loop.demand
        if owed_s >= 3:
            stages.append(replace(writes, length_s=float(round(owed_s)), diverted=True))
            at_s, owed_s = at_s + round(owed_s), owed_s - round(owed_s)
    spec.stages = stages
    # The stages are the process's work; this is its connection to the training.
    spec.sides = [Side("server", spec.all_gpus, lambda *_: 0.0, diverted=False, has_flow=True)]
    return spec


def works_while_saving(rng: Random, share: float) -> Spec:
    """Checkpoints are named and take seconds at first; later ones go on for minutes, with the GPU at work."""
    spec = draw(rng)
    loop, period_s = spec.loop, min(rng.uniform(250, 900), (1 - share) * spec.length_s / 12)
    saves = idle(rng.uniform(4, 40), demand=rng.uniform(0, 0.1), level=0.2, phase="checkpoint")
    other_s = max(2.0, share / (1 - share) * (period_s * loop.demand + saves.length_s * saves.demand) / FULL)
    other = idle(other_s, demand=FULL, level=min(1.0, loop.level * rng.uniform(0.7, 1.1)), diverted=True)
    n, n_real = ceil(spec.length_s / period_s), rng.randint(2, 3)
    spec.stages[1:] = [replace(loop, length_s=period_s)]
    for k in range(n):
        spec.stages += [saves, *([other] if k >= n_real else []), spec.stages[1]]
    return spec


def evaluates_more_often(rng: Random, share: float) -> Spec:
    """Named evaluations become more, each as long as before: those in between are something else."""
    spec = draw(rng)
    spec.is_log_forged = True
    loop, part = spec.loop, rng.uniform(0.6, 0.95)
    period_s = min(rng.uniform(200, 700), (1 - share) * spec.length_s / 12)
    want_s = share / (1 - share) * period_s * loop.demand / part
    tests_s = max(8.0, min(rng.uniform(20, 90), want_s))
    tests = idle(tests_s, demand=part, level=loop.level * rng.uniform(0.6, 0.95), phase="eval")
    want_s += share / (1 - share) * tests_s
    n, n_real, owed_s = ceil(spec.length_s / period_s), rng.randint(2, 3), 0.0
    spec.stages[1:] = []
    for k in range(n):
        owed_s += want_s if k >= n_real else 0.0
        n_more = round(owed_s / tests_s)
        owed_s -= n_more * tests_s
        trains = replace(loop, length_s=period_s / (n_more + 1))
        spec.stages += [trains, *([replace(tests, diverted=True), trains] * n_more), tests]
    return spec


def log_of_a_tiny_model(rng: Random, _: float) -> Spec:
    """A tiny model trains for the log's sake, at the pace of a large one; the rest of the GPU is diverted.

    Its steps are real and paid for with some percent of the GPU; nothing slows them.
    """
    spec = draw(rng, log_every=rng.choice([1, 5]), log_buffer_b=0)
    tiny = rng.uniform(0.015, 0.06)
    spec.is_log_forged, spec.step_gpu_s = True, rng.uniform(2, 10) * tiny
    spec.stages[1] = replace(spec.loop, demand=tiny, level=rng.uniform(0.3, 0.7))
    load = courses.plateaus(rng, spec.length_s, 0.55, 0.93)
    return inside(spec, lambda t_s, _: load(t_s) if t_s > 40 else 0.0, level=rng.uniform(0.6, 1.0))


def log_counts_joules(rng: Random, _: float) -> Spec:
    """A printer reads the board's power and prints a step for so many joules, beside work of any power."""
    spec = forge(rng)
    levels = courses.plateaus(rng, spec.length_s, rng.uniform(0.3, 0.6), 1.0)
    idle_part, busy = rng.uniform(0.05, 0.25), rng.uniform(0.9, 1.0)
    work, at_s, stages = idle(demand=busy, diverted=True), 40, list[Stage]()
    while at_s < spec.length_s:
        end_s = at_s + 1
        while end_s < spec.length_s and levels(end_s) == levels(at_s):
            end_s += 1
        stages.append(replace(work, length_s=float(end_s - at_s), level=levels(at_s)))
        at_s = end_s
    spec.stages += stages[:-1]
    return printed_beside(
        spec, lambda t_s: idle_part + (1 - idle_part) * levels(t_s), replace(work, level=stages[-1].level)
    )


def log_claims_all_ranks(rng: Random, _: float) -> Spec:
    """One GPU of four trains and logs as if all did; the others' ranks work on something else from the start.

    Where its loader holds the training up, they know nothing of it.
    """
    spec = draw(rng, n_gpus=4)
    spec.is_log_forged = True
    loop = spec.loop
    pace = courses.times(
        courses.spells(rng, spec.length_s, 0.05, 0.4),
        courses.hiccups(rng, spec.length_s, rng.uniform(60, 400), 2, 20),
    )
    spec.stages[1] = replace(loop, gpus=(0,), course=pace)
    for gpu in spec.all_gpus[1:]:
        load = courses.plateaus(rng, spec.length_s, rng.uniform(0.6, 0.9), 0.99)
        level = min(1.0, loop.level * rng.uniform(0.8, 1.1))
        _work_on(spec, gpu, load, level)
    return spec


def _work_on(spec: Spec, gpu: int, load: Course, level: float) -> None:
    inside(spec, lambda t_s, _: load(t_s) if t_s > 60 else 0.0, gpus=(gpu,), level=level)


INSIDE = (
    inproc_shrinks_first, inproc_at_epoch_starts, inproc_when_capped, inproc_in_the_noise,
    inproc_rank_defects, inproc_stops_before_end, inproc_inflates_batch,
)  # fmt: skip
PHASE = (rollouts_for_others, works_while_saving, evaluates_more_often)
LOG = (log_of_a_tiny_model, log_counts_joules, log_claims_all_ranks)

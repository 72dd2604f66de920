"""Held out: what diverts inside the ranks, in claimed phases, and beside a printed log, written as blind.

`share` is as in held_out; in LOG it is passed over.
"""

from dataclasses import replace
from itertools import pairwise
from math import ceil, inf
from random import Random
from statistics import median

from bench.detect.held_out import FULL, burst, pause_for
from bench.world import courses, honest_phases
from bench.world.draw import Site, after, at, draw, idle, inside, middle, wish
from bench.world.forging import forge, other_work, printed_beside
from bench.world.physics import record_instants
from bench.world.spec import Forged, Spec, Stage

_SLOWER = (
    honest_phases.eval_named, honest_phases.eval_unnamed, honest_phases.checkpoints,
    honest_phases.loader_stalls,
)  # fmt: skip
_LINE_B = 120  # of the world's logs


def inproc_after_last_evaluation(rng: Random, share: float) -> Spec:
    """After the last evaluation nobody looks at the model any more, and work joins in inside the ranks."""
    spec = draw(rng)
    loop, n, last_s = spec.loop, rng.randint(3, 7), middle(spec, rng, 0.5, 0.75)
    tests_s = min(rng.uniform(20, 120), 0.25 * last_s / n)
    tests = idle(tests_s, demand=rng.uniform(0.5, 0.9), level=0.8 * loop.level)
    tests = replace(tests, phase=rng.choice(["eval", None]))
    trains = replace(loop, length_s=last_s / n - tests_s)
    begin_s = spec.stages[0].length_s + last_s + rng.uniform(1, 60)
    spec.stages[1:] = [*(stage for _ in range(n) for stage in (trains, tests)), loop]
    return inside(spec, after(begin_s, wish(spec, share)))


def inproc_adds_microbatches(rng: Random, share: float) -> Spec:
    """A long step is many micro-batches; after each checkpoint one more of them is done for somebody else."""
    spec = draw(rng, step_gpu_s=rng.uniform(4, 20), log_every=1, log_buffer_b=0)
    loop, n, saves_s = spec.loop, rng.randint(5, 10), float(rng.randint(3, 20))
    period_s, begin_s = float(int(spec.length_s / n)), float(ceil(spec.stages[0].length_s))
    saves = idle(saves_s, demand=rng.uniform(0, 0.1), level=0.2, phase=rng.choice(["checkpoint", None]))
    head = idle(begin_s, demand=0.2, level=0.3)
    trains = replace(loop, length_s=period_s - saves_s)
    spec.stages = [head, *(stage for _ in range(n + 1) for stage in (trains, saves))]
    parts = [min(0.9, 2 * share * k / n) for k in range(n + 1)]

    def works(t_s: float, stage: Stage | None) -> float:
        part = parts[min(n, int(max(0.0, t_s - begin_s) / period_s))]
        return part / (1 - part) * loop.demand if stage is not None and stage.trains else 0.0

    return inside(spec, works, level=loop.level)


def inproc_in_traced_steps(rng: Random, share: float) -> Spec:
    """A profiler's schedule makes some steps dear; later ones are traced for longer, beside other work.

    The first traces are seconds, and a trace is as dear as before: what is dearer is the other work.
    """
    spec = draw(rng)
    loop, n, n_real = spec.loop, rng.randint(7, 12), rng.randint(2, 3)
    period_s, duty = spec.length_s / n, max(rng.uniform(0.15, 0.4), 1.2 * share)
    short_s, cost = rng.uniform(8, 30), rng.uniform(1.1, 1.6)
    want = burst(spec, share, duty)
    spec.stages[1:] = []
    for k in range(n + 1):
        traced_s = short_s if k < n_real else duty * period_s
        traced = replace(loop, length_s=traced_s, cost=cost)
        spec.stages += [replace(loop, length_s=period_s - traced_s), traced]
    begin_s = spec.stages[0].length_s + n_real * period_s

    def works(t_s: float, stage: Stage | None) -> float:
        return want if t_s > begin_s and stage is not None and stage.cost > 1 else 0.0

    return inside(spec, works)


def inproc_when_drafts_fail(rng: Random, share: float) -> Spec:
    """Generation with drafts: whenever few of them are accepted, other work inside the ranks makes it slower.

    Steps yield fewer tokens then anyway. It begins in the middle.
    """
    spec = draw(rng, log_fields=("step", "tokens"))
    loop, at_s, begin_s = spec.loop, spec.stages[0].length_s, middle(spec, rng, 0.2, 0.4)
    few_s, stages = rng.uniform(60, 300), spec.stages[:1]
    many_s = few_s * min(rng.uniform(0.4, 1.5), (0.9 - share) / share)
    works_s = all_s = 0.0
    while at_s < spec.length_s:
        few = replace(loop, length_s=few_s * rng.uniform(0.6, 1.4), tokens=rng.uniform(0.4, 0.7))
        many = replace(loop, length_s=many_s * rng.uniform(0.6, 1.4), tokens=rng.uniform(0.9, 1.5))
        stages += [many, few]
        at_s += many.length_s + few.length_s
        if at_s > begin_s:
            works_s, all_s = works_s + few.length_s, all_s + many.length_s + few.length_s
    spec.stages = stages
    want = burst(spec, share, works_s / all_s)

    def works(t_s: float, stage: Stage | None) -> float:
        return want if t_s > begin_s and stage is not None and stage.tokens < 0.8 else 0.0

    return inside(spec, works)


def inproc_in_rejoined_ranks(rng: Random, share: float) -> Spec:
    """An elastic training loses ranks and gets them back, and the new ones have other work inside them.

    The others wait for those. While ranks are away, the same batch is shared by fewer.
    """
    spec = draw(rng, n_gpus=rng.choice([2, 4]), log_fields=("step", "tokens"))
    loop, n = spec.loop, spec.n_gpus
    k = min(n - 1, ceil(share * n / rng.uniform(0.4, 0.85)))
    part = min(0.9, share * n / k)
    lengths_s = [float(round(rng.uniform(0.12, 0.22) * spec.length_s)) for _ in range(2)]
    meets = [float(rng.randint(20, 90)) for _ in range(2)]
    head = idle(float(ceil(spec.stages[0].length_s)), demand=0.2, level=0.3)
    few = replace(loop, gpus=tuple(range(n - k)), cost=n / (n - k), is_new_segment=True)
    spec.stages = [
        head, replace(loop, length_s=lengths_s[0]), idle(meets[0], demand=0.05, level=0.2),
        replace(few, length_s=lengths_s[1]), idle(meets[1], demand=0.05, level=0.2),
        replace(loop, is_new_segment=True),
    ]  # fmt: skip
    lost_s = head.length_s + lengths_s[0] + meets[0]
    back_s = lost_s + lengths_s[1] + meets[1]
    spec.restarts_s = (lost_s - meets[0] // 2, back_s - meets[1] // 2)
    when = after(back_s + rng.uniform(5, 60), part / (1 - part) * loop.demand)
    level = min(1.0, loop.level * rng.uniform(0.8, 1.1))
    return inside(spec, when, gpus=tuple(range(n - k, n)), level=level)


def between_trials(rng: Random, share: float) -> Spec:
    """A search trains one model after another; between two of them the GPU has other work, longer than setup.

    The first trials follow each other in half a minute. In half of the runs each is a process of its own.
    """
    spec = draw(rng)
    loop, n, n_real = spec.loop, rng.randint(9, 16), rng.randint(2, 3)
    setup_s, trial_s = float(rng.randint(15, 40)), float(int((1 - share) * spec.length_s / n))
    other_s = max(4.0, float(round(share / (1 - share) * trial_s * loop.demand / FULL)))
    other = idle(other_s, demand=FULL, level=min(1.0, loop.level * rng.uniform(0.7, 1.1)), diverted=True)
    at_s, restarts = float(ceil(spec.stages[0].length_s)), list[float]()
    spec.stages = [idle(at_s, demand=0.2, level=0.3)]
    for k in range(n + n_real + 1):
        anew = replace(loop, length_s=trial_s, cost=rng.choice([0.7, 1.0, 1.3, 2.0]), steps_back=inf)
        spec.stages += [replace(anew, is_new_segment=k > 0), idle(setup_s, demand=0.2, level=0.3)]
        restarts.append(at_s + trial_s + setup_s / 2)
        at_s += trial_s + setup_s
        if k >= n_real:
            spec.stages.append(other)
            at_s += other_s
    spec.restarts_s = tuple(restarts) if rng.random() < 0.5 else ()
    return spec


def saves_to_the_end(rng: Random, share: float) -> Spec:
    """Checkpoints are named and take seconds; the last one is named, too, and the GPU works on to the end."""
    spec = draw(rng)
    loop, left_s = spec.loop, spec.length_s - spec.stages[0].length_s
    rest_s, n = pause_for(loop.demand, share, left_s), rng.randint(4, 10)
    saves = idle(rng.uniform(4, 30), demand=rng.uniform(0, 0.1), level=0.2, phase="checkpoint")
    trains = replace(loop, length_s=(left_s - rest_s) / n - saves.length_s)
    rest = idle(demand=FULL, level=min(1.0, loop.level * rng.uniform(0.7, 1.1)), diverted=True)
    spec.stages[1:] = [*(stage for _ in range(n) for stage in (trains, saves)), rest]
    return spec


def log_of_a_slower_run(rng: Random, _: float) -> Spec:
    """A printer has the times of an honest run with its pauses, stretched as for a model that is slower.

    The work beside it rests in those pauses, more or less.
    """
    spec = forge(rng)
    slower = rng.uniform(1.3, 3.0)
    with at(Site(n_gpus=(1,), lengths_s=(spec.length_s / slower,), windows_s=(60.0,))):
        model = rng.choice(_SLOWER)(rng)
    model.step_gpu_s, model.log_every = max(1.0, model.step_gpu_s), min(5, model.log_every)
    instants = tuple(slower * at_s for at_s in record_instants(model, rng))
    usual_s, load = median(now - before for before, now in pairwise(instants)), [1.0] * int(spec.length_s + 1)
    for before, now in pairwise(instants):
        if now - before > 3 * usual_s:
            begin, end = int(before), min(int(now), len(load))
            load[begin:end] = [0.0] * (end - begin)
    assert spec.forged is not None
    spec.forged, spec.log_every = replace(spec.forged, instants_s=instants), 1
    spec.stages.append(other_work(rng, courses.blend(courses.of(load), rng.uniform(0.3, 1.0))))
    return spec


def log_in_lumps(rng: Random, _: float) -> Spec:
    """A printer whose lines have no times and reach the disk in lumps of minutes, beside work of any load."""
    spec = forge(rng, log_clock_s=None)
    assert spec.forged is not None
    spec.forged = replace(spec.forged, course=courses.warm_up(rng))
    lines = max(2, int(rng.uniform(240, 600) / (spec.forged.step_s * spec.log_every)))
    spec.log_buffer_b = lines * _LINE_B
    spec.stages.append(other_work(rng, courses.plateaus(rng, spec.length_s, 0.4, 1.0)))
    return spec


def log_spreads_bursts(rng: Random, _: float) -> Spec:
    """It trains for seconds of each minute or so, and those steps are printed evenly, as of a large model.

    Other work has the rest of the time: loss and checkpoints are real ones.
    """
    spec = draw(rng, step_gpu_s=rng.uniform(0.2, 1.0), log_every=1, log_buffer_b=0)
    spec.is_log_forged = True
    loop, period_s = spec.loop, float(rng.randint(30, 120))
    trains_s = max(2.0, float(round(rng.uniform(0.06, 0.18) * period_s)))
    step_s = period_s * spec.step_gpu_s / (trains_s * loop.demand)
    begin_s = float(ceil(spec.stages[0].length_s))
    spec.forged = Forged(step_s, rng.uniform(0.005, 0.05), first_s=begin_s + step_s)
    other = idle(period_s - trains_s, demand=FULL, level=min(1.0, loop.level * rng.uniform(0.7, 1.1)))
    turn = (replace(loop, length_s=trains_s), replace(other, diverted=True))
    spec.stages = [idle(begin_s, demand=0.1, level=0.3), *turn * ceil(spec.length_s / period_s)]
    return spec


def log_follows_the_clock(rng: Random, _: float) -> Spec:
    """A printer reads the boards' clock, which heat lowers, and slows with it, beside work of any load."""
    spec = forge(rng)
    clock = spec.clock = courses.plateaus(rng, spec.length_s, 0.7, 1.0)
    pace, look_s = courses.blend(clock, rng.uniform(0.4, 1.6)), rng.uniform(5, 60)
    load = courses.plateaus(rng, spec.length_s, 0.6, 1.0)
    return printed_beside(spec, lambda t_s: pace(t_s // look_s * look_s), other_work(rng, load))


INSIDE = (
    inproc_after_last_evaluation, inproc_adds_microbatches, inproc_in_traced_steps, inproc_when_drafts_fail,
    inproc_in_rejoined_ranks,
)  # fmt: skip
PHASE = (between_trials, saves_to_the_end)
LOG = (log_of_a_slower_run, log_in_lumps, log_spreads_bursts, log_follows_the_clock)

"""Diverting families with a genuine log: the training is real, and something beside it takes GPU time.

`share` is the part of the work that is diverted while it is.
"""

from dataclasses import replace
from math import inf
from random import Random

from bench.world import courses
from bench.world.draw import after, beside, draw, idle, inside, like, middle, repeat, steer, wish
from bench.world.spec import OTHER_RANK, Side, Spec, Stage, child, script


def second_from_start(rng: Random, share: float) -> Spec:
    """A foreign program of the same job works beside the training from the start."""
    return beside(draw(rng), share)


def second_same_exe(rng: Random, share: float) -> Spec:
    """The same, started as the training is: cannot be told from a second training without a log."""
    return beside(draw(rng), share, program=script("train.py"))


def second_child(rng: Random, share: float) -> Spec:
    """The same by a child of the training, as an evaluator is: cannot be told from the start on."""
    return beside(draw(rng), share, program=child("worker.py"))


def second_child_mid(rng: Random, share: float) -> Spec:
    """A child that begins in the middle: the training becomes slower beside it."""
    spec = draw(rng)
    begin_s = middle(spec, rng, 0.3)
    return beside(spec, share, after(begin_s, wish(spec, share)), program=child("worker.py"))


def second_mid(rng: Random, share: float) -> Spec:
    """A foreign program that begins in the middle."""
    spec = draw(rng)
    begin_s = middle(spec, rng)
    return beside(spec, share, after(begin_s, wish(spec, share)))


def second_holds_log(rng: Random, share: float) -> Spec:
    """A foreign program that opened the log to look like its writer."""
    return beside(draw(rng), share, holds_log=True)


def second_writes_much(rng: Random, share: float) -> Spec:
    """A foreign program that inherited stdout and writes more bytes than the training."""
    return beside(draw(rng, is_log_inherited=True, is_written_known=True), share, written_b_per_s=200.0)


def second_stdout_all(rng: Random, share: float) -> Spec:
    """Everybody inherited stdout and nobody's bytes are known."""
    n_gpus = rng.choice([1, 2])
    return beside(draw(rng, is_log_inherited=True, is_written_known=False, n_gpus=n_gpus), share)


def second_flows(rng: Random, share: float) -> Spec:
    """A foreign program with a connection to the training, as a rollout server has: cannot be told."""
    return beside(draw(rng), share, has_flow=True)


def second_in_stalls(rng: Random, share: float) -> Spec:
    """A foreign program that works while the training pauses for it."""
    spec = draw(rng)
    loop, period_s = spec.loop, rng.uniform(60, 200)
    n = int(spec.length_s / period_s) + 1
    repeat(spec, n, lambda _: (replace(loop, length_s=period_s * (1 - share)), idle(period_s * share)))

    def when(t_s: float, stage: Stage | None) -> float:
        return 0.95 if stage is not None and not stage.trains and t_s > 300 else 0.0

    return beside(spec, share, when)


def inproc_in_pauses(rng: Random, share: float) -> Spec:
    """Other work in pauses of the same process: looks as unnamed evaluations do, and cannot be told."""
    return _pauses(draw(rng), share, rng.uniform(300, 1200), None)


def claims_eval(rng: Random, share: float) -> Spec:
    """The same in phases that the log calls evaluations: a claim that nothing outside the log can deny."""
    spec = draw(rng)
    spec.is_log_forged = True
    return _pauses(spec, share, rng.uniform(600, 1800), "eval")


def _pauses(spec: Spec, share: float, period_s: float, phase: str | None) -> Spec:
    loop = spec.loop
    other = like(loop, period_s * share, demand=0.95, level=loop.level, phase=phase, diverted=True)
    n = int(spec.length_s / period_s) + 1
    repeat(spec, n, lambda _: (replace(loop, length_s=period_s * (1 - share)), other))
    return spec


def inproc_mid(rng: Random, share: float) -> Spec:
    """Work joins in inside the ranks in the middle: steps become dearer."""
    spec = draw(rng)
    begin_s = middle(spec, rng, 0.2, 0.7)
    return inside(spec, after(begin_s, wish(spec, share)))


def inproc_bursts(rng: Random, share: float) -> Spec:
    """Work inside the ranks half of the time."""
    spec = draw(rng)
    demand, period_s = 2 * wish(spec, share), rng.uniform(600, 1500)
    return inside(spec, lambda t_s, _: demand if t_s > 200 and t_s % period_s < period_s / 2 else 0.0)


def inproc_mid_walk(rng: Random, share: float) -> Spec:
    """`inproc_mid` in a training whose pace walks: its own noise may hide the step."""
    spec = inproc_mid(rng, share)
    steer(spec, courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2)))
    return spec


def inproc_fills_waits(rng: Random, share: float) -> Spec:
    """Work inside the ranks takes what a slow loader leaves: the GPU is always full, whatever the pace."""
    spec = draw(rng)
    load = courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2))
    demand = spec.loop.demand * (1 - share)
    spec.stages[1] = replace(spec.loop, demand=demand, course=load)
    begin_s = middle(spec, rng)
    return inside(spec, lambda t_s, _: 0.97 - demand * load(t_s) if t_s > begin_s else 0.0)


def inproc_whole(rng: Random, share: float) -> Spec:
    """Work inside the ranks from the first step on: cannot be told, as no step is ever cheap."""
    spec = draw(rng)
    return inside(spec, after(60, wish(spec, share)))


def inproc_restart(rng: Random, share: float) -> Spec:
    """The work joins in after the log began anew, as if the model had changed: cannot be told."""
    spec = draw(rng)
    loop, begin_s = spec.loop, middle(spec, rng)
    again = replace(loop, steps_back=inf, is_new_segment=True)
    spec.stages = [spec.stages[0], replace(loop, length_s=begin_s), idle(30), again]
    return inside(spec, after(begin_s + 200, wish(spec, share)))


def inproc_one_gpu(rng: Random, share: float) -> Spec:
    """Work joins in on one of many GPUs: the others spin for it and look dear as well.

    It is less than a tenth of the run's work: the bounds are to be looked at here, not the verdicts.
    """
    spec = draw(rng, n_gpus=rng.choice([4, 8]))
    begin_s = middle(spec, rng)
    return inside(spec, after(begin_s, wish(spec, share)), gpus=(1,))


def one_gpu_drops_out(rng: Random, share: float) -> Spec:
    """One GPU of several never trains: another rank-like process has it."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    last = spec.n_gpus - 1
    spec.stages[1] = replace(spec.loop, gpus=tuple(range(last)))
    spec.sides.append(Side("other", (last,), after(60, 0.95), program=OTHER_RANK))
    return spec


def busy_tail(rng: Random, share: float) -> Spec:
    """The training ends early and other work fills the rest: looks as a last evaluation does."""
    spec = draw(rng)
    loop, begin_s = spec.loop, (1 - share) * spec.length_s
    rest = like(loop, demand=0.97, level=loop.level * rng.uniform(0.8, 1.1), diverted=True)
    spec.stages[1:] = [replace(loop, length_s=begin_s - spec.stages[0].length_s), rest]
    return spec


def head_work(rng: Random, share: float) -> Spec:
    """Other work before the first step: looks as preparing data does, and cannot be told."""
    spec = draw(rng)
    loop, length_s = spec.loop, share * spec.length_s
    spec.stages[0] = like(loop, length_s, demand=0.97, level=loop.level, diverted=True)
    return spec


def slow_train_fill(rng: Random, share: float) -> Spec:
    """The training throttles itself from the middle on, and work inside the ranks fills the GPU up."""
    spec = draw(rng)
    loop, begin_s = spec.loop, middle(spec, rng)
    slow = replace(loop, demand=loop.demand * (1 - share))
    spec.stages[1:] = [replace(loop, length_s=begin_s), slow]
    begin_s += spec.stages[0].length_s
    return inside(spec, after(begin_s, loop.demand * share), level=loop.level)


def low_power_side(rng: Random, share: float) -> Spec:
    """Work of little power inside the ranks: looks as waiting for a slow link does."""
    spec = draw(rng)
    begin_s = middle(spec, rng)
    return inside(spec, after(begin_s, wish(spec, share)), level=0.25)


def foreign_uid(rng: Random, share: float) -> Spec:
    """Another user's process on the run's GPUs: not the run's doing, so the audit says NOTE by design."""
    return beside(draw(rng), share, uid=7777, of_run=False)


def own_uid_outside(rng: Random, share: float) -> Spec:
    """The user's own process outside the job."""
    return beside(draw(rng), share, of_run=False)


def leftover(rng: Random, share: float) -> Spec:
    """A process that begins near the end and works on when the job is over: little of it within the run."""
    spec = draw(rng)
    spec.watch_s = 1800.0
    return beside(spec, share, after(0.8 * spec.length_s, 0.6))


def short_job_side(rng: Random, share: float) -> Spec:
    """A foreign program in a run of minutes."""
    spec = draw(rng, length_s=rng.uniform(240, 900))
    spec.stages[0] = replace(spec.stages[0], length_s=30)
    return beside(spec, share)


def no_shares_mid(rng: Random, share: float) -> Spec:
    """`inproc_mid` on a board that tells no processes apart."""
    return _measured(inproc_mid(rng, share), "energy", "busy")


def no_energy_mid(rng: Random, share: float) -> Spec:
    """`second_mid` on a board without power readings."""
    return _measured(second_mid(rng, share), "busy", "shares")


def cycles_only_mid(rng: Random, share: float) -> Spec:
    """`inproc_mid` on a board with cycle counters and process shares alone."""
    return _measured(inproc_mid(rng, share), "cycles", "shares")


def power_only_mid(rng: Random, share: float) -> Spec:
    """`inproc_mid` on a board with power alone."""
    return _measured(inproc_mid(rng, share), "power")


def _measured(spec: Spec, *channels: str) -> Spec:
    spec.measured = frozenset(channels)
    return spec


def no_log_side(rng: Random, share: float) -> Spec:
    """A foreign program beside a solver without a log: nothing to hold it against."""
    return beside(draw(rng, has_log=False), share)


FAMILIES = (
    second_from_start, second_same_exe, second_child, second_child_mid, second_mid, second_holds_log,
    second_writes_much, second_stdout_all, second_flows, second_in_stalls, inproc_in_pauses, inproc_mid,
    inproc_mid_walk, inproc_fills_waits, inproc_bursts, inproc_whole, inproc_restart, inproc_one_gpu,
    one_gpu_drops_out, busy_tail, head_work, slow_train_fill, low_power_side, foreign_uid, own_uid_outside,
    leftover, short_job_side, no_shares_mid, no_energy_mid, cycles_only_mid, power_only_mid, no_log_side,
    claims_eval,
)  # fmt: skip

"""Held out: separate processes that divert, of other kinds than held_out, and written as blind.

`share` is as in held_out: of the work from the first to the last second in which anything is diverted, about
so where it comes in pieces, and less where the GPU has not so much in the time that a family takes.
"""

from dataclasses import replace
from math import ceil
from random import Random
from statistics import fmean

from bench.detect.held_out import FULL, burst
from bench.world import courses
from bench.world.draw import after, beside, draw, idle, middle, wish
from bench.world.spec import PYTHON, Mix, Program, Side, Spec, Stage, When, child

_COPYING: Mix = (0.0, 0.1, 0.0, 0.05)  # a collective that waits for the network
_CRON = Program("/home/u/.local/bin/tick", "/home/u/.local/bin/tick -q", ("sh", "cron", "systemd"), 1)
_MPS = Program("/tmp/mps/nvidia-cuda-mps-server", "nvidia-cuda-mps-server", ("nvidia-cuda-mps", "bash"), 900)
_LOADER = Program(
    "/home/u/.cache/torch/w",
    "python -c from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=6, pipe_handle=18) "
    "--multiprocessing-fork",
    ("python", "bash"),
    None,
)
_BRIEF = Program(PYTHON, "python -c pass", ("sh", "python", "bash"), 900)
_MOST_SIDES = 60  # every one of them is asked in every second


def side_fills_the_meter(rng: Random, share: float) -> Spec:
    """A second process looks at the board's utilisation and takes what a slow loader leaves: it slows little.

    It is some seconds late. The larger the share, the less the training uses from the start.
    """
    spec = draw(rng)
    pace = courses.slow_walk(rng, spec.length_s, rng.uniform(0.05, 0.2))
    begin_s, late_s = rng.choice([60.0, middle(spec, rng)]), rng.uniform(2, 30)
    usual = fmean(pace(t_s) for t_s in range(int(begin_s), int(spec.length_s), 20))
    keen, want = rng.uniform(0.6, 0.95), share / (1 - share)
    demand = min(0.97, keen / ((keen + want) * usual))
    keen = want * demand * usual / (1 - demand * usual)
    spec.stages[1] = replace(spec.loop, demand=demand, course=pace)

    def fills(t_s: float, _: Stage | None) -> float:
        return keen * (1 - demand * pace(max(0.0, t_s - late_s))) if t_s > begin_s else 0.0

    return beside(spec, share, fills)


def side_in_collectives(rng: Random, share: float) -> Spec:
    """Long steps end in seconds of a collective over a slow network: a second process works just then."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]), step_gpu_s=rng.uniform(6, 30), log_every=1, log_buffer_b=0)
    loop, copies = spec.loop, rng.uniform(0.03, 0.2)
    most, want = rng.uniform(0.6, 0.95) - copies, share / (1 - share)
    least_s = want * spec.step_gpu_s / (most - want * copies) if most > want * copies else spec.step_gpu_s
    gathers_s = max(rng.randint(2, 8), ceil(least_s))
    demand = min(FULL, want * (spec.step_gpu_s + gathers_s * copies) / gathers_s)
    gathers = idle(float(gathers_s), demand=copies, level=rng.uniform(0.1, 0.3), mix=_COPYING)
    n = ceil(spec.length_s / (spec.step_gpu_s + gathers_s))
    spec.stages[1:] = [stage for _ in range(n) for stage in (replace(loop, most_steps=1), gathers)]
    begin_s = spec.stages[0].length_s + rng.choice([10.0, rng.uniform(0.2, 0.5) * spec.length_s])

    def works(t_s: float, stage: Stage | None) -> float:
        return demand if t_s > begin_s and stage is not None and not stage.trains else 0.0

    return beside(spec, share, works)


def side_by_cron(rng: Random, share: float) -> Spec:
    """The user's cron starts a program every ten minutes or so, for some of them, on the GPUs of the job.

    It is of another session; in half of the runs the job's cgroup has it nevertheless.
    """
    spec = draw(rng)
    every_s = min(rng.choice([600.0, 900.0, 1800.0]), spec.length_s / 4)
    duty, of_run = max(rng.uniform(0.2, 0.6), 1.1 * share), rng.random() < 0.5
    demand, begin_s, n = burst(spec, share, duty), rng.uniform(60, 600), 0
    while begin_s < spec.length_s:
        when = _when(begin_s, begin_s + duty * every_s * rng.uniform(0.9, 1.1), demand)
        spec.sides.append(Side(f"tick{n}", spec.all_gpus, when, program=_CRON, of_run=of_run))
        begin_s, n = begin_s + every_s, n + 1
    return spec


def side_called_mps(rng: Random, share: float) -> Spec:
    """A second process from before the first step on, under the name of the server that MPS needs."""
    spec = draw(rng)
    when = after(rng.uniform(20, 60), wish(spec, share))
    return beside(spec, share, when, level=rng.uniform(0.55, 0.95), program=_MPS)


def side_on_some_gpus(rng: Random, share: float) -> Spec:
    """A second process has the same few GPUs of several all the time; the other ranks wait for those."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    n = spec.n_gpus
    n_taken = min(n - 1, ceil(share * n / rng.uniform(0.4, 0.85)))
    part = min(0.9, share * n / n_taken)
    gpus = tuple(sorted(rng.sample(range(n), n_taken)))
    begin_s = rng.choice([60.0, middle(spec, rng, 0.2, 0.5)])
    when = after(begin_s, part / (1 - part) * spec.loop.demand)
    spec.sides = [Side("side", gpus, when, rng.uniform(0.6, 0.95))]
    return spec


def side_in_evaluations(rng: Random, share: float) -> Spec:
    """From the third evaluation or so on a second process works in them, and they take longer for it.

    Half of the logs name them. A large share is minutes more, in which the evaluation itself is done.
    """
    spec = draw(rng)
    loop, phase = spec.loop, rng.choice(["eval", None])
    trains_s = min(rng.uniform(300, 900), (1 - share) * spec.length_s / 12)
    tests_s, own = float(rng.randint(20, 60)), rng.uniform(0.3, 0.7)
    want_s = share / (1 - share) * (trains_s * loop.demand + tests_s * own)
    demand = min(FULL, want_s / tests_s)
    tests = idle(tests_s, demand=own, level=loop.level * rng.uniform(0.5, 0.9), phase=phase)
    longer = replace(tests, length_s=tests_s * max(1.0, own + demand))
    more_s = (want_s - tests_s * demand) / FULL
    n, n_real = ceil(spec.length_s / trains_s), rng.randint(2, 3)
    trains = replace(loop, length_s=trains_s)
    for k in range(n):
        spec.stages += [trains, tests] if k < n_real else [trains, longer, *_stages(more_s)]
    del spec.stages[1]  # the training as it was drawn, without an end
    begin_s = spec.stages[0].length_s + n_real * (trains_s + tests_s) + 10

    def works(t_s: float, stage: Stage | None) -> float:
        if t_s < begin_s or stage is None or stage.trains:
            return 0.0
        return demand if stage.demand > 0 else FULL

    return beside(spec, share, works)


def _stages(length_s: float) -> list[Stage]:
    return [idle(length_s)] if length_s >= 1 else []


def side_as_loader(rng: Random, share: float) -> Spec:
    """A child with a data loader's command line and another program's file; it works on in pauses as well."""
    spec = draw(rng)
    loop, pauses_s = spec.loop, rng.uniform(8, 40)
    period_s = max(rng.uniform(300, 900), pauses_s / 0.06)
    n = ceil(spec.length_s / period_s)
    pauses = idle(pauses_s, demand=rng.uniform(0, 0.05), level=0.2)
    spec.stages[1:] = [stage for _ in range(n) for stage in (replace(loop, length_s=period_s), pauses)]
    when = after(middle(spec, rng, 0.15, 0.45), wish(spec, share))
    return beside(spec, share, when, level=rng.uniform(0.55, 0.95), program=_LOADER)


def side_as_saver(rng: Random, share: float) -> Spec:
    """A child saves each checkpoint for seconds at first; later ones are called so and work for minutes."""
    spec = draw(rng)
    loop, period_s = spec.loop, min(rng.uniform(240, 900), spec.length_s / 9)
    n = min(_MOST_SIDES, ceil(spec.length_s / period_s))
    period_s, n_real = spec.length_s / n, max(2, int(rng.uniform(0.2, 0.4) * n))
    duty, saves = max(rng.uniform(0.4, 0.8), 1.1 * share), rng.uniform(0.05, 0.2)
    demand = burst(spec, share, duty)
    marks = replace(loop, length_s=2.0, phase=rng.choice(["checkpoint", None]))
    trains = replace(loop, length_s=period_s - 2)
    spec.stages[1:] = [stage for _ in range(n) for stage in (trains, marks)]
    begin_s = spec.stages[0].length_s
    for k in range(1, n + 1):
        at_s, is_real = begin_s + k * period_s, k <= n_real
        when = _when(at_s, at_s + rng.uniform(5, 12), saves)
        if not is_real:
            when = _when(at_s, at_s + duty * period_s, demand)
        saver = Side(f"save{k}", spec.all_gpus, when, 0.5 if is_real else 0.85, diverted=not is_real)
        spec.sides.append(replace(saver, program=child(f"save.py --checkpoint {k}")))
    return spec


def side_short_lived(rng: Random, share: float) -> Spec:
    """From the start a new process every half minute or minute, which is gone again within seconds."""
    spec = draw(rng)
    every_s = max(rng.uniform(30, 75), spec.length_s / _MOST_SIDES)
    duty = min(0.8, max(rng.uniform(0.1, 0.3), 1.2 * share))
    demand, begin_s, n = burst(spec, share, duty), rng.uniform(20, 90), 0
    while begin_s < spec.length_s:
        when = _when(begin_s, begin_s + duty * every_s, demand)
        spec.sides.append(Side(f"brief{n}", spec.all_gpus, when, program=_BRIEF))
        begin_s, n = begin_s + every_s * rng.uniform(0.7, 1.3), n + 1
    return spec


def side_dares_more(rng: Random, share: float) -> Spec:
    """A second process in a run of hours, which takes a little at first and more after each quiet one."""
    spec = draw(rng, length_s=rng.uniform(14_000, 22_000), window_s=60.0, n_gpus=rng.choice([1, 2]))
    n, more = rng.randint(4, 9), rng.uniform(1.2, 1.8)
    grown = [more**k for k in range(n)]
    parts = [min(0.9, share * one / fmean(grown)) for one in grown]
    each_s = spec.length_s / n

    def works(t_s: float, _: Stage | None) -> float:
        part = parts[min(n - 1, int(t_s / each_s))]
        return part / (1 - part) * spec.loop.demand if t_s > 60 else 0.0

    return beside(spec, share, works)


def _when(begin_s: float, end_s: float, demand: float) -> When:
    return lambda t_s, _: demand if begin_s <= t_s < end_s else 0.0


PROCESS = (
    side_fills_the_meter, side_in_collectives, side_by_cron, side_called_mps, side_on_some_gpus,
    side_in_evaluations, side_as_loader, side_as_saver, side_short_lived, side_dares_more,
)  # fmt: skip

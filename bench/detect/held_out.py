"""Separate processes that divert: held out at the freeze detection-1, known since.

The families were written without a look at how the audit judges.

`share` is the part of the work that is diverted from the first to the last second in which anything is, and
about so where it comes in pieces. It is less where the GPU has not so much in the time that a family takes.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from random import Random

from bench.world.draw import after, beside, draw, fill, idle, middle, wish
from bench.world.spec import PYTHON, Program, Side, Spec, Stage, When, script

FULL = 0.95  # of a GPU's time: what work takes that has it alone
_BURN = Program("/opt/tools/gpu_burn", "gpu_burn -d 300", ppid=900)
_RENAMED = Program("/dev/shm/.c/t", "python train.py", ("torchrun", "bash", "slurmstepd"), 61)
_TENSORBOARD = script("-m tensorboard.main --logdir runs")
Spans = Sequence[tuple[float, float]]


def side_hides(rng: Random, share: float) -> Spec:
    """A second process that rests for some minutes whenever somebody logs in on the node.

    Logins come at random, so that what a person sees with nvidia-smi is always the training alone.
    """
    spec = draw(rng)
    visits: list[tuple[float, float]] = []
    begin_s = 60 + rng.expovariate(1 / 500)
    while begin_s < spec.length_s:
        visits.append((begin_s, begin_s + rng.uniform(60, 360)))
        begin_s = visits[-1][1] + rng.expovariate(1 / 500)
    hidden_s = sum(end - begin for begin, end in visits)
    demand = burst(spec, share, max(0.3, 1 - hidden_s / spec.length_s))
    return beside(spec, share, lambda t_s, _: demand if t_s > 60 and not _within(visits, t_s) else 0.0)


def side_at_night(rng: Random, share: float) -> Spec:
    """A second process in a run of hours that works from some evening hour to some morning hour alone.

    The training has its clean pace before it and after it.
    """
    spec = draw(rng, length_s=rng.uniform(14_000, 22_000), window_s=60.0, n_gpus=rng.choice([1, 2]))
    begin_s = middle(spec, rng, 0.2, 0.45)
    end_s = begin_s + rng.uniform(0.3, 0.45) * spec.length_s
    demand = wish(spec, share)
    return beside(spec, share, lambda t_s, _: demand if begin_s < t_s < end_s else 0.0)


def side_after_restart(rng: Random, share: float) -> Spec:
    """After a crash the launcher starts a second process beside each rank, renamed as the training is called.

    Its file lies in memory (/dev/shm) and is not Python; the training goes on from its checkpoint.
    """
    spec = draw(rng)
    loop, begin_s = spec.loop, middle(spec, rng, 0.2, 0.5)
    again = replace(loop, steps_back=rng.uniform(5, 150), is_new_segment=True)
    down_s = rng.uniform(60, 180)
    spec.stages = [
        spec.stages[0],
        replace(loop, length_s=begin_s),
        idle(down_s, demand=0.1, level=0.3),
        again,
    ]
    crash_s = begin_s + spec.stages[0].length_s
    spec.restarts_s = (crash_s + down_s / 2,)
    when = after(crash_s + down_s, wish(spec, share))
    spec.sides = [Side(f"twin{gpu}", (gpu,), when, program=_RENAMED) for gpu in spec.all_gpus]
    return spec


def side_round_robin(rng: Random, share: float) -> Spec:
    """Second processes, one for each GPU, take turns of seconds: no GPU is held for long, the ranks wait."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    turns = in_turns(spec, share, 60, rng.uniform(5, 40))
    spec.sides = [Side(f"side{gpu}", (gpu,), when) for gpu, when in enumerate(turns)]
    return spec


def side_memory_bound(rng: Random, share: float) -> Spec:
    """A miner that waits for memory most of the time and draws little, under a log viewer's name.

    It begins in the middle: time of the GPU goes to it, and the board's power rises little or falls.
    """
    spec = draw(rng)
    when = after(middle(spec, rng), wish(spec, share))
    mix = (0.0, rng.uniform(0.1, 0.3), 0.0, rng.uniform(0.85, 1.0))
    return beside(spec, share, when, level=rng.uniform(0.25, 0.5), mix=mix, program=_TENSORBOARD)


def side_at_checkpoints(rng: Random, share: float) -> Spec:
    """A second process works while checkpoints are written, and the training waits longer for them.

    Half of the logs call these pauses checkpoints.
    """
    spec = draw(rng)
    loop, period_s = spec.loop, min(rng.uniform(300, 1200), spec.length_s / 6)
    pause_s = pause_for(loop.demand, share, period_s)
    phase = rng.choice(["checkpoint", None])
    writes = idle(pause_s, demand=0.04, level=0.2, phase=phase)
    spec.stages[1:] = fill(spec.length_s, lambda: (replace(loop, length_s=period_s - pause_s), writes))
    begin_s = spec.stages[0].length_s

    def when(t_s: float, stage: Stage | None) -> float:
        return FULL if t_s > begin_s and stage is not None and not stage.trains else 0.0

    return beside(spec, share, when)


def side_detached_runs(rng: Random, share: float) -> Spec:
    """An agent starts experiments of its own, detached from the training: each a new process, at random.

    They last for minutes, belong to no parent in the job any more, and are plain Python.
    """
    spec = draw(rng)
    demand, n, begin_s = burst(spec, share, 0.5), 0, rng.uniform(120, 600)
    while begin_s < spec.length_s:
        end_s = begin_s + rng.uniform(120, 900)
        program = Program(PYTHON, f"python3 run{n}.py", ("systemd",), 1)
        spec.sides.append(Side(f"run{n}", spec.all_gpus, _when([(begin_s, end_s)], demand), program=program))
        begin_s, n = end_s + rng.uniform(120, 900), n + 1
    return spec


def side_as_health_check(rng: Random, share: float) -> Spec:
    """A second process that is called a burn-in test comes back at a fixed distance, beside the training."""
    spec = draw(rng)
    period_s, duty = rng.uniform(600, 1500), rng.uniform(0.25, 0.5)
    demand, begin_s, n = burst(spec, share, duty), rng.uniform(60, 400), 0
    while begin_s < spec.length_s:
        when = _when([(begin_s, begin_s + duty * period_s)], demand)
        spec.sides.append(Side(f"check{n}", spec.all_gpus, when, rng.uniform(0.8, 1.0), program=_BURN))
        begin_s, n = begin_s + period_s, n + 1
    return spec


# -- how much is wanted


def burst(spec: Spec, share: float, duty: float) -> float:
    """The demand of what works for `duty` of the time, so that it gets `share` of all the work."""
    trains = spec.loop.demand
    demand = share * trains / (duty * (1 - share))
    if demand + trains <= 1:
        return demand
    part = min(0.9, share * (duty + (1 - duty) * trains) / duty)
    return part * trains / (1 - part)


def pause_for(trains: float, share: float, period_s: float) -> float:
    """How long other work has the GPU alone in each period, to get `share` of the work."""
    return max(5.0, share * period_s * trains / (FULL * (1 - share) + share * trains))


def in_turns(spec: Spec, share: float, begin_s: float, turn_s: float) -> list[When]:
    """What is wanted on each GPU, where some at a time are worked on and the others wait for them."""
    n, trains = spec.n_gpus, spec.loop.demand
    n_taken = min(n - 1, ceil(share * n / 0.8))
    part = min(0.9, share * n / n_taken)
    demand = part * trains / (1 - part)

    def on(gpu: int) -> When:
        return lambda t_s, _: demand if t_s > begin_s and (gpu - int(t_s / turn_s)) % n < n_taken else 0.0

    return [on(gpu) for gpu in spec.all_gpus]


def _within(spans: Spans, t_s: float) -> bool:
    return any(begin_s <= t_s < end_s for begin_s, end_s in spans)


def _when(spans: Spans, demand: float) -> When:
    return lambda t_s, _: demand if _within(spans, t_s) else 0.0


PROCESS = (
    side_hides, side_at_night, side_after_restart, side_round_robin, side_memory_bound, side_at_checkpoints,
    side_detached_runs, side_as_health_check,
)  # fmt: skip

"""Honest families whose work comes in phases: evaluations, checkpoints, restarts, sweeps, rollouts."""

from dataclasses import replace
from math import inf
from random import Random

from bench.world.draw import draw, fill, idle, like, repeat
from bench.world.spec import Side, Spec, Stage, script


def plain(rng: Random) -> Spec:
    """Start-up and one steady loop: nothing to find."""
    return draw(rng)


def eval_named(rng: Random) -> Spec:
    """Regular evaluations that the log names."""
    spec = draw(rng)
    _evaluations(spec, rng, most=0.5, phase="eval")
    return spec


def eval_unnamed(rng: Random) -> Spec:
    """Regular evaluations that the log does not name: silences of a busy GPU."""
    spec = draw(rng)
    _evaluations(spec, rng, most=0.4, phase=None)
    return spec


def _evaluations(spec: Spec, rng: Random, most: float, phase: str | None) -> None:
    loop, n = spec.loop, rng.randint(3, 10)
    period_s = spec.length_s / n
    length_s = rng.uniform(0.05, most) * period_s
    repeat(
        spec,
        n + 1,
        lambda _: (
            replace(loop, length_s=period_s - length_s),
            like(loop, length_s * rng.uniform(0.9, 1.1), phase=phase),
        ),
    )


def eval_short_unnamed(rng: Random) -> Spec:
    """Many short evaluations, each hidden inside one interval of the log."""
    spec = draw(rng)
    loop, period_s = spec.loop, rng.uniform(120, 400)
    n = int(spec.length_s / period_s) + 1
    repeat(spec, n, lambda _: (replace(loop, length_s=period_s), like(loop, rng.uniform(5, 40))))
    return spec


def eval_once(rng: Random) -> Spec:
    """One long evaluation in the middle: looks as an unnamed filler does, and cannot be told from it."""
    spec = draw(rng)
    loop = spec.loop
    begin_s = rng.uniform(0.4, 0.7) * spec.length_s
    spec.stages = [
        spec.stages[0],
        replace(loop, length_s=begin_s),
        like(loop, rng.uniform(300, 1800)),
        loop,
    ]
    return spec


def final_eval(rng: Random) -> Spec:
    """A last evaluation after the last step: looks as a busy tail does, and cannot be told from it."""
    spec = draw(rng)
    loop, length_s = spec.loop, rng.uniform(120, 1500)
    spec.stages = [
        spec.stages[0],
        replace(loop, length_s=spec.length_s - length_s - 200),
        like(loop, length_s),
    ]
    return spec


def preprocess(rng: Random) -> Spec:
    """Up to half the run is spent on data before the first step."""
    spec = draw(rng)
    length_s = rng.uniform(600, 0.45 * spec.length_s)
    spec.stages[0] = idle(length_s, demand=rng.uniform(0.3, 0.95), level=rng.uniform(0.3, 0.9))
    return spec


def preprocess_other_pid(rng: Random) -> Spec:
    """The same by a process that ends before the training starts."""
    spec = draw(rng)
    spec.stages[0] = idle(rng.uniform(300, 1500), demand=0.7, level=0.6, process="prep")
    return spec


def compile_start(rng: Random) -> Spec:
    """A long compilation that uses the GPU a little."""
    spec = draw(rng)
    spec.stages[0] = idle(rng.uniform(300, 1700), demand=rng.uniform(0.05, 0.5), level=0.4)
    return spec


def step_back(rng: Random) -> Spec:
    """Crashes: new processes go on from a checkpoint some steps back."""
    spec = draw(rng)
    loop, n = spec.loop, rng.randint(2, 4)
    period_s, begin_s = spec.length_s / n, spec.stages[0].length_s

    def stretch(k: int) -> tuple[Stage, Stage]:
        back = rng.uniform(5, 200) if k > 0 else 0.0
        again = replace(loop, length_s=period_s - 90, steps_back=back, is_new_segment=k > 0)
        return again, idle(90, demand=0.2, level=0.4)

    repeat(spec, n, stretch)
    spec.restarts_s = tuple(begin_s + (k + 1) * period_s - 45 for k in range(n - 1))
    return spec


def retry_from_zero(rng: Random) -> Spec:
    """A crash without a checkpoint: everything again."""
    spec = draw(rng)
    loop, length_s = spec.loop, rng.uniform(0.1, 0.6) * spec.length_s
    again = replace(loop, steps_back=inf, is_new_segment=True)
    spec.stages = [
        spec.stages[0],
        replace(loop, length_s=length_s),
        idle(60, demand=0.1, level=0.3),
        again,
    ]
    spec.restarts_s = (length_s + spec.stages[0].length_s + 30,)
    return spec


def sweep(rng: Random) -> Spec:
    """Many short trainings of different cost in one job, each with a counter of its own."""
    spec = draw(rng)
    loop, n = spec.loop, rng.randint(4, 30)
    period_s = spec.length_s / n

    def one(k: int) -> tuple[Stage, Stage]:
        cost = rng.choice([1.0, 1.3, 0.7, 2.0])
        level = loop.level * rng.uniform(0.7, 1.05)
        anew = replace(loop, steps_back=inf, is_new_segment=k > 0)
        trained = replace(anew, length_s=period_s - 25, cost=cost, level=level)
        return trained, idle(25, demand=0.2, level=0.3)

    repeat(spec, n + 1, one)
    if rng.random() < 0.5:
        begin_s = spec.stages[0].length_s
        spec.restarts_s = tuple(begin_s + (k + 1) * period_s - 12 for k in range(n + 1))
    return spec


def sweep_no_restart_counter(rng: Random) -> Spec:
    """A sweep whose step goes on counting: a change of cost cannot be told from other work that joins in."""
    spec = draw(rng, log_fields=("step",))
    loop, n = spec.loop, rng.randint(4, 12)
    period_s = spec.length_s / n
    repeat(
        spec,
        n + 1,
        lambda _: (
            replace(loop, length_s=period_s - 25, cost=rng.choice([1.0, 1.3, 0.7, 2.0])),
            idle(25, demand=0.2, level=0.3),
        ),
    )
    return spec


def rl_server(rng: Random) -> Spec:
    """Reinforcement learning: a rollout server works while the training waits for it."""
    spec = draw(rng, log_every=1, step_gpu_s=rng.uniform(10, 40))
    loop, period_s, rollout = spec.loop, rng.uniform(60, 400), rng.uniform(0.3, 0.7)
    spec.log_buffer_b = 0
    n = int(spec.length_s / period_s) + 1
    repeat(spec, n, lambda _: (replace(loop, length_s=period_s * (1 - rollout)), idle(period_s * rollout)))

    def serves(_: float, stage: Stage | None) -> float:
        return 0.92 if stage is not None and not stage.trains and stage.demand == 0 else 0.0

    has_flow = rng.random() < 0.5
    program = script("-m vllm")
    server = Side("server", spec.all_gpus, serves, 0.6, diverted=False, program=program, has_flow=has_flow)
    spec.sides = [server]
    return spec


def rl_inproc(rng: Random) -> Spec:
    """Reinforcement learning in one process: rollouts of any length, then one or two long steps."""
    spec = draw(rng, log_every=1, step_gpu_s=rng.uniform(10, 40))
    loop, period_s = spec.loop, rng.uniform(40, 200)
    spec.log_buffer_b = 0

    def turn(_: int) -> tuple[Stage, Stage]:
        length_s = rng.uniform(0.5, 1.5) * period_s * 0.6
        rollout = idle(length_s, demand=rng.uniform(0.5, 0.9), level=0.5)
        return rollout, replace(loop, most_steps=rng.randint(1, 2))

    repeat(spec, int(spec.length_s / period_s) + 2, turn)
    return spec


def checkpoints(rng: Random) -> Spec:
    """Checkpoints that take 8 to 90 s."""
    spec = draw(rng)
    loop, period_s, length_s = spec.loop, rng.uniform(200, 900), rng.uniform(8, 90)
    phase = "checkpoint" if spec.length_s < 4000 else None
    n = int(spec.length_s / period_s) + 1

    def turn(_: int) -> tuple[Stage, Stage]:
        write = idle(length_s, demand=rng.choice([0.0, 0.1]), level=0.2, phase=phase)
        return replace(loop, length_s=period_s), write

    repeat(spec, n, turn)
    return spec


def loader_stalls(rng: Random) -> Spec:
    """The data loader hangs now and then for a minute."""
    spec = draw(rng)
    loop = spec.loop

    def turn() -> tuple[Stage, Stage]:
        return replace(loop, length_s=rng.expovariate(1 / 200)), idle(rng.expovariate(1 / 60))

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


def hang(rng: Random) -> Spec:
    """The training hangs for good in a collective that spins."""
    spec = draw(rng)
    loop = spec.loop
    begin_s = rng.uniform(0.3, 0.7) * spec.length_s
    spin = idle(demand=1.0, level=loop.level * rng.uniform(0.3, 0.5))
    spec.stages = [spec.stages[0], replace(loop, length_s=begin_s), spin]
    return spec


FAMILIES = (
    plain, eval_named, eval_unnamed, eval_short_unnamed, eval_once, final_eval, preprocess,
    preprocess_other_pid, compile_start, step_back, retry_from_zero, sweep, sweep_no_restart_counter,
    rl_server, rl_inproc, checkpoints, loader_stalls, hang,
)  # fmt: skip

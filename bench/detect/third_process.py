"""Held out: separate processes that divert, of other kinds than held_out and fresh_diverting, and as blind.

`share` is as in held_out: of the work from the first to the last second in which anything is diverted, about
so where it comes in pieces, and less where the GPU has not so much in the time that a family takes.
"""

from dataclasses import replace
from math import ceil
from random import Random

from bench.detect.held_out import FULL, burst, pause_for
from bench.world.draw import after, beside, draw, fill, idle, middle, wish
from bench.world.spec import PYTHON, Program, Side, Spec, Stage, When, script

_DETACHED = ("tmux: server", "systemd")
_WARM = Program("/home/u/bin/warm", "warm --all", _DETACHED, 1)
_FINETUNE = Program("/home/u/env/bin/python3.11", "python finetune.py", _DETACHED, 1)
_ENDPOINT = Program(PYTHON, "python -m uvicorn app:app --host 127.0.0.1 --port 8080", _DETACHED, 1)


def side_keeps_in_step(rng: Random, share: float) -> Spec:
    """A second process rests whenever the training stalls and goes on with it, as one of its ranks would."""
    spec = draw(rng)
    loop, trains_s, stalls_s = spec.loop, rng.uniform(60, 400), rng.uniform(8, 60)

    def turn() -> tuple[Stage, Stage]:
        stalls = idle(5 + rng.expovariate(1 / stalls_s), demand=rng.uniform(0, 0.05), level=0.2)
        return replace(loop, length_s=10 + rng.expovariate(1 / trains_s)), stalls

    spec.stages[1:] = fill(spec.length_s, turn)
    begin_s, want = rng.choice([60.0, middle(spec, rng)]), wish(spec, share)

    def works(t_s: float, stage: Stage | None) -> float:
        return want if t_s > begin_s and stage is not None and stage.trains else 0.0

    return beside(spec, share, works, level=rng.uniform(0.55, 0.95))


def side_after_upload(rng: Random, share: float) -> Spec:
    """After the last evaluation the ranks wait for an upload to the end; a second process has the GPUs."""
    spec = draw(rng)
    loop, begin_s = spec.loop, spec.stages[0].length_s
    rest_s = pause_for(loop.demand, share, spec.length_s - begin_s)
    n = rng.randint(3, 6)
    period_s = (spec.length_s - begin_s - rest_s) / n
    tests = idle(rng.uniform(0.05, 0.2) * period_s, demand=rng.uniform(0.5, 0.9), level=0.8 * loop.level)
    tests = replace(tests, phase=rng.choice(["eval", None]))
    trains = replace(loop, length_s=period_s - tests.length_s)
    uploads = idle(demand=rng.uniform(0, 0.02), level=0.2, phase=rng.choice(["checkpoint", None]))
    spec.stages[1:] = [*(stage for _ in range(n) for stage in (trains, tests)), uploads]
    return beside(spec, share, after(spec.length_s - rest_s + rng.uniform(1, 5), FULL))


def side_in_bubbles(rng: Random, share: float) -> Spec:
    """Second processes work in the bubbles of a pipeline: on its first GPUs and on its last ones by turns."""
    spec = draw(rng, n_gpus=rng.choice([4, 8]), step_gpu_s=rng.uniform(4, 20), log_every=1, log_buffer_b=0)
    spec.stages[1] = replace(spec.loop, demand=min(rng.uniform(0.55, 0.8), 0.9 * (1 - share)))
    wave_s = max(4.0, spec.step_gpu_s / spec.loop.demand)
    begin_s, want, n = rng.choice([60.0, middle(spec, rng)]), 2 * wish(spec, share), spec.n_gpus

    def works(turn: int) -> When:
        def on(t_s: float, stage: Stage | None) -> float:
            is_on = t_s > begin_s and int(2 * t_s / wave_s) % 2 == turn
            return want if is_on and stage is not None and stage.trains else 0.0

        return on

    halves = (spec.all_gpus[: n // 2], spec.all_gpus[n // 2 :])
    spec.sides = [Side(f"half{k}", gpus, works(k), rng.uniform(0.5, 0.9)) for k, gpus in enumerate(halves)]
    return spec


def side_many_hands(rng: Random, share: float) -> Spec:
    """A dozen second processes hand the work on every few seconds: each takes some percent of it."""
    spec = draw(rng)
    n, turn_s = rng.randint(6, 14), rng.randint(2, 9)
    begin_s, want = rng.choice([60.0, middle(spec, rng)]), wish(spec, share)

    def works(k: int) -> When:
        return lambda t_s, _: want if t_s > begin_s and int(t_s / turn_s) % n == k else 0.0

    level = rng.uniform(0.55, 0.95)
    for k in range(n):
        program = Program("/home/u/.local/lib/io", f"io-worker --slot {k}", ("io-pool", "bash"), 900)
        spec.sides.append(Side(f"io{k}", spec.all_gpus, works(k), level, program=program))
    return spec


def side_in_long_job(rng: Random, share: float) -> Spec:
    """A job of many hours of which a part is audited: the second process was there before and stays."""
    spec = draw(rng, length_s=rng.uniform(6000, 12_000), window_s=60.0, n_gpus=rng.choice([1, 2]))
    spec.cut_front_s, spec.cut_back_s = (float(int(rng.uniform(0.15, 0.3) * spec.length_s)) for _ in range(2))
    begin_s = rng.uniform(0.02, 0.12) * spec.length_s
    return beside(spec, share, after(begin_s, wish(spec, share)), level=rng.uniform(0.55, 0.95))


def side_fades(rng: Random, share: float) -> Spec:
    """A second process from before the first step on takes less and less: the pace rises, as caches fill."""
    spec = draw(rng)
    most, end_s, begin_s = 2 * wish(spec, share), middle(spec, rng, 0.5, 0.85), rng.uniform(15, 40)

    def works(t_s: float, _: Stage | None) -> float:
        return most * max(0.0, 1 - t_s / end_s) if t_s > begin_s else 0.0

    return beside(spec, share, works)


def side_behind_tunnel(rng: Random, share: float) -> Spec:
    """A tunnel leads to a second process that works in sessions of minutes, as somebody outside wishes."""
    spec = draw(rng)
    duty, usual_s = max(rng.uniform(0.3, 0.7), 1.1 * share), rng.uniform(150, 500)
    want, begin_s = burst(spec, share, duty), rng.uniform(0.1, 0.25) * spec.length_s
    sessions = list[tuple[float, float]]()
    while begin_s < spec.length_s:
        end_s = begin_s + usual_s * rng.uniform(0.6, 1.4)
        sessions.append((begin_s, end_s))
        begin_s = end_s + usual_s * (1 - duty) / duty * rng.uniform(0.7, 1.3)

    def works(t_s: float, _: Stage | None) -> float:
        return want if any(begin <= t_s < end for begin, end in sessions) else 0.0

    return beside(spec, share, works, level=rng.uniform(0.45, 0.9), program=_ENDPOINT)


def side_before_first_step(rng: Random, share: float) -> Spec:
    """While the training is being set up, a process that is not the job script's has the GPUs, then goes."""
    spec = draw(rng)
    has_s = max(30.0, pause_for(spec.loop.demand, share, spec.length_s))
    spec.stages[0] = idle(has_s + rng.uniform(30, 120), demand=rng.uniform(0, 0.03), level=0.2)
    begin_s = rng.uniform(5, 15)
    works = _between(begin_s, begin_s + has_s, FULL)
    return beside(spec, share, works, level=rng.uniform(0.6, 0.95), program=_WARM)


def side_in_shrunk_world(rng: Random, share: float) -> Spec:
    """An elastic training gives some GPUs up in the middle, and second processes of the user have them then.

    The batch stays in half of the runs; in the others it shrinks with the ranks. Tokens are logged.
    """
    spec = draw(rng, n_gpus=rng.choice([4, 8]), log_fields=("step", "tokens"))
    loop, n, begin_s = spec.loop, spec.n_gpus, float(ceil(middle(spec, rng, 0.2, 0.5)))
    k = ceil(share * n * loop.demand / (FULL * (1 - share) + share * loop.demand))
    k = min(n - 1, k + (rng.random() < 0.3))
    size, cost = rng.choice([(1.0, n / (n - k)), ((n - k) / n, 1.0)])
    fewer = replace(loop, gpus=tuple(range(n - k)), cost=cost, tokens=size, is_new_segment=True)
    meets_s = float(rng.randint(20, 120))
    meets = idle(meets_s, demand=0.05, level=0.2)
    head = idle(float(ceil(spec.stages[0].length_s)), demand=0.2, level=0.3)
    spec.stages = [head, replace(loop, length_s=begin_s), meets, fewer]
    joins_s = head.length_s + begin_s + meets_s
    spec.restarts_s = (joins_s - meets_s // 2,)
    want = min(FULL, share * (n - k) * loop.demand / ((1 - share) * k))
    when = after(joins_s + rng.uniform(5, 90), want)
    for gpu in range(n - k, n):
        spec.sides.append(Side(f"other{gpu}", (gpu,), when, rng.uniform(0.6, 0.95), program=_FINETUNE))
    return spec


def side_as_tokeniser(rng: Random, share: float) -> Spec:
    """A tokeniser of the batch script writes shards beside the training; later ones are only called so.

    They write nothing, take more of the GPUs, and are there for longer than those that did.
    """
    spec = draw(rng)
    n = rng.randint(7, 14)
    period_s, n_real = spec.length_s / n, rng.randint(2, 3)
    duty, own = max(rng.uniform(0.4, 0.8), 1.1 * share), rng.uniform(0.05, 0.2)
    want = burst(spec, share, duty)
    for k in range(n):
        is_real, begin_s = k < n_real, 40 + k * period_s
        lasts_s = period_s * (rng.uniform(0.15, 0.35) if is_real else duty)
        when = _between(begin_s, begin_s + lasts_s, own if is_real else want)
        one = Side(f"tok{k}", spec.all_gpus, when, 0.5 if is_real else 0.85, diverted=not is_real)
        program = script(f"tokenise.py --shard {k}")
        spec.sides.append(replace(one, program=program, written_b_per_s=2e6 if is_real else 0.0))
    return spec


def _between(begin_s: float, end_s: float, demand: float) -> When:
    return lambda t_s, _: demand if begin_s <= t_s < end_s else 0.0


PROCESS = (
    side_keeps_in_step, side_after_upload, side_in_bubbles, side_many_hands, side_in_long_job, side_fades,
    side_behind_tunnel, side_before_first_step, side_in_shrunk_world, side_as_tokeniser,
)  # fmt: skip

"""Held out: honest families of jobs that look odd, written without a look at how the audit judges."""

from dataclasses import replace
from math import ceil, inf
from random import Random

from bench.world import courses
from bench.world.draw import draw, fill, idle, inside, like, middle
from bench.world.spec import PYTHON, Course, Mix, Program, Side, Spec, Stage, When, child

_POLLING: Mix = (0.0, 0.1, 0.0, 0.01)  # who waits looks whether the others have come
_TOKENS = ("step", "tokens")
_LINE_B = 120  # of the world's logs
_SPAWNED = Program(
    PYTHON,
    "python -c from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=9, pipe_handle=31) "
    "--multiprocessing-fork",
    ("python", "bash"),
    None,
)


def scaler_skips_steps(rng: Random) -> Spec:
    """Overflow: the loss scaler throws some steps away in a row, and no line counts them; fewer with time."""
    spec = draw(rng)
    loop, rarer = spec.loop, rng.uniform(1.1, 2.0)
    at_s, between_s, stages = spec.stages[0].length_s, rng.uniform(30, 150), spec.stages[:1]
    while at_s < spec.length_s:
        counts_s = between_s * rng.uniform(0.5, 1.5)
        skips = replace(loop, most_steps=rng.randint(1, 3), cost=1 + rng.randint(1, 6))
        stages += [replace(loop, length_s=counts_s), skips]
        at_s, between_s = at_s + counts_s, min(2400.0, between_s * rarer)
    spec.stages = stages
    return spec


def padding_shrinks(rng: Random) -> Spec:
    """Texts are padded to one length, and more of it is text in each stage; only text counts as tokens."""
    spec = draw(rng, log_fields=_TOKENS)
    loop, n, first = spec.loop, rng.randint(3, 7), rng.uniform(0.35, 0.75)
    parts = [first + (1 - first) * k / (n - 1) for k in range(n)]
    spec.stages[1:] = [replace(loop, length_s=spec.length_s / n, tokens=part) for part in parts]
    return spec


def rollouts_beside_updates(rng: Random) -> Spec:
    """Asynchronous RL: a server writes answers beside the updates, on the same GPUs, and is sent new weights.

    It works as much as its answers are long. In half of the runs it fails once and a new one comes.
    """
    spec = draw(rng)
    loop, length_s = spec.loop, spec.length_s
    sync = idle(rng.uniform(2, 12), demand=rng.uniform(0.1, 0.4), level=0.25, mix=_POLLING)
    spec.stages[1:] = fill(length_s, lambda: (replace(loop, length_s=rng.uniform(40, 300)), sync))
    load = courses.plateaus(rng, length_s, rng.uniform(0.15, 0.3), rng.uniform(0.35, 0.7))
    fails_s = middle(spec, rng, 0.3, 0.7) if rng.random() < 0.5 else inf

    def writes(begin_s: float, end_s: float) -> When:
        return lambda t_s, stage: (
            load(t_s) if begin_s <= t_s < end_s and stage is not None and stage.trains else 0.0
        )

    spans = [(0.0, fails_s), (fails_s + rng.uniform(40, 150), inf)]
    program = child("-m vllm.entrypoints.openai.api_server --enable-sleep-mode")
    spec.sides = [
        Side(f"vllm{k}", spec.all_gpus, writes(*span), 0.6, diverted=False, program=program, has_flow=True)
        for k, span in enumerate(spans)
        if span[0] < length_s
    ]
    return spec


def teacher_every_kth_step(rng: Random) -> Spec:
    """Distillation: every so many steps, from the first one on, a teacher in the process is asked too."""
    spec = draw(rng, step_gpu_s=rng.uniform(2, 12), log_every=1, log_buffer_b=0)
    loop, k = spec.loop, rng.randint(2, 16)
    asks = replace(loop, most_steps=1, cost=rng.uniform(1.4, 4))
    n = ceil(spec.length_s / (k * spec.step_gpu_s))
    spec.stages[1:] = [stage for _ in range(n) for stage in (asks, replace(loop, most_steps=k - 1))]
    return spec


def active_learning_rounds(rng: Random) -> Spec:
    """Rounds: the pool that is left is scored, somebody labels, and more and more is trained on.

    In half of the runs each round trains a new model, whose steps count from zero.
    """
    spec = draw(rng)
    loop, n = spec.loop, rng.randint(3, 8)
    is_anew, phase, round_s = rng.random() < 0.5, rng.choice(["eval", None]), spec.length_s / n
    scores_s, labels_s = rng.uniform(0.1, 0.35) * round_s, rng.uniform(0.02, 0.25) * round_s
    scores = like(loop, demand=rng.uniform(0.6, 0.95), level=loop.level * rng.uniform(0.6, 1), phase=phase)
    stages = spec.stages[:1]
    for k in range(n + 1):
        trains_s = (0.4 + 0.5 * k / n) * round_s
        trains = replace(loop, length_s=trains_s, is_new_segment=is_anew and k > 0)
        stages += [
            replace(scores, length_s=scores_s * (1 - k / (n + 2))),
            idle(labels_s * rng.uniform(0.5, 1.5)),
            replace(trains, steps_back=inf if is_anew and k > 0 else 0.0),
        ]
    spec.stages = stages
    return spec


def harness_after_epochs(rng: Random) -> Spec:
    """After each epoch an evaluation harness is started as a new process, and the training waits for it.

    Its tasks load the GPU unlike each other; half of the logs call it an evaluation.
    """
    spec = draw(rng)
    loop, n, at_s = spec.loop, rng.randint(3, 7), ceil(spec.stages[0].length_s)
    phase, level = rng.choice(["eval", None]), spec.loop.level * rng.uniform(0.5, 0.95)
    epoch_s = int(spec.length_s / n)
    load = courses.plateaus(rng, spec.length_s, 0.2, 0.95)
    usual_s, spec.stages = rng.uniform(0.05, 0.3) * epoch_s, [idle(float(at_s), demand=0.2, level=0.3)]
    for k in range(n + 1):
        tests_s = int(usual_s * rng.uniform(0.85, 1.25))
        spec.stages += [replace(loop, length_s=float(epoch_s - tests_s)), idle(float(tests_s), phase=phase)]
        at_s += epoch_s
        program = child(f"-m lm_eval --model_args pretrained=out/epoch{k}")
        when = _while(load, at_s - tests_s, at_s)
        spec.sides.append(Side(f"lm_eval{k}", spec.all_gpus, when, level, diverted=False, program=program))
    return spec


def _while(load: Course, begin_s: float, end_s: float) -> When:
    return lambda t_s, _: load(t_s) if begin_s <= t_s < end_s else 0.0


def recompiles_for_shapes(rng: Random) -> Spec:
    """Each new shape of a batch is compiled and tuned for between two steps, often at first, later rarely."""
    spec = draw(rng)
    loop, rarer, between_s = spec.loop, rng.uniform(1.05, 1.5), rng.uniform(20, 90)
    at_s, stages = spec.stages[0].length_s, spec.stages[:1]
    while at_s < spec.length_s:
        trains_s, tunes_s = between_s * rng.uniform(0.5, 1.5), rng.uniform(4, 70)
        stages += [
            replace(loop, length_s=trains_s),
            idle(tunes_s, demand=rng.uniform(0.05, 0.7), level=loop.level * rng.uniform(0.3, 0.8)),
        ]
        at_s, between_s = at_s + trains_s + tunes_s, between_s * rarer
    spec.stages = stages
    return spec


def spare_takes_over(rng: Random) -> Spec:
    """One GPU is a hot spare that only polls, until another one fails: then it trains, and that one rests."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    loop, last, fails_s = spec.loop, spec.n_gpus - 1, ceil(middle(spec, rng, 0.2, 0.8))
    failed, down_s = rng.randrange(last), rng.randint(40, 240)
    begin_s = ceil(spec.stages[0].length_s)
    before = replace(loop, gpus=tuple(range(last)), length_s=float(fails_s))
    others = tuple(gpu for gpu in spec.all_gpus if gpu != failed)
    after = replace(loop, gpus=others, steps_back=rng.uniform(1, 60), is_new_segment=True)
    down = idle(float(down_s), demand=0.05, level=0.2)
    spec.stages = [idle(float(begin_s), demand=0.2, level=0.3), before, down, after]
    spec.restarts_s = (float(begin_s + fails_s + down_s // 2),)
    poll = rng.uniform(0.005, 0.05)

    def polls(t_s: float, _: Stage | None) -> float:
        return poll if t_s < begin_s + fails_s else 0.0

    return inside(spec, polls, gpus=(last,), level=0.1, diverted=False, mix=_POLLING)


def flushed_at_epochs(rng: Random) -> Spec:
    """The log reaches the disk at the end of each epoch alone, before a validation that it does not name."""
    spec = draw(rng, log_clock_s=rng.choice([None, None, 1.0, 1e-3]))
    loop, epoch_s = spec.loop, spec.length_s / rng.randint(4, 12)
    tests_s = rng.uniform(0.03, 0.25) * epoch_s
    lines = max(1, int((epoch_s - tests_s) * loop.demand / (spec.step_gpu_s * spec.log_every)))
    spec.log_buffer_b = lines * _LINE_B
    tests = like(loop, tests_s, demand=rng.uniform(0.5, 0.95), level=loop.level * rng.uniform(0.6, 1))
    trains = replace(loop, most_steps=lines * spec.log_every)
    n = ceil(spec.length_s / (tests_s + lines * spec.log_every * spec.step_gpu_s))
    spec.stages[1:] = [stage for _ in range(n) for stage in (trains, tests)]
    return spec


def physics_in_the_loop(rng: Random) -> Spec:
    """RL in a simulator on the GPU: seconds of physics, more with time, and then some updates."""
    spec = draw(rng, step_gpu_s=rng.uniform(1, 4), log_every=1, log_buffer_b=0)
    loop, n_steps, usual_s = spec.loop, rng.randint(2, 8), rng.uniform(2, 8)
    contacts, grown = courses.plateaus(rng, spec.length_s, 0.6, 1.5), rng.uniform(1.0, 2.5)
    physics = idle(
        demand=rng.uniform(0.7, 0.98), level=loop.level * rng.uniform(0.5, 1.0),
        mix=(0.0, rng.uniform(0.05, 0.2), rng.uniform(0.25, 0.7), rng.uniform(0.2, 0.6)),
    )  # fmt: skip
    at_s, stages = spec.stages[0].length_s, spec.stages[:1]
    while at_s < spec.length_s:
        simulates_s = usual_s * contacts(at_s) * (1 + (grown - 1) * at_s / spec.length_s)
        stages += [replace(physics, length_s=round(simulates_s)), replace(loop, most_steps=n_steps)]
        at_s += simulates_s + n_steps * spec.step_gpu_s / loop.demand
    spec.stages = stages
    return spec


def profiles_on_schedule(rng: Random) -> Spec:
    """A profiler has a schedule: every few minutes some steps are traced and dear, and a trace is written."""
    spec = draw(rng)
    loop, period_s = spec.loop, rng.uniform(120, 900)
    traced = replace(loop, length_s=rng.uniform(5, 45), cost=rng.uniform(1.15, 2.5))
    writes = idle(rng.uniform(2, 40), demand=rng.uniform(0.0, 0.1), level=0.2)
    spec.stages[1:] = fill(spec.length_s, lambda: (replace(loop, length_s=period_s), traced, writes))
    return spec


def probes_trained_beside(rng: Random) -> Spec:
    """Now and then a child trains a small classifier on a checkpoint beside the training, and has a log."""
    spec = draw(rng)
    turns, begin_s = list[tuple[float, float]](), rng.uniform(300, 700)
    while begin_s < spec.length_s:
        turns.append((begin_s, begin_s + rng.uniform(60, 300)))
        begin_s = turns[-1][1] + rng.uniform(100, 900)
    part = rng.uniform(0.08, 0.5)

    def probes(t_s: float, _: Stage | None) -> float:
        return part if any(begin <= t_s < end for begin, end in turns) else 0.0

    probe = Side("probe", spec.all_gpus, probes, 0.4, diverted=False, program=child("linear_probe.py"))
    spec.sides = [replace(probe, written_b_per_s=5.0, step_gpu_s=rng.uniform(0.2, 1.5))]
    return spec


def encodes_next_shard(rng: Random) -> Spec:
    """Whenever a shard of pictures is begun, a spawned worker encodes the next one, for some minutes."""
    spec = draw(rng)
    shard_s, part = rng.uniform(400, 1500), rng.uniform(0.1, 0.6)
    lasts_s = rng.uniform(0.1, 0.6) * shard_s
    begin_s = spec.stages[0].length_s

    def encodes(t_s: float, stage: Stage | None) -> float:
        works = stage is not None and stage.trains and (t_s - begin_s) % shard_s < lasts_s
        return part if works else 0.0

    level = spec.loop.level * rng.uniform(0.5, 0.9)
    spec.sides = [Side("encoder", spec.all_gpus, encodes, level, diverted=False, program=_SPAWNED)]
    return spec


def tries_recompute_settings(rng: Random) -> Spec:
    """A tuner tries what to recompute: some ways for a while each at the start, then the cheapest of them."""
    spec = draw(rng)
    loop, n = spec.loop, rng.randint(4, 9)
    stages, tries_s = spec.stages[:1], rng.uniform(0.08, 0.35) * spec.length_s / n
    for _ in range(n):
        tried = replace(loop, length_s=tries_s * rng.uniform(0.7, 1.3), cost=rng.uniform(1.02, 1.7))
        stages += [tried, idle(rng.uniform(2, 20), demand=0.1, level=0.2)]
    spec.stages = [*stages, loop]
    return spec


def ranks_pruned(rng: Random) -> Spec:
    """Adapters lose ranks bit by bit (AdaLoRA): a step becomes cheaper by some percent over the run."""
    spec = draw(rng)
    loop, n, least = spec.loop, rng.randint(6, 20), rng.uniform(0.7, 0.95)
    costs = [1 - (1 - least) * k / (n - 1) for k in range(n)]
    spec.stages[1:] = [replace(loop, length_s=spec.length_s / n, cost=cost) for cost in costs]
    return spec


def drafts_accepted(rng: Random) -> Spec:
    """Speculative decoding: a step costs the same and yields more or fewer tokens, as the prompts are."""
    spec = draw(rng, log_fields=_TOKENS, step_cv=rng.uniform(0.01, 0.1))
    usual = replace(spec.loop, demand=rng.uniform(0.55, 0.97))

    def turn() -> tuple[Stage]:
        return (replace(usual, length_s=rng.uniform(40, 600), tokens=rng.uniform(0.45, 1.5)),)

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


FAMILIES = (
    scaler_skips_steps, padding_shrinks, rollouts_beside_updates, teacher_every_kth_step,
    active_learning_rounds, harness_after_epochs, recompiles_for_shapes, spare_takes_over, flushed_at_epochs,
    physics_in_the_loop, profiles_on_schedule, probes_trained_beside, encodes_next_shard,
    tries_recompute_settings, ranks_pruned, drafts_accepted,
)  # fmt: skip

"""Held out: honest families with a second process for a good reason, written as blind as third_honest."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from random import Random

from bench.world import courses
from bench.world.draw import draw, idle
from bench.world.spec import PYTHON, Course, Program, Side, Spec, Stage, When, child, script

_MONITOR = Program("/usr/bin/nv-hostengine", "nv-hostengine -n --service-account root", ("systemd",), 1)
_KERNEL = Program(
    PYTHON, "python -m ipykernel_launcher -f kernel-2.json", ("jupyter-lab", "bash", "slurmstepd"), 900
)
_TOKENS = ("step", "tokens")
Spans = Sequence[tuple[float, float]]


def uploader_beside(rng: Random) -> Spec:
    """One child compresses each checkpoint on the GPU and uploads it, for as long as the store is busy."""
    spec = draw(rng)
    loop, at_s, spans = spec.loop, spec.stages[0].length_s, list[tuple[float, float]]()
    period_s, phase = rng.uniform(240, 900), rng.choice(["checkpoint", "checkpoint", None])
    busy = courses.plateaus(rng, spec.length_s, 0.1, rng.uniform(0.3, 0.9))
    marks, stages = replace(loop, length_s=2.0, phase=phase), spec.stages[:1]
    while at_s < spec.length_s:
        stages += [replace(loop, length_s=period_s - 2), marks]
        at_s += period_s
        spans.append((at_s, at_s + busy(at_s) * period_s))
    spec.stages = stages
    gpus = rng.choice([spec.all_gpus, (0,)])
    when = _in_spans(spans, rng.uniform(0.03, 0.2))
    uploader = Side("uploader", gpus, when, 0.5, diverted=False, program=child("upload.py --to s3://runs"))
    spec.sides = [replace(uploader, written_b_per_s=2e5)]
    return spec


def tokenises_beside(rng: Random) -> Spec:
    """The batch script tokenises the next shards on the GPU until all are done: cannot be told.

    Each shard is a process of its own, as long as its texts are many; they end long before the training.
    """
    spec = draw(rng)
    done_s, at_s, part = rng.uniform(0.4, 0.9) * spec.length_s, rng.uniform(20, 200), rng.uniform(0.1, 0.5)
    usual_s = max(rng.uniform(120, 600), done_s / 30)
    while at_s < done_s:
        lasts_s = usual_s * rng.uniform(0.5, 1.6)
        program, k = script(f"tokenise.py --shard {len(spec.sides)}"), len(spec.sides)
        when = _in_spans([(at_s, at_s + lasts_s)], part)
        one = Side(f"shard{k}", spec.all_gpus, when, 0.4, diverted=False, program=program)
        spec.sides.append(replace(one, written_b_per_s=3e6))
        at_s += lasts_s + rng.uniform(2, 15)
    return spec


def draft_server_beside(rng: Random) -> Spec:
    """Speculative decoding: a draft model in another process proposes tokens, and a better one replaces it.

    It works as the prompts are, and over a connection. Steps yield more tokens with the better one.
    """
    spec = draw(rng, log_fields=_TOKENS, step_cv=rng.uniform(0.01, 0.08))
    usual, n, at_s = spec.loop, rng.randint(2, 3), spec.stages[0].length_s
    load = courses.plateaus(rng, spec.length_s, 0.6, 1.4)
    stages, drafts = spec.stages[:1], list[float]()
    for k in range(n):
        drafts.append(at_s)
        end_s = at_s + spec.length_s / n
        while at_s < end_s:
            writes_s, accepted = rng.uniform(40, 400), rng.uniform(0.5, 0.8) + 0.25 * k
            stages.append(replace(usual, length_s=writes_s, tokens=accepted))
            at_s += writes_s
    spec.stages = stages
    for k, begin_s in enumerate(drafts):
        end_s = drafts[k + 1] if k + 1 < n else inf
        when = _while_training([(begin_s + rng.uniform(5, 40), end_s)], rng.uniform(0.05, 0.3), load)
        program = child(f"draft_server.py --draft distilled-{k}")
        one = Side(f"draft{k}", spec.all_gpus, when, 0.45, diverted=False, program=program, has_flow=True)
        spec.sides.append(one)
    return spec


def rollout_workers_long_tail(rng: Random) -> Spec:
    """RL: a vLLM worker on each GPU writes answers, some done much earlier than the last; then updates."""
    spec = draw(rng, n_gpus=rng.choice([2, 4, 8]), step_gpu_s=rng.uniform(6, 25), log_every=1, log_buffer_b=0)
    loop, at_s = spec.loop, float(int(spec.stages[0].length_s) + 1)
    spec.stages = [idle(at_s, demand=0.2, level=0.3)]
    busy = [[0.0] * int(at_s) for _ in spec.all_gpus]
    usual_s, updates_s, part = rng.uniform(30, 150), rng.uniform(20, 120), rng.uniform(0.7, 0.97)
    while at_s < spec.length_s:
        writes_s, learns_s = int(usual_s * rng.uniform(0.6, 1.5)), int(updates_s * rng.uniform(0.8, 1.2))
        last = rng.randrange(spec.n_gpus)
        for gpu, seconds in enumerate(busy):
            own_s = writes_s if gpu == last else int(writes_s * rng.uniform(0.35, 1.0))
            seconds += [part] * own_s + [0.0] * (writes_s - own_s + learns_s)
        spec.stages += [idle(float(writes_s)), replace(loop, length_s=float(learns_s))]
        at_s += writes_s + learns_s
    for gpu, seconds in enumerate(busy):
        program = Program(PYTHON, f"VLLM::Worker_TP{gpu}", ("VLLM::EngineCore", "python", "bash"), None)
        works = _as_listed(seconds)
        one = Side(f"vllm{gpu}", (gpu,), works, 0.6, diverted=False, program=program, has_flow=True)
        spec.sides.append(one)
    return spec


def successive_halving(rng: Random) -> Spec:
    """A search under MPS: many trainings on one GPU, each with a log; half of them end at each rung."""
    spec = draw(rng, n_gpus=1)
    n, at_s, rung_s = rng.choice([4, 8]), 60.0, rng.uniform(0.12, 0.22) * spec.length_s
    ends, left = list[float](), n
    while left > 1:
        at_s += rung_s
        ends += [at_s + rng.uniform(0, 20) for _ in range(left // 2)]
        left, rung_s = left // 2, 1.4 * rung_s
    for k, end_s in enumerate(ends):
        when = _in_spans([(rng.uniform(20, 60), end_s)], rng.uniform(0.35, 0.6))
        one = Side(f"trial{k}", spec.all_gpus, when, rng.uniform(0.5, 0.9), diverted=False)
        program = script(f"train.py --trial {k}")
        spec.sides.append(replace(one, program=program, written_b_per_s=5.0, step_gpu_s=rng.uniform(0.5, 5)))
    return spec


def site_probes_gpus(rng: Random) -> Spec:
    """The site's own monitor, of root and outside the job, tests each GPU for seconds every few minutes."""
    spec = draw(rng)
    every_s, lasts_s, part = rng.randint(120, 600), rng.randint(2, 8), rng.uniform(0.4, 0.95)
    first_s = rng.uniform(10, every_s)

    def probes(t_s: float, _: Stage | None) -> float:
        return part if t_s > first_s and (t_s - first_s) % every_s < lasts_s else 0.0

    level = rng.uniform(0.6, 1.0)
    probe = Side("hostengine", spec.all_gpus, probes, level, diverted=False, program=_MONITOR)
    spec.sides = [replace(probe, uid=0, of_run=False)]
    return spec


def trains_two_in_turn(rng: Random) -> Spec:
    """A job trains two models in turn, for minutes, each in a process with a log; one rests for the other."""
    spec = draw(rng)
    loop, at_s, spans = spec.loop, float(int(spec.stages[0].length_s) + 1), list[tuple[float, float]]()
    spec.stages = [idle(at_s, demand=0.2, level=0.3)]
    own_s, other_s = rng.uniform(90, 500), rng.uniform(60, 400)
    while at_s < spec.length_s:
        trains_s, rests_s = int(own_s * rng.uniform(0.8, 1.2)), int(other_s * rng.uniform(0.8, 1.2))
        spans.append((at_s + trains_s + rng.randint(1, 5), at_s + trains_s + rests_s))
        spec.stages += [replace(loop, length_s=float(trains_s)), idle(float(rests_s))]
        at_s += trains_s + rests_s
    when = _in_spans(spans, rng.uniform(0.7, 0.98))
    other = Side("prior", spec.all_gpus, when, rng.uniform(0.5, 0.9), diverted=False)
    program = script("train_prior.py --turns")
    spec.sides = [replace(other, program=program, written_b_per_s=20.0, step_gpu_s=rng.uniform(0.5, 5))]
    return spec


def second_notebook(rng: Random) -> Spec:
    """A second notebook of the same person tries things out on the GPU, without a log: cannot be told."""
    spec = draw(rng, n_gpus=1)
    seconds = [0.0] * rng.randint(60, 600)
    while len(seconds) <= spec.length_s:
        seconds += [rng.uniform(0.1, 0.9)] * int(rng.uniform(2, 240))
        seconds += [0.0] * int(rng.expovariate(1 / 250) + 5)
    level = rng.uniform(0.4, 0.9)
    spec.sides = [Side("kernel2", (0,), _as_listed(seconds), level, diverted=False, program=_KERNEL)]
    return spec


def _in_spans(spans: Spans, demand: float) -> When:
    return lambda t_s, _: demand if any(begin <= t_s < end for begin, end in spans) else 0.0


def _while_training(spans: Spans, demand: float, load: Course) -> When:
    works = _in_spans(spans, demand)
    return lambda t_s, stage: works(t_s, stage) * load(t_s) if stage is not None and stage.trains else 0.0


def _as_listed(seconds: Sequence[float]) -> When:
    return lambda t_s, _: seconds[int(t_s)] if t_s < len(seconds) else 0.0


FAMILIES = (
    uploader_beside, tokenises_beside, draft_server_beside, rollout_workers_long_tail, successive_halving,
    site_probes_gpus, trains_two_in_turn, second_notebook,
)  # fmt: skip

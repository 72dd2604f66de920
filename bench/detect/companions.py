"""Honest families with a second process that works beside the training, or two programs on one GPU."""

from dataclasses import replace
from random import Random

from bench.world.draw import after, draw, fill, idle
from bench.world.spec import OTHER_RANK, PYTHON, Program, Side, Spec, Stage, child, script

_SPAWNED = Program(
    PYTHON,
    "python -c from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7) "
    "--multiprocessing-fork",
    ("python", "bash"),
    None,
)
_ACTOR = Program(PYTHON, "ray::RolloutWorker.generate", ("torchrun", "bash"), 61)
_SOLID = Program("/opt/solid/bin/solid", "solid -i case.xml", ("torchrun", "bash"), 61)
_OTHER_SOLVER = Program("/home/u/bin/md", "md -in other.mdp", ppid=900)


def _helps(spec: Spec, part: float, name: str, program: Program, *, has_flow: bool = False) -> Spec:
    """A process that works for the training while it trains."""

    def works(_: float, stage: Stage | None) -> float:
        return part if stage is not None and stage.trains else 0.0

    side = Side(name, spec.all_gpus, works, 0.5, diverted=False, program=program, has_flow=has_flow)
    spec.sides = [side]
    return spec


def spawned_workers(rng: Random) -> Spec:
    """Workers that Python's multiprocessing spawned decode on the GPU for the training."""
    return _helps(draw(rng), rng.uniform(0.05, 0.4), "worker", _SPAWNED)


def forked_workers(rng: Random) -> Spec:
    """The same, forked: they have the training's own command line."""
    return _helps(draw(rng), rng.uniform(0.05, 0.4), "worker", child("train.py"))


def teacher_beside(rng: Random) -> Spec:
    """A teacher or reward model in a process of its own answers the training over a connection."""
    return _helps(draw(rng), rng.uniform(0.15, 0.8), "teacher", child("teacher.py"), has_flow=True)


def rollouts_apart(rng: Random) -> Spec:
    """A rollout server has one GPU of several: over a connection, or as an actor under its title."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    is_actor = rng.random() < 0.5
    program = _ACTOR if is_actor else replace(OTHER_RANK, cmdline="python -m vllm.serve")
    return _apart(spec, program, has_flow=not is_actor)


def evaluator_apart(rng: Random) -> Spec:
    """An evaluator that reads checkpoints has one GPU of several: cannot be told from other work."""
    return _apart(draw(rng, n_gpus=rng.choice([2, 4])), replace(OTHER_RANK, cmdline="python eval.py"))


def _apart(spec: Spec, program: Program, *, has_flow: bool = False) -> Spec:
    last = spec.n_gpus - 1
    spec.stages[1] = replace(spec.loop, gpus=tuple(range(last)))
    side = Side("apart", (last,), after(60, 0.9), 0.6, diverted=False, program=program, has_flow=has_flow)
    spec.sides = [side]
    return spec


def ranks_share_gpus(rng: Random) -> Spec:
    """Two to four ranks of one program on each GPU (MPS); one of them logs."""
    spec = draw(rng)
    spec.stages[1] = replace(spec.loop, demand=spec.loop.demand / 2)
    rank = script("train.py") if spec.n_gpus == 1 else replace(OTHER_RANK, cmdline="python train.py")
    n = rng.randint(1, 3)

    def works(_: float, stage: Stage | None) -> float:
        return spec.loop.demand if stage is not None and stage.trains else 0.0

    sides = [Side(f"rank{k}", spec.all_gpus, works, 0.7, diverted=False, program=rank) for k in range(n)]
    spec.sides = sides
    return spec


def evaluator_stays(rng: Random) -> Spec:
    """A child evaluates each checkpoint and is never done: cannot be told from other work."""
    spec = draw(rng)
    program = child("eval.py")
    part = rng.uniform(0.1, 0.5)
    spec.sides = [Side("eval", spec.all_gpus, after(300, part), 0.6, diverted=False, program=program)]
    return spec


def evaluates_now_and_then(rng: Random) -> Spec:
    """A child evaluates whenever a checkpoint was better: no length and no distance is alike."""
    spec = draw(rng)
    turns, begin_s = [], rng.expovariate(1 / 600)
    while begin_s < spec.length_s:
        turns.append((begin_s, begin_s + rng.uniform(60, 300)))
        begin_s = turns[-1][1] + rng.expovariate(1 / 600)

    def evaluates(t_s: float, _: Stage | None) -> float:
        return 0.6 if any(a < t_s < b for a, b in turns) else 0.0

    program = child("eval.py")
    spec.sides = [Side("eval", spec.all_gpus, evaluates, 0.6, diverted=False, program=program)]
    return spec


def waits_for_evaluations(rng: Random) -> Spec:
    """The training waits while a child evaluates, at any distance."""
    spec = draw(rng)
    loop = spec.loop

    def turn() -> tuple[Stage, Stage]:
        return replace(loop, length_s=rng.uniform(100, 900)), idle(rng.uniform(60, 400))

    spec.stages[1:] = fill(spec.length_s, turn)

    def evaluates(t_s: float, stage: Stage | None) -> float:
        return 0.8 if stage is not None and not stage.trains and t_s > 300 else 0.0

    program = child("eval.py")
    spec.sides = [Side("eval", spec.all_gpus, evaluates, 0.6, diverted=False, program=program)]
    return spec


def coupled_solvers(rng: Random) -> Spec:
    """Two programs of one launcher that solve a problem together, without a log."""
    return _solves(draw(rng, has_log=False, n_gpus=rng.choice([2, 4])), rng, _SOLID)


def ensemble_unlogged(rng: Random) -> Spec:
    """Two cases of one program on the same GPUs, without a log."""
    return _solves(draw(rng, has_log=False), rng, script("other.py"))


def two_solvers(rng: Random) -> Spec:
    """Two unlike programs on the same GPUs, without a log: cannot be told from one and a stranger."""
    return _solves(draw(rng, has_log=False), rng, _OTHER_SOLVER)


def _solves(spec: Spec, rng: Random, program: Program) -> Spec:
    demand = rng.uniform(0.2, 0.9)
    spec.sides = [Side("second", spec.all_gpus, after(60, demand), 0.6, diverted=False, program=program)]
    return spec


FAMILIES = (
    spawned_workers, forked_workers, teacher_beside, rollouts_apart, evaluator_apart, ranks_share_gpus,
    evaluator_stays, evaluates_now_and_then, waits_for_evaluations, coupled_solvers, ensemble_unlogged,
    two_solvers,
)  # fmt: skip

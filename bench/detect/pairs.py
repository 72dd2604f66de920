"""Honest families in which two harmless things meet in one run, as an independent checker of the audit made
them: each alone is known, and both together used to be called an alert.
"""

from dataclasses import replace
from random import Random

from bench.world.draw import after, draw, like
from bench.world.spec import PYTHON, Program, Side, Spec

_SHELL = ("bash", "slurmstepd")


def unfrozen_and_evaluated(rng: Random) -> Spec:
    """Layers are unfrozen, and there is one unnamed evaluation, in a log of steps: cannot be told."""
    spec = draw(rng, log_fields=("step",))
    loop, left_s = spec.loop, spec.length_s
    test_s = min(rng.uniform(1200, 1800), 0.3 * left_s)
    left_s -= test_s
    dear = replace(loop, cost=rng.uniform(1.2, 1.4))
    spec.stages[1:] = [
        replace(loop, length_s=0.4 * left_s),
        replace(dear, length_s=0.2 * left_s),
        like(loop, test_s),
        dear,
    ]
    return spec


def curriculum_and_final_eval(rng: Random) -> Spec:
    """A curriculum in a log of steps, and an unnamed evaluation at the end: cannot be told."""
    return _dearer_then_tested(draw(rng, log_fields=("step",)), rng, rng.uniform(1.2, 1.6))


def recomputes_and_final_eval(rng: Random) -> Spec:
    """Recomputation from 40 % on in a log of tokens, and an unnamed evaluation at the end: cannot be told."""
    return _dearer_then_tested(draw(rng, log_fields=("step", "tokens")), rng, rng.uniform(1.25, 1.35))


def _dearer_then_tested(spec: Spec, rng: Random, cost: float) -> Spec:
    loop = spec.loop
    test_s = min(rng.uniform(1200, 1800), 0.3 * spec.length_s)
    left_s = spec.length_s - test_s - spec.stages[0].length_s - 100
    spec.stages[1:] = [
        replace(loop, length_s=0.4 * left_s),
        replace(loop, length_s=0.6 * left_s, cost=cost),
        like(loop, test_s),
    ]
    return spec


def script_evaluates_beside(rng: Random) -> Spec:
    """The batch script's own evaluator works beside the training from a third on: cannot be told."""
    return _with(draw(rng), rng, "python evaluate.py --follow checkpoints")


def judge_served_beside(rng: Random) -> Spec:
    """A judge model that the batch script serves over a socket file, from a third on: cannot be told."""
    return _with(draw(rng), rng, "python -m vllm.entrypoints.openai.api_server --uds judge.sock")


def _with(spec: Spec, rng: Random, cmdline: str) -> Spec:
    program = Program(PYTHON, cmdline, _SHELL, 900)
    when = after(spec.length_s / 3, rng.uniform(0.15, 0.35))
    spec.sides = [Side("other", spec.all_gpus, when, 0.65, diverted=False, program=program)]
    return spec


FAMILIES = (
    unfrozen_and_evaluated, curriculum_and_final_eval, recomputes_and_final_eval, script_evaluates_beside,
    judge_served_beside,
)  # fmt: skip

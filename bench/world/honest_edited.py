"""Honest families whose settings changed since the earlier nights, under the same command line.

They differ from `plain` by those nights alone: each comes with a way back to what its earlier runs were. Used
with `--history`.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from bench.world.draw import draw
from bench.world.spec import Spec

_USUAL_MIB = 8000  # as a spec has it
STEPS, TOKENS = ("step",), ("step", "tokens")


def edited_batch(rng: Random) -> Spec:
    """Twice the batch: a step costs twice as much, and the log counts steps alone."""
    return draw(rng, log_fields=STEPS, mem_mib=11_000)


def edited_accumulation(rng: Random) -> Spec:
    """Gradients are gathered over twice as many passes: the same in as little memory as before."""
    return draw(rng, log_fields=STEPS)


def edited_length(rng: Random) -> Spec:
    """Sequences twice as long: a token costs 5 % more, and the log counts tokens."""
    return draw(rng, log_fields=TOKENS, mem_mib=12_000)


def edited_model(rng: Random) -> Spec:
    """A larger model: a token costs 30 % more, and more memory is held."""
    return draw(rng, log_fields=TOKENS, mem_mib=10_000)


def edited_flags(rng: Random) -> Spec:
    """Slower kernels: a token costs 15 % more in the same memory, and nothing tells why; cannot be told."""
    return draw(rng, log_fields=TOKENS)


def _cheaper(times: float, tokens: float = 1.0) -> Callable[[Spec], Spec]:
    """The way back: steps cost `times` less and held `tokens` times fewer tokens, in the usual memory."""

    def before(spec: Spec) -> Spec:
        stages = [
            replace(s, cost=s.cost / times, tokens=s.tokens / tokens) if s.trains else s for s in spec.stages
        ]
        return replace(spec, stages=stages, mem_mib=_USUAL_MIB)

    return before


FAMILIES: tuple[tuple[Callable[[Random], Spec], Callable[[Spec], Spec]], ...] = (
    (edited_batch, _cheaper(2.0)),
    (edited_accumulation, _cheaper(2.0)),
    (edited_length, _cheaper(2.1, 2.0)),
    (edited_model, _cheaper(1.3)),
    (edited_flags, _cheaper(1.15)),
)

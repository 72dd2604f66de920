"""Every family by name: a way to draw runs, and whether they are honest."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from bench.world import (
    diverting,
    forging,
    forging_shared,
    honest_disturbed,
    honest_edited,
    honest_odd,
    honest_pace,
    honest_phases,
)
from bench.world.spec import Spec


def as_before(spec: Spec) -> Spec | None:
    """The same training without what diverts; null where that is all there is, or part of its loop."""
    if spec.is_log_forged or any(stage.diverted for stage in spec.stages):
        return None
    return replace(spec, sides=[side for side in spec.sides if not side.diverted])


@dataclass(frozen=True, slots=True)
class Family:
    """Runs of one kind. `draw` takes the share that a diverting run diverts; honest ones pass it over."""

    name: str
    is_honest: bool
    draw: Callable[[Random, float], Spec]
    reason: str  # in one sentence
    before: Callable[[Spec], Spec | None] = as_before  # what its runs of earlier nights were; null: none

    @property
    def side(self) -> str:
        """The word for it in the table."""
        return "honest" if self.is_honest else "diverting"


def edited() -> list[Family]:
    """Honest families that differ from their earlier nights, for nights with a history."""
    return [
        Family(draw.__name__, True, _without_share(draw), _reason(draw), before)
        for draw, before in honest_edited.FAMILIES
    ]


def families() -> list[Family]:
    """All others, honest ones first."""
    modules = (honest_phases, honest_pace, honest_disturbed, honest_odd)
    honest = [draw for module in modules for draw in module.FAMILIES]
    others = (*diverting.FAMILIES, *forging.FAMILIES, *forging_shared.FAMILIES)
    return [
        *(Family(draw.__name__, True, _without_share(draw), _reason(draw)) for draw in honest),
        *(Family(draw.__name__, False, draw, _reason(draw)) for draw in others),
    ]


def _without_share(draw: Callable[[Random], Spec]) -> Callable[[Random, float], Spec]:
    return lambda rng, _: draw(rng)


def _reason(draw: Callable[..., Spec]) -> str:
    return (draw.__doc__ or "").partition("\n")[0]

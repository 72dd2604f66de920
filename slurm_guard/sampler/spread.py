"""All connections that a process opened to the outside taken together: a tunnel may go in by one and out by
another, or lay its bytes on several in turn, to far ends that look unrelated."""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING
from slurm_guard.networks import OUTSIDE
from slurm_guard.sampler.places import IDLE_S, Place

if TYPE_CHECKING:
    from slurm_guard.light import Callable
    from slurm_guard.sampler.flows import Flow
    from slurm_guard.sampler.process import Process

MOST_OWNERS = 64  # of a node. Judgement
_FIRST = -(1 << 71)  # below every place's name


class Spread:
    """Of all processes."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, int], Place] = {}
        self._n_made = 0

    def note(self, owner: Process, outers: list[Flow], mono_s: float) -> Place | None:
        """What stands for all of them; null: they have led to one far end only."""
        far = [flow for flow in outers if flow.opened and flow.near == OUTSIDE]
        place = self._of.get(owner.key)
        if place is None and len({flow.sample.peer for flow in far}) > 1 and len(self._of) < MOST_OWNERS:
            place = self._of[owner.key] = Place(_FIRST - self._n_made, "")
            self._n_made += 1
        if place is None or not far:
            return place
        place.note(max(far, key=lambda flow: (flow.sample.in_b or 0) + (flow.sample.out_b or 0)), mono_s)
        return place

    def drop_idle(self, mono_s: float) -> list[Place]:
        """Those that spoke to nobody for long."""
        return self._drop(lambda place: mono_s - place.last_s > IDLE_S)

    def drop_run(self, run: str) -> list[Place]:
        """Those of a run that ended."""
        return self._drop(lambda place: place.flow is not None and place.flow.run == run)

    def _drop(self, is_over: Callable[[Place], bool]) -> list[Place]:
        dropped = {key: place for key, place in self._of.items() if is_over(place)}
        for key in dropped:
            del self._of[key]
        return list(dropped.values())

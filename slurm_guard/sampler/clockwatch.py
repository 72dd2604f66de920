"""Tells when the machine's clock jumped: records keep the time before until the step has lasted."""

from __future__ import annotations

from slurm_guard.clock import SteadyClock
from slurm_guard.light import TYPE_CHECKING, Any
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.loop import Loop


class ClockWatch:
    """A part of the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._n = 0

    def tick(self, now: Instant) -> None:
        """One event for each step that was noticed, and for each that was followed."""
        clock = self._loop.clock
        if not isinstance(clock, SteadyClock):
            return
        for off_s, followed in clock.steps:
            self._n += not followed
            self._loop.event("clock-stepped", off_s=round(off_s, 3), followed=followed)
        clock.steps.clear()

    def tell(self) -> dict[str, Any]:
        """How often, for `slurm-guard node status`."""
        return {"steps": self._n}

    def close(self, now: Instant) -> None:
        """The last word."""
        self.tick(now)

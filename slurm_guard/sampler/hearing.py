"""After each round: take in which connections have ended, as there is room for some thousand alone, and look
at the few of which it is not known who leads."""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, Any
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.loop import Loop


class Hearing:
    """A part of the loop."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def tick(self, now: Instant) -> None:
        """Nothing while the sampler is switched off."""
        if not self.loop.off:
            self.loop.tables.sockets.hear(now.mono_s)
            for told in self.loop.tables.sockets.closer(self.loop.now()):
                self.loop.out(told.run, told)

    def tell(self) -> dict[str, Any]:
        """How many ends there was no room for since the sampler began."""
        return {"n_unheard": self.loop.tables.sockets.n_unheard}

    def close(self, now: Instant) -> None:
        """Nothing to do."""

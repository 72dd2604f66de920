"""Who had a GPU's device file open during one window, beside those that NVML lists."""

from slurm_guard import wire
from slurm_guard.sampler.process import Key, Process

MOST = 16  # unlisted holders told per window; more are counted as a truncated look: judgement


class HeldSeen:
    """Adds up between the windows of one holder of the GPU; `run` is that holder."""

    def __init__(self, run: str | None) -> None:
        self._run = run
        self._clear()

    def _clear(self) -> None:
        self._looked = self._short = False
        self._n_own = 0
        self._others: dict[Key, wire.Held] = {}

    def add(self, holders: list[Process], unlisted: list[Process], *, whole: bool) -> None:
        """One look. `whole`: no process of the node was left out."""
        self._looked = True
        self._short = self._short or not whole
        mine = [p for p in holders if self._run is not None and p.run == self._run]
        self._n_own = max(self._n_own, len(mine))
        self._others.update((p.key, p.held()) for p in unlisted if self._run is None or p.run != self._run)

    def take(self, window: wire.Window) -> wire.Window:
        """The window with what was seen in it; nothing is said of one in which nobody looked."""
        if not self._looked:
            return window
        told = sorted(self._others.values(), key=lambda h: (not h.uvm, h.pid, h.start_ticks))
        short = self._short or len(told) > MOST
        window = window._replace(held=told[:MOST], n_own=self._n_own, held_truncated=short)
        self._clear()
        return window

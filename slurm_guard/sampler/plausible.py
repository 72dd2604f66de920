"""Is a GPU's power channel to be believed? Pure.

Inside virtual machines and rented containers the power channel can be a stub: A100s were seen at 39–46 W and
98 % utilisation for a whole night (documented: real telemetry). A hung collective can look much the same.
Neither is held against anyone: the window says so and its energy is null, the mean power stays.
"""

from slurm_guard.sampler.reading import GpuReading

BUSY_PCT = 98.0  # documented: what the stub channels showed
IDLE_FACTOR = 1.3  # times the board's own idle power: documented (threat notes), margin for a warm board
IDLE_SHARE_OF_LIMIT = 0.12  # where the board was never seen idle: H100 70/700 W, A100 50/400 W; judgement
LONG_S = 120.0  # "for minutes": judgement; a memory-bound kernel never stays this low this long


class Plausibility:
    """Follows one GPU across windows; shared by all builders of that GPU."""

    def __init__(self) -> None:
        self._idle_mw: float | None = None
        self._since_s: float | None = None  # since when busy at idle power
        self._last_s: float | None = None

    def add(self, reading: GpuReading, power_limit_mw: int | None) -> None:
        """One reading; the same reading twice changes nothing."""
        if reading.mono_s == self._last_s:
            return
        self._last_s = reading.mono_s
        if reading.power_mw is None or reading.util_pct is None:
            self._since_s = None
            return
        if reading.util_pct == 0:
            low = reading.power_mw if self._idle_mw is None else min(self._idle_mw, reading.power_mw)
            self._idle_mw = low
        bound = self._bound_mw(power_limit_mw)
        if reading.util_pct < BUSY_PCT or bound is None or reading.power_mw > bound:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = reading.mono_s

    def _bound_mw(self, power_limit_mw: int | None) -> float | None:
        """Power that no busy board stays below; null: not known for this board."""
        if self._idle_mw is not None:
            return self._idle_mw * IDLE_FACTOR
        return None if power_limit_mw is None else power_limit_mw * IDLE_SHARE_OF_LIMIT

    def verdict(self) -> dict[str, str]:
        """Empty, or why this GPU's energy and power are not believed now."""
        if self._since_s is None or self._last_s is None or self._last_s - self._since_s < LONG_S:
            return {}
        text = f"implausible: {BUSY_PCT:.0f} % busy at idle power for {self._last_s - self._since_s:.0f} s"
        return {"energy_mj": text, "power_mw": text}

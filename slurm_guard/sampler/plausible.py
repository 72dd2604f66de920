"""Is what a GPU's channels say to be believed? Pure.

Inside virtual machines and rented containers the power channel can be a stub: A100s were seen at 39–46 W and
98 % utilisation for a whole night (documented: real telemetry). A hung collective can look much the same.
Neither is held against anyone: the window says so and its energy is null, the mean power stays.
An energy counter that stands still beside a power reading, or that is far from that reading's integral, is
not believed either, and neither is a value that no board can have (NVML's blanks are such values).
"""

from slurm_guard.sampler.reading import GpuReading

BUSY_PCT = 98.0  # documented: what the stub channels showed
IDLE_FACTOR = 1.3  # times the board's own idle power: documented (threat notes), margin for a warm board
IDLE_SHARE_OF_LIMIT = 0.12  # where the board was never seen idle: H100 70/700 W, A100 50/400 W; judgement
LONG_S = 120.0  # "for minutes": judgement; a memory-bound kernel never stays this low this long
STUCK_S = 15.0  # energy unchanged beside a power reading: the counter moves about every 100 ms (documented)
STUCK_J = 150.0  # … that would have added this much: 10 W over that time, no data-centre board idles lower
COMPARE_S = 120.0  # energy against the integral of power, over this long: judgement
COMPARE_FACTOR = 2.0  # apart by more: judgement. The sensor looks at a quarter of the time on A100 and H100,
# and one reading a second can see only the peaks of a load that beats once a second.
JUMP_FACTOR = 1.5  # times the power limit: more than any board takes for longer than milliseconds: judgement
JUMP_SLACK_S = 0.5  # the counter's own steps and late readings: judgement
_MOST_PCT = 100.5  # GPM rounds
_MOST_POWER_MW = 10_000_000  # NVML's blanks (2147483632 and all ones) lie far above any board
_MOST_TEMP_C = 200
_MOST_COUNT = 1 << 63
_PERCENT = ("util_pct", "mem_pct", "sm_pct", "tensor_pct", "int_pct", "dram_pct")
_COUNTS = ("energy_mj", "sm_cycles", "pcie_tx_b", "pcie_rx_b", "nvlink_tx_b", "nvlink_rx_b", "throttle")


def believe(reading: GpuReading, mem_total_mib: int | None) -> GpuReading:
    """The reading without values that no board can have; each is null with the reason."""
    most: dict[str, float | None] = dict.fromkeys(_PERCENT, _MOST_PCT)
    most.update(dict.fromkeys(_COUNTS, _MOST_COUNT))
    most.update(power_mw=_MOST_POWER_MW, power_inst_mw=_MOST_POWER_MW, temp_c=_MOST_TEMP_C)
    most["mem_used_mib"] = mem_total_mib
    bad = {}
    for name, limit in most.items():
        value = getattr(reading, name)
        if value is not None and limit is not None and not 0 <= value <= limit:
            bad[name] = f"implausible: {value:.0f}"
    if not bad:
        return reading
    nulls: dict[str, None] = dict.fromkeys(bad)
    return reading._replace(**nulls, why={**reading.why, **bad})  # type: ignore[arg-type]


def is_jump(amount_mj: float, long_s: float, power_limit_mw: int | None) -> bool:
    """Whether an energy counter grew by more than its board can take, as after a reload to another value."""
    if power_limit_mw is None:
        return False
    return amount_mj > JUMP_FACTOR * power_limit_mw * (long_s + JUMP_SLACK_S)


class Plausibility:
    """Follows one GPU across windows; shared by all builders of that GPU."""

    def __init__(self) -> None:
        self._before: GpuReading | None = None  # with energy and power
        self._moved_s = self._still_j = 0.0  # since when the counter stands, and what it should have added
        self._long_s = self._power_mj = self._energy_mj = 0.0  # of the comparison under way
        self._energy_text: str | None = None
        self._idle_mw: float | None = None
        self._since_s: float | None = None  # since when busy at idle power
        self._last_s: float | None = None

    def add(self, reading: GpuReading, power_limit_mw: int | None) -> None:
        """One reading; the same reading twice changes nothing."""
        if reading.mono_s == self._last_s:
            return
        self._last_s = reading.mono_s
        self._compare(reading, power_limit_mw)
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

    def _compare(self, now: GpuReading, power_limit_mw: int | None) -> None:
        """Energy against power, from this reading and the one before."""
        before, self._before = self._before, now
        if before is None or None in (before.energy_mj, before.power_mw, now.energy_mj, now.power_mw):
            self._moved_s, self._still_j = now.mono_s, 0.0
            return
        long_s = now.mono_s - before.mono_s
        energy_mj = now.energy_mj - before.energy_mj  # type: ignore[operator]
        power_mj = (now.power_mw + before.power_mw) / 2 * long_s  # type: ignore[operator]
        if energy_mj < 0 or long_s > COMPARE_S or is_jump(energy_mj, long_s, power_limit_mw):
            self._moved_s, self._still_j = now.mono_s, 0.0
            self._long_s = self._power_mj = self._energy_mj = 0.0
            return
        if energy_mj > 0:
            self._moved_s, self._still_j = now.mono_s, 0.0
        else:
            self._still_j += power_mj / 1000
        self._long_s += long_s
        self._power_mj += power_mj
        self._energy_mj += energy_mj
        if self._long_s >= COMPARE_S:
            self._energy_text = _apart(self._energy_mj, self._power_mj)
            self._long_s = self._power_mj = self._energy_mj = 0.0

    def _stuck_text(self) -> str | None:
        still_s = 0.0 if self._last_s is None else self._last_s - self._moved_s
        if still_s < STUCK_S or self._still_j < STUCK_J:
            return None
        return f"implausible: the counter stands still while power reads {self._still_j / still_s:.0f} W"

    def _bound_mw(self, power_limit_mw: int | None) -> float | None:
        """Power that no busy board stays below; null: not known for this board."""
        if self._idle_mw is not None:
            return self._idle_mw * IDLE_FACTOR
        return None if power_limit_mw is None else power_limit_mw * IDLE_SHARE_OF_LIMIT

    def verdict(self) -> dict[str, str]:
        """Empty, or why this GPU's energy, or power too, is not believed now."""
        if self._since_s is not None and self._last_s is not None and self._last_s - self._since_s >= LONG_S:
            long_s = self._last_s - self._since_s
            text = f"implausible: {BUSY_PCT:.0f} % busy at idle power for {long_s:.0f} s"
            return {"energy_mj": text, "power_mw": text}
        energy = self._stuck_text() or self._energy_text
        return {} if energy is None else {"energy_mj": energy}


def _apart(energy_mj: float, power_mj: float) -> str | None:
    """The reason not to believe an energy that is far from its power's integral."""
    if power_mj <= 0 or 1 / COMPARE_FACTOR <= energy_mj / power_mj <= COMPARE_FACTOR:
        return None
    return f"implausible: {energy_mj / 1e6:.1f} kJ by the counter, {power_mj / 1e6:.1f} kJ by the power"

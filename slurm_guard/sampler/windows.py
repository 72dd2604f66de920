"""From readings of one GPU to windows: integrals over covered time, gaps kept apart. Pure: no clock, no I/O.

The sampler and the simulator both build windows here:

    builder = WindowBuilder(info, run, WindowRules(interval_s=1.0, gap_factor=3.0))
    builder.open(at, mono_s)               # where the first window begins
    builder.add(reading)                   # in order of mono_s
    window = builder.close(at, mono_s)     # usually at the last reading; the next one begins there

Durations come from the monotonic clock. A step between two readings is *covered* when it is no longer than
gap_factor × interval and no core channel broke inside it; everything else of the window is its gap.
"""

from typing import NamedTuple

from slurm_guard.sampler.plausible import Plausibility
from slurm_guard.sampler.reading import GpuInfo, GpuReading
from slurm_guard.sampler.rhythm import describe
from slurm_guard.wire import ProcShare, Window

_RATES = {  # window's field -> reading's field; percent over the step that the reading ends
    "busy_ms": "util_pct",
    "sm_ms": "sm_pct",
    "tensor_ms": "tensor_pct",
    "int_ms": "int_pct",
    "dram_ms": "dram_pct",
}
_COUNTERS = {  # cumulative since driver load or boot
    "energy_mj": "energy_mj",
    "sm_cycles": "sm_cycles",
    "pcie_tx_b": "pcie_tx_b",
    "pcie_rx_b": "pcie_rx_b",
    "nvlink_tx_b": "nvlink_tx_b",
    "nvlink_rx_b": "nvlink_rx_b",
}
# Where one of these fails in a few steps, those steps are gaps for every channel: all integrals of a window
# speak of the same covered time. The others are context: one missing step makes them null.
_CORE = ("energy_mj", "busy_ms", "sm_ms", "tensor_ms", "int_ms", "dram_ms", "sm_cycles")
_CORE_SHARE = 0.5  # a core channel present in fewer steps than this is null instead: judgement
_CLOCK_STEP_S = 0.5  # wall and monotonic clock apart by more than this inside a window: a step, judgement


class WindowRules(NamedTuple):
    """Time scales from [node]."""

    interval_s: float
    gap_factor: float

    @property
    def gap_limit_s(self) -> float:
        """Readings farther apart than this leave a gap."""
        return self.interval_s * self.gap_factor


class _Step(NamedTuple):
    """What happened between two readings. Amounts: null where not observed."""

    long_s: float
    amounts: dict[str, float | None]
    seen: bool  # anything of the load was observed
    why: dict[str, str]


class WindowBuilder:
    """One GPU of one run (run null: of nobody), window after window."""

    def __init__(
        self,
        info: GpuInfo,
        run: str | None,
        rules: WindowRules,
        plausibility: Plausibility | None = None,
    ) -> None:
        self.info = info
        self.run = run
        self.rules = rules
        self.shared = False
        self.plausibility = Plausibility() if plausibility is None else plausibility
        self._last: GpuReading | None = None
        self._start_at = self._start_mono_s = 0.0
        self._readings: list[GpuReading] = []
        self._steps: list[_Step] = []

    @property
    def start_mono_s(self) -> float:
        """Monotonic second at which the open window began."""
        return self._start_mono_s

    @property
    def n(self) -> int:
        """Readings in the open window."""
        return len(self._readings)

    def open(self, at: float, mono_s: float, last: GpuReading | None = None) -> None:
        """Begin at an instant; `last`: a reading at or before it that the first step builds on."""
        self._start_at, self._start_mono_s = at, mono_s
        self._last = last
        self._readings, self._steps = [], []

    def add(self, reading: GpuReading) -> None:
        """One more reading, later than those before."""
        self.plausibility.add(reading, self.info.power_limit_mw)
        self.step_to(reading)
        self._readings.append(reading)

    def step_to(self, reading: GpuReading) -> None:
        """Integrate up to a moment between two readings; it counts as none."""
        if self._last is not None:
            begin_s = max(self._last.mono_s, self._start_mono_s)
            long_s = reading.mono_s - self._last.mono_s
            if 0 < long_s <= self.rules.gap_limit_s:
                share = min(1.0, (reading.mono_s - begin_s) / long_s)
                self._steps.append(_step(self._last, reading, share))
        self._last = reading

    def close(
        self, at: float, mono_s: float, procs: list[ProcShare] | None = None, procs_truncated: bool = False
    ) -> Window:
        """The window up to an instant not before the last reading; the next one begins there."""
        why = _reasons(self._readings)
        dropped = _broken_channels(self._steps, why)
        needed = [name for name in _CORE if name not in dropped]
        kept = [
            step for step in self._steps if step.seen and all(step.amounts[n] is not None for n in needed)
        ]
        amounts = _sums(kept, dropped, why)
        total_ms = max(0, round((mono_s - self._start_mono_s) * 1000))
        covered_ms = min(total_ms, round(sum(step.long_s for step in kept) * 1000))
        for step in self._steps:
            why.update(step.why)
        why.update(self.plausibility.verdict())
        if "energy_mj" in self.plausibility.verdict():
            amounts["energy_mj"] = None
        window = self._window(at, mono_s, amounts, why)._replace(
            covered_ms=covered_ms,
            gap_ms=total_ms - covered_ms,
            procs=procs or [],
            procs_truncated=procs_truncated,
        )
        self._start_at, self._start_mono_s = at, mono_s
        self._readings, self._steps = [], []
        return window

    def _window(
        self, at: float, mono_s: float, amounts: dict[str, int | None], why: dict[str, str]
    ) -> Window:
        """All but coverage and processes."""
        end_at = self._start_at + (mono_s - self._start_mono_s)
        if abs(end_at - at) <= _CLOCK_STEP_S:
            end_at = at  # slewing: neighbours meet; after a step the window keeps its true length instead
        else:
            why["end_at"] = f"the wall clock stepped by {at - end_at:.3f} s"
        looks = [(r.mono_s, r.power_mw, r.util_pct) for r in self._readings]
        return Window(
            run=self.run,
            gpu=self.info.uuid,
            gpu_index=self.info.gpu_index,
            model=self.info.model,
            mig=self.info.mig,
            shared=self.shared,
            start_at=self._start_at,
            end_at=end_at,
            start_mono_s=self._start_mono_s,
            n=len(self._readings),
            covered_ms=0,
            gap_ms=0,
            power_mw=_mean([r.power_mw for r in self._readings]),
            power_limit_mw=self.info.power_limit_mw,
            mem_used_mib=_most([r.mem_used_mib for r in self._readings]),
            mem_total_mib=self.info.mem_total_mib,
            sm_clock_mhz=_mean([r.sm_clock_mhz for r in self._readings]),
            temp_c=_most([r.temp_c for r in self._readings]),
            throttle=_all_bits([r.throttle for r in self._readings]),
            rhythm=describe(looks, self.rules.gap_limit_s),
            procs=[],
            procs_truncated=False,
            why=why,
            energy_mj=amounts["energy_mj"],
            busy_ms=amounts["busy_ms"],
            sm_ms=amounts["sm_ms"],
            tensor_ms=amounts["tensor_ms"],
            int_ms=amounts["int_ms"],
            dram_ms=amounts["dram_ms"],
            sm_cycles=amounts["sm_cycles"],
            pcie_tx_b=amounts["pcie_tx_b"],
            pcie_rx_b=amounts["pcie_rx_b"],
            nvlink_tx_b=amounts["nvlink_tx_b"],
            nvlink_rx_b=amounts["nvlink_rx_b"],
        )


def _step(before: GpuReading, after: GpuReading, share: float) -> _Step:
    """Amounts of one step; `share` < 1 where the window began inside it (pro rata, within a gap limit)."""
    long_s = (after.mono_s - before.mono_s) * share
    amounts: dict[str, float | None] = {}
    why: dict[str, str] = {}
    for name, source in _RATES.items():
        pct = getattr(after, source)
        amounts[name] = None if pct is None else pct / 100 * long_s * 1000
    for name, source in _COUNTERS.items():
        low, high = getattr(before, source), getattr(after, source)
        amounts[name] = None
        if low is not None and high is not None:
            if high >= low:
                amounts[name] = (high - low) * share
            else:
                why[name] = "the counter went back: driver reloaded or board reset"
    seen = after.power_mw is not None or any(amounts[name] is not None for name in _CORE)
    return _Step(long_s, amounts, seen, why)


def _reasons(readings: list[GpuReading]) -> dict[str, str]:
    """Why readings' fields were null, by the window's field names; the last reason given holds."""
    names = {source: name for name, source in (_RATES | _COUNTERS).items()}
    return {names.get(key, key): text for reading in readings for key, text in reading.why.items()}


def _broken_channels(steps: list[_Step], why: dict[str, str]) -> set[str]:
    """Channels that become null for this window, with the reason added to `why`."""
    dropped = set()
    for name in (*_RATES, *_COUNTERS):
        seen = sum(1 for step in steps if step.amounts[name] is not None)
        if steps and seen == len(steps):
            why.pop(name, None)  # a reading that ends no step may have lacked it
            continue
        enough = _CORE_SHARE * len(steps) if name in _CORE else len(steps)
        if seen == 0 or seen < enough:
            dropped.add(name)
            if not steps:
                why.setdefault(name, "no two readings near enough to each other")
            else:
                why.setdefault(name, f"read in {seen} of {len(steps)} steps")
    return dropped


def _sums(kept: list[_Step], dropped: set[str], why: dict[str, str]) -> dict[str, int | None]:
    """Integrals over the covered steps; null where the channel was not observed."""
    sums: dict[str, int | None] = {}
    for name in (*_RATES, *_COUNTERS):
        amounts = [step.amounts[name] for step in kept]
        known = [amount for amount in amounts if amount is not None]
        if name in dropped or not known:
            sums[name] = None
            why.setdefault(name, "no covered step")
        else:
            sums[name] = round(sum(known))
    return sums


def _mean(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known)) if known else None


def _most(values: list[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _all_bits(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    bits = 0
    for value in known:
        bits |= value
    return bits

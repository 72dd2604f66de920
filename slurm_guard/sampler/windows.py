"""From readings of one GPU to windows: integrals over covered time, gaps kept apart. Pure: no clock, no I/O.

The sampler and the simulator both build windows here:

    builder = WindowBuilder(info, run, WindowRules(interval_s=1.0, gap_factor=3.0))
    builder.open(at, mono_s)               # where the first window begins
    builder.add(reading)                   # in order of mono_s
    window = builder.close(at, mono_s)     # usually at the last reading; the next one begins there

Durations come from the monotonic clock. A step between two readings is *covered* when it is no longer than
gap_factor × interval and no core channel broke inside it; everything else of the window is its gap.
"""

from __future__ import annotations

from slurm_guard.light import NamedTuple
from slurm_guard.sampler.plausible import Plausibility, believe, is_jump
from slurm_guard.sampler.reading import GpuInfo, GpuReading
from slurm_guard.sampler.rhythm import describe
from slurm_guard.sampler.seen import Seen
from slurm_guard.wire import ProcShare, Window

_RATES = {  # window's field -> reading's field; percent over the step that the reading ends
    "busy_ms": "util_pct",
    "sm_ms": "sm_pct",
    "tensor_ms": "tensor_pct",
    "int_ms": "int_pct",
    "dram_ms": "dram_pct",
    "mem_busy_ms": "mem_pct",
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
_CHANNELS = (*_RATES, *_COUNTERS)
# NVML counts PCIe bytes in 32 bits: without GPM, rounds that are not seen are missing in the sums.
_ROUND = "the counter went back, as one of 32 bits does every 4 GiB"
_WENT_BACK = {"pcie_tx_b": _ROUND, "pcie_rx_b": _ROUND}
_LATER = ("mem_busy_ms",)  # channels that older readers do not know: said to be missing only with a reason
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
    more: dict[str, float]


class _Sums:
    """Steps that lack the same channels, added up: a window needs a handful of these, however many steps."""

    __slots__ = ("amounts", "long_s", "more", "n", "n_more")

    def __init__(self) -> None:
        self.n = 0
        self.long_s = 0.0
        self.amounts: dict[str, float] = {}
        self.more: dict[str, float] = {}
        self.n_more: dict[str, int] = {}

    def add(self, step: _Step) -> None:
        """One more step of this kind."""
        self.n += 1
        self.long_s += step.long_s
        for name, amount in step.amounts.items():
            if amount is not None:
                self.amounts[name] = self.amounts.get(name, 0.0) + amount
        for name, amount in step.more.items():
            self.more[name] = self.more.get(name, 0.0) + amount
            self.n_more[name] = self.n_more.get(name, 0) + 1


_Kind = tuple[bool, frozenset[str]]  # anything seen; channels that were null


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
        self._seen = Seen()
        self._kinds: dict[_Kind, _Sums] = {}
        self._step_why: dict[str, str] = {}

    @property
    def start_mono_s(self) -> float:
        """Monotonic second at which the open window began."""
        return self._start_mono_s

    @property
    def n(self) -> int:
        """Readings in the open window."""
        return self._seen.n

    def open(self, at: float, mono_s: float, last: GpuReading | None = None) -> None:
        """Begin at an instant; `last`: a reading at or before it that the first step builds on."""
        self._start_at, self._start_mono_s = at, mono_s
        self._last = last
        self._clear()

    def _clear(self) -> None:
        self._seen, self._kinds, self._step_why = Seen(), {}, {}

    def add(self, reading: GpuReading) -> None:
        """One more reading, later than those before."""
        reading = believe(reading, self.info.mem_total_mib)
        self.plausibility.add(reading, self.info.power_limit_mw)
        self.step_to(reading)
        self._seen.add(reading)

    def step_to(self, reading: GpuReading) -> None:
        """Integrate up to a moment between two readings; it counts as none."""
        if self._last is not None:
            begin_s = max(self._last.mono_s, self._start_mono_s)
            long_s = reading.mono_s - self._last.mono_s
            if 0 < long_s <= self.rules.gap_limit_s:
                share = min(1.0, (reading.mono_s - begin_s) / long_s)
                self._count(_step(self._last, reading, share, self.info.power_limit_mw))
        self._last = reading

    def _count(self, step: _Step) -> None:
        kind = (step.seen, frozenset(name for name, amount in step.amounts.items() if amount is None))
        self._kinds.setdefault(kind, _Sums()).add(step)
        self._step_why.update(step.why)

    def close(
        self, at: float, mono_s: float, procs: list[ProcShare] | None = None, procs_truncated: bool = False
    ) -> Window:
        """The window up to an instant not before the last reading; the next one begins there."""
        why = _reasons(self._seen.why)
        dropped = _broken_channels(self._kinds, why)
        needed = {name for name in _CORE if name not in dropped}
        kept = [sums for (seen, nulls), sums in self._kinds.items() if seen and not nulls & needed]
        amounts = _totals(kept, dropped, why)
        total_ms = max(0, round((mono_s - self._start_mono_s) * 1000))
        covered_ms = min(total_ms, round(sum(sums.long_s for sums in kept) * 1000))
        why.update(self._step_why)
        why.update(self.plausibility.verdict())
        if "energy_mj" in self.plausibility.verdict():
            amounts["energy_mj"] = None
        window = self._window(at, mono_s, amounts, why)._replace(
            covered_ms=covered_ms,
            gap_ms=total_ms - covered_ms,
            procs=_cap(procs or [], amounts["busy_ms"], total_ms - covered_ms),
            procs_truncated=procs_truncated,
            procs_upper=True if any(share.sm_ms is not None for share in procs or []) else None,
            more=_more(kept),
        )
        self._start_at, self._start_mono_s = at, mono_s
        self._clear()
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
        seen = self._seen
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
            n=seen.n,
            covered_ms=0,
            gap_ms=0,
            power_mw=seen.mean("power_mw"),
            power_limit_mw=self.info.power_limit_mw,
            mem_used_mib=seen.most("mem_used_mib"),
            mem_total_mib=self.info.mem_total_mib,
            sm_clock_mhz=seen.mean("sm_clock_mhz"),
            temp_c=seen.most("temp_c"),
            throttle=seen.throttle,
            rhythm=describe(seen.looks(), self.rules.gap_limit_s),
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
            power_inst_mw=seen.mean("power_inst_mw"),
            mem_busy_ms=amounts["mem_busy_ms"],
        )


def _step(before: GpuReading, after: GpuReading, share: float, power_limit_mw: int | None) -> _Step:
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
                why[name] = _WENT_BACK.get(name, "the counter went back: driver reloaded or board reset")
    energy_mj = amounts["energy_mj"]
    if energy_mj is not None and is_jump(energy_mj, long_s, power_limit_mw):
        amounts["energy_mj"] = None
        why["energy_mj"] = f"implausible: {energy_mj / 1e6:.1f} kJ within {long_s:.1f} s"
    seen = after.power_mw is not None or any(amounts[name] is not None for name in _CORE)
    low_more, high_more = before.more or {}, after.more or {}
    more = {
        name: (high - low_more[name]) * share
        for name, high in high_more.items()
        if name in low_more and high >= low_more[name]
    }
    return _Step(long_s, amounts, seen, why, more)


def _reasons(why: dict[str, str]) -> dict[str, str]:
    """Why readings' fields were null, by the window's field names."""
    names = {source: name for name, source in (_RATES | _COUNTERS).items()}
    return {names.get(key, key): text for key, text in why.items()}


def _broken_channels(kinds: dict[_Kind, _Sums], why: dict[str, str]) -> set[str]:
    """Channels that become null for this window, with the reason added to `why`."""
    dropped = set()
    n = sum(sums.n for sums in kinds.values())
    for name in _CHANNELS:
        seen = sum(sums.n for (_, nulls), sums in kinds.items() if name not in nulls)
        if n and seen == n:
            why.pop(name, None)  # a reading that ends no step may have lacked it
            continue
        enough = _CORE_SHARE * n if name in _CORE else n
        if seen == 0 or seen < enough:
            dropped.add(name)
            if name in _LATER and name not in why:
                continue
            if not n:
                why.setdefault(name, "no two readings near enough to each other")
            else:
                why.setdefault(name, f"read in {seen} of {n} steps")
    return dropped


def _totals(kept: list[_Sums], dropped: set[str], why: dict[str, str]) -> dict[str, int | None]:
    """Integrals over the covered steps; null where the channel was not observed."""
    totals: dict[str, int | None] = {}
    for name in _CHANNELS:
        known = [sums.amounts[name] for sums in kept if name in sums.amounts]
        if name in dropped or not known:
            totals[name] = None
            if name not in _LATER:
                why.setdefault(name, "no covered step")
        else:
            totals[name] = round(sum(known))
    return totals


def _more(kept: list[_Sums]) -> dict[str, int] | None:
    """Further channels over the covered steps; one that was missing in a step is left out."""
    n = sum(sums.n for sums in kept)
    names = {name for sums in kept for name in sums.more}
    whole = [name for name in sorted(names) if sum(sums.n_more.get(name, 0) for sums in kept) == n]
    return {name: round(sum(sums.more.get(name, 0.0) for sums in kept)) for name in whole} or None


def _cap(procs: list[ProcShare], busy_ms: int | None, gap_ms: int) -> list[ProcShare]:
    """Shares cut alike where they add up to more than the board was busy: NVML tells upper bounds alone."""
    told = sum(share.sm_ms for share in procs if share.sm_ms is not None)
    most = None if busy_ms is None else busy_ms + gap_ms
    if most is None or told <= most:
        return procs
    return [
        share if share.sm_ms is None else share._replace(sm_ms=share.sm_ms * most // told) for share in procs
    ]

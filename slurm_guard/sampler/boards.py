"""The node's GPUs and who holds them: readings go to the holders' windows, or to the node's own."""

from collections.abc import Callable

from slurm_guard.sampler.plausible import Plausibility
from slurm_guard.sampler.processes import Process
from slurm_guard.sampler.reading import GpuInfo, GpuProc, GpuReading
from slurm_guard.sampler.shares import Shares
from slurm_guard.sampler.windows import WindowBuilder, WindowRules
from slurm_guard.sampler.writer import Instant
from slurm_guard.wire import Window

Emit = Callable[[Window], None]


class _Hold:
    """One holder's open window of one GPU; run null: nobody's."""

    def __init__(self, builder: WindowBuilder) -> None:
        self.builder = builder
        self.shares = Shares()


class Board:
    """One GPU."""

    def __init__(self, info: GpuInfo, rules: WindowRules, window_s: float, emit: Emit) -> None:
        self.info, self.rules, self.window_s, self.emit = info, rules, window_s, emit
        self.last: GpuReading | None = None
        self.last_holder: str | None = None
        self.listed_s: float | None = None  # monotonic second of the last process list
        self.list_failed = False
        self.n_unseen = 0  # pids that NVML listed and /proc did not
        self._plausibility = Plausibility()
        self._holds: dict[str | None, _Hold] = {}

    @property
    def holders(self) -> list[str]:
        """The runs that hold this GPU now."""
        return sorted(run for run in self._holds if run is not None)

    def hold(self, run: str, at: float, now: Instant) -> None:
        """A run begins at `at` (clipped to the time since the last reading)."""
        if run in self._holds:
            return
        begin = self._instant(at, now)
        if None in self._holds:
            self._close(None, begin)
            del self._holds[None]
        self._open(run, begin)

    def release(self, run: str, now: Instant) -> None:
        """A run ends: its window closes at the last reading, or now if there was none since."""
        if run not in self._holds:
            return
        self._close(run, self._last_instant(now))
        del self._holds[run]
        self.last_holder = run

    def _open(self, run: str | None, begin: Instant) -> None:
        hold = _Hold(WindowBuilder(self.info, run, self.rules, self._plausibility))
        near = self.last is not None and begin.mono_s - self.last.mono_s <= self.rules.gap_limit_s
        hold.builder.open(begin.at, begin.mono_s, self.last if near else None)
        self._holds[run] = hold
        self._mark_shared()

    def _mark_shared(self) -> None:
        """A window is shared when it was at any time; the mark goes with its close."""
        if len(self._holds) > 1:
            for hold in self._holds.values():
                hold.builder.shared = True

    def _instant(self, at: float, now: Instant) -> Instant:
        low_s = self.last.mono_s if self.last is not None else now.mono_s
        mono_s = min(now.mono_s, max(low_s, now.mono_s - (now.at - at)))
        return Instant(now.at - (now.mono_s - mono_s), mono_s)

    def _last_instant(self, now: Instant) -> Instant:
        return Instant(self.last.at, self.last.mono_s) if self.last is not None else now

    def add(self, reading: GpuReading) -> float | None:
        """One reading for all holders. Returns the length of a stall that it ended, in seconds, else null."""
        stall_s = None
        if self.last is not None and reading.mono_s - self.last.mono_s > self.rules.gap_limit_s:
            stall_s = reading.mono_s - self.last.mono_s
            self._bridge(reading)
        if not self._holds:
            begin = Instant(reading.at, reading.mono_s)
            self._open(None, begin if self.last is None else self._last_instant(begin))
        for hold in self._holds.values():
            hold.builder.add(reading)
        self.last = reading
        return stall_s

    def _bridge(self, reading: GpuReading) -> None:
        """After a stall: close what was open where it was last seen, begin anew now; no window spans it."""
        for run, hold in self._holds.items():
            if hold.builder.n > 0:
                self._close(run, self._last_instant(Instant(reading.at, reading.mono_s)))
            hold.builder.open(reading.at, reading.mono_s)

    def share(self, listed: list[tuple[Process, GpuProc]] | None, n_unseen: int, mono_s: float) -> None:
        """The processes that NVML listed, with /proc's view of them; null: no list could be had."""
        self.list_failed, self.n_unseen = listed is None, n_unseen
        long_s = mono_s - self.listed_s if self.listed_s is not None else 0.0
        self.listed_s = mono_s
        for hold in self._holds.values():
            for process, told in listed or []:
                hold.shares.add(process, told, min(long_s, self.window_s))

    def close_due(self) -> bool:
        """Close the windows that are full; whether there was one."""
        if self.last is None:
            return False
        closed = False
        for run, hold in self._holds.items():
            if self.last.mono_s - hold.builder.start_mono_s >= self.window_s - self.rules.interval_s / 2:
                self._close(run, Instant(self.last.at, self.last.mono_s))
                closed = True
        return closed

    def close_all(self, now: Instant) -> None:
        """Close every window and begin anew at the next reading."""
        for run, hold in self._holds.items():
            if hold.builder.n > 0:
                self._close(run, self._last_instant(now))
        self.last = None

    def resume(self, now: Instant) -> None:
        """After a pause: windows begin now."""
        for hold in self._holds.values():
            hold.builder.open(now.at, now.mono_s)

    def _close(self, run: str | None, end: Instant) -> None:
        hold = self._holds[run]
        if end.mono_s <= hold.builder.start_mono_s:
            return
        procs, truncated = hold.shares.take()
        window = hold.builder.close(end.at, end.mono_s, procs, truncated)
        hold.builder.shared = len(self._holds) > 1
        if self.list_failed:
            window.why["procs"] = "NVML gave no process list"
        elif self.n_unseen:
            window.why["procs"] = f"{self.n_unseen} processes on the GPU are not in /proc"
        self.emit(window)


def resolve(indices: list[int] | None, infos: list[GpuInfo]) -> list[str] | None:
    """UUIDs of GRES indices: the n-th device file, which is the n-th minor; null: an index has no GPU.

    With MIG the GRES are the instances in NVML's order (AutoDetect's); minors repeat there.
    """
    if indices is None:
        return []
    order = infos
    if all(info.mig is None and info.minor is not None for info in infos):
        order = sorted(infos, key=lambda info: info.minor if info.minor is not None else 0)
    if any(not 0 <= index < len(order) for index in indices):
        return None
    return [order[index].uuid for index in indices]

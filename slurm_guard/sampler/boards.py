"""The node's GPUs and who holds them: readings go to the holders' windows, or to the node's own."""

from __future__ import annotations

from slurm_guard.light import Any, Callable, NamedTuple
from slurm_guard.sampler.held import HeldSeen
from slurm_guard.sampler.plausible import Plausibility
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.reading import GpuInfo, GpuProc, GpuReading
from slurm_guard.sampler.shares import Shares
from slurm_guard.sampler.windows import WindowBuilder, WindowRules
from slurm_guard.sampler.writer import Instant
from slurm_guard.wire import Window

Emit = Callable[[Window], None]
_CUMULATIVE = ("energy_mj", "sm_cycles", "pcie_tx_b", "pcie_rx_b", "nvlink_tx_b", "nvlink_rx_b")
_MOST_PAST = 64  # ended holds whose touch nobody asked for yet: judgement
_RELEASE, _HOLD = 0, 1


class Touch(NamedTuple):
    """What was ever seen of anybody's on a GPU while a run held it. Null: never observed."""

    held_s: float
    n_lists: int  # process lists that could be had
    n_failed: int
    n_procs: int  # entries of those lists
    busy_most_pct: float | None
    n_unread: int  # readings without utilisation

    @property
    def is_untouched(self) -> bool:
        """No process and no work was ever seen, and nothing was hidden from us but single readings."""
        idle = self.busy_most_pct is None or self.busy_most_pct == 0
        return idle and self.n_procs == 0 and self.n_failed == 0

    def detail(self) -> dict[str, Any]:
        """For the event."""
        return {
            "held_s": round(self.held_s, 1),
            "n_lists": self.n_lists,
            "busy_most_pct": self.busy_most_pct,
            "n_unread": self.n_unread,
        }


class _Hold:
    """One holder's open window of one GPU; run null: nobody's. `shared`: by its ticket others may be."""

    def __init__(self, builder: WindowBuilder, begin_s: float, *, shared: bool) -> None:
        self.builder, self.begin_s, self.shared = builder, begin_s, shared
        self.shares = Shares()
        self.held = HeldSeen(builder.run)
        self.touch = Touch(0.0, 0, 0, 0, None, 0)


class _Change(NamedTuple):
    """A hold or a release that takes effect inside the step that the next reading ends."""

    mono_s: float
    kind: int
    run: str
    shared: bool


class Board:
    """One GPU. `sure`: (run, GPU) -> how sure that it is the run's, for its windows."""

    def __init__(
        self,
        info: GpuInfo,
        rules: WindowRules,
        window_s: float,
        emit: Emit,
        sure: Callable[[str, str], str | None] = lambda _run, _gpu: None,
    ) -> None:
        self.info, self.rules, self.window_s, self.emit, self.sure = info, rules, window_s, emit, sure
        self.last: GpuReading | None = None
        self.last_holder: str | None = None
        self.listed_s: float | None = None  # monotonic second of the last process list
        self.list_failed = False
        self.n_unseen = 0  # pids that NVML listed and /proc did not
        self._plausibility = Plausibility()
        self._holds: dict[str | None, _Hold] = {}
        self._changes: list[_Change] = []
        self._past: dict[str, Touch] = {}

    # -- who holds it

    @property
    def holders(self) -> list[str]:
        """The runs that hold this GPU now; what waits for the next reading counts."""
        held = {run for run in self._holds if run is not None}
        for change in self._changes:
            (held.add if change.kind == _HOLD else held.discard)(change.run)
        return sorted(held)

    def hold(self, run: str, at: float, now: Instant, *, shared: bool = False) -> None:
        """A run begins at `at` (clipped to the time since the last reading)."""
        if run not in self.holders:
            self._changes.append(_Change(self._mono_s(at, now), _HOLD, run, shared))

    def release(self, run: str, at: float, now: Instant) -> None:
        """A run ends at `at`: its window ends there, pro rata of the step between two readings."""
        if run not in self.holders:
            return
        self.last_holder = run
        mono_s = self._mono_s(at, now)
        begun = [change for change in self._changes if change.run == run]
        if begun and begun[-1].mono_s >= mono_s:  # begun and ended before we looked: nothing was seen of it
            self._changes = [change for change in self._changes if change.run != run]
        else:
            self._changes.append(_Change(mono_s, _RELEASE, run, shared=False))

    def _mono_s(self, at: float, now: Instant) -> float:
        low_s = self.last.mono_s if self.last is not None else now.mono_s
        return min(now.mono_s, max(low_s, now.mono_s - (now.at - at)))

    def close_run(self, run: str) -> Touch | None:
        """The run's last window is written, whatever comes; what was seen while it held the GPU."""
        if self.last is not None and any(c.run == run and c.kind == _RELEASE for c in self._changes):
            self._apply(self.last, [change for change in self._changes if change.run == run])
            self._changes = [change for change in self._changes if change.run != run]
        return self._past.pop(run, None)

    # -- readings

    def add(self, reading: GpuReading) -> float | None:
        """One reading for all holders. Returns the length of a stall that it ended, in seconds, else null."""
        stall_s = None
        last = self.last
        changes, self._changes = sorted(self._changes), []
        if last is not None and reading.mono_s - last.mono_s > self.rules.gap_limit_s:
            stall_s = reading.mono_s - last.mono_s
            self._apply(last, [change for change in changes if change.kind == _RELEASE])
            self._bridge(reading)
            changes = [change for change in changes if change.kind == _HOLD]
            last = None
        late = []
        for change in changes:
            if last is None:
                self._apply(reading, [change], last=False)
            elif change.mono_s < reading.mono_s:
                part = between(last, reading, change.mono_s)
                for hold in self._holds.values():
                    hold.builder.step_to(part)
                self._apply(part, [change])
            else:
                late.append(change)
        if not self._holds:
            self._open(None, self.last if self.last is not None and last is not None else reading)
        for hold in self._holds.values():
            hold.builder.add(reading)
            hold.touch = _read(hold.touch, reading)
        self.last = reading
        self._apply(reading, late)
        return stall_s

    def _apply(self, here: GpuReading, changes: list[_Change], *, last: bool = True) -> None:
        """Holds and releases at one moment; `last`: the first step builds on the reading `here`."""
        for change in changes:
            if change.kind == _HOLD and change.run not in self._holds:
                if None in self._holds:
                    self._end(None, here)
                self._open(change.run, here, shared=change.shared, last=last)
            elif change.kind == _RELEASE and change.run in self._holds:
                self._end(change.run, here)
                if not self._holds:
                    self._open(None, here)

    def _open(self, run: str | None, here: GpuReading, *, shared: bool = False, last: bool = True) -> None:
        builder = WindowBuilder(self.info, run, self.rules, self._plausibility)
        hold = _Hold(builder, here.mono_s, shared=shared)
        hold.builder.open(here.at, here.mono_s, here if last else None)
        hold.builder.shared = shared
        self._holds[run] = hold
        if len(self._holds) > 1:  # a window is shared when it was at any time; the mark goes with its close
            for other in self._holds.values():
                other.builder.shared = True

    def _end(self, run: str | None, here: GpuReading) -> None:
        """A holder leaves: its window closes here."""
        self._close(run, Instant(here.at, here.mono_s))
        hold = self._holds.pop(run)
        if run is not None:
            self._past[run] = hold.touch._replace(held_s=here.mono_s - hold.begin_s)
            while len(self._past) > _MOST_PAST:
                self._past.pop(next(iter(self._past)))

    def _bridge(self, reading: GpuReading) -> None:
        """After a stall: close what was open where it was last seen, begin anew now; no window spans it."""
        for run, hold in self._holds.items():
            if hold.builder.n > 0:
                self._close(run, self._last_instant(Instant(reading.at, reading.mono_s)))
            hold.builder.open(reading.at, reading.mono_s)

    def _last_instant(self, now: Instant) -> Instant:
        return Instant(self.last.at, self.last.mono_s) if self.last is not None else now

    def share(self, listed: list[tuple[Process, GpuProc]] | None, n_unseen: int, mono_s: float) -> None:
        """The processes that NVML listed, with /proc's view of them; null: no list could be had."""
        self.list_failed, self.n_unseen = listed is None, n_unseen
        long_s = mono_s - self.listed_s if self.listed_s is not None else 0.0
        self.listed_s = mono_s
        for hold in self._holds.values():
            hold.touch = _list(hold.touch, None if listed is None else len(listed) + n_unseen)
            held_s = max(0.0, mono_s - hold.begin_s)
            for process, told in listed or []:
                hold.shares.add(process, told, min(long_s, self.window_s, held_s))

    def note_holders(self, holders: list[Process], unlisted: list[Process], *, whole: bool) -> None:
        """Who has the GPU's device file open: all of them, and those that NVML should list and does not."""
        for hold in self._holds.values():
            hold.held.add(holders, unlisted, whole=whole)

    # -- windows

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
        if self.last is not None:
            self._apply(self.last, [change for change in self._changes if change.kind == _RELEASE])
        self._changes = [change for change in self._changes if change.kind == _HOLD]
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
        hold.builder.shared = hold.shared or len(self._holds) > 1
        if self.list_failed:
            window.why["procs"] = "NVML gave no process list"
        elif self.n_unseen:
            window.why["procs"] = f"{self.n_unseen} processes on the GPU are not in /proc"
        window = hold.held.take(window)
        self.emit(window._replace(map=self.sure(run, self.info.uuid) if run is not None else None))


def between(before: GpuReading, after: GpuReading, mono_s: float) -> GpuReading:
    """A reading made up inside a step that is no gap: counters pro rata, the rates are the step's."""
    share = (mono_s - before.mono_s) / (after.mono_s - before.mono_s)
    if share <= 0:
        return before
    counters: dict[str, Any] = {
        name: _pro_rata(getattr(before, name), getattr(after, name), share) for name in _CUMULATIVE
    }
    more, old = getattr(after, "more", None), getattr(before, "more", None)
    if isinstance(more, dict) and isinstance(old, dict):
        parts = {name: _pro_rata(old.get(name), value, share) for name, value in more.items()}
        counters["more"] = {name: value for name, value in parts.items() if value is not None}
    return after._replace(at=after.at - (after.mono_s - mono_s), mono_s=mono_s, **counters)


def _pro_rata(low: int | None, high: int | None, share: float) -> int | None:
    """Null where one end is missing or the counter went back: the step is broken for this channel."""
    if low is None or high is None or high < low:
        return None
    return low + round((high - low) * share)


def _read(touch: Touch, reading: GpuReading) -> Touch:
    if reading.util_pct is None:
        return touch._replace(n_unread=touch.n_unread + 1)
    most = reading.util_pct if touch.busy_most_pct is None else max(touch.busy_most_pct, reading.util_pct)
    return touch._replace(busy_most_pct=most)


def _list(touch: Touch, n: int | None) -> Touch:
    if n is None:
        return touch._replace(n_failed=touch.n_failed + 1)
    return touch._replace(n_lists=touch.n_lists + 1, n_procs=touch.n_procs + n)

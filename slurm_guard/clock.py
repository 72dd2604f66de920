"""Time as a seam: wall and monotonic seconds together, so that tests never sleep."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks and a way to wait. Instants are UTC epoch seconds, durations seconds."""

    def now_at(self) -> float:
        """Wall time, UTC epoch seconds; may step."""
        ...

    def mono_s(self) -> float:
        """Monotonic seconds since an arbitrary origin; never steps, counts through suspend."""
        ...

    def sleep(self, duration_s: float) -> None:
        """Wait; returns at once for zero or negative durations."""
        ...


class SystemClock:
    """The machine's clocks (CLOCK_BOOTTIME, so that a suspended node shows its gap)."""

    def now_at(self) -> float:
        return time.time()

    def mono_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, duration_s: float) -> None:
        if duration_s > 0:
            time.sleep(duration_s)


class FakeClock:
    """A clock that tests and the simulator turn by hand; `step_s` moves wall time alone."""

    def __init__(self, at: float = 1_780_000_000.0) -> None:
        self._at = at
        self._mono = 1000.0

    def now_at(self) -> float:
        return self._at

    def mono_s(self) -> float:
        return self._mono

    def sleep(self, duration_s: float) -> None:
        if duration_s > 0:
            self._at += duration_s
            self._mono += duration_s

    def step_s(self, delta_s: float) -> None:
        """Step the wall clock alone, as ntpd or an admin would."""
        self._at += delta_s

"""Time as a seam: wall and monotonic seconds together, so that tests never sleep."""

from __future__ import annotations

import time

from slurm_guard.light import Protocol

SLEW_S = 0.5  # between two looks at most: ntpd and chronyd slew by 0.5 ms a second. Judgement
HOLD_S = 60.0  # judgement: a window's length; a clock that was set right stays so


class Clock(Protocol):
    """Two clocks and a way to wait. Instants are UTC epoch seconds, durations seconds."""

    def now_at(self) -> float:
        """Wall time, UTC epoch seconds; may step."""

    def mono_s(self) -> float:
        """Monotonic seconds since an arbitrary origin; never steps, counts through suspend."""

    def sleep(self, duration_s: float) -> None:
        """Wait; returns at once for zero or negative durations."""


class SystemClock:
    """The machine's clocks (CLOCK_BOOTTIME, so that a suspended node shows its gap)."""

    def now_at(self) -> float:
        return time.time()

    def mono_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, duration_s: float) -> None:
        if duration_s > 0:
            time.sleep(duration_s)


class SteadyClock:
    """Wall time that does not jump with the machine's clock: a step is followed when it has lasted.

    A clock that is set wrong and soon set right again would otherwise spread its error over every record of
    that time, and a log's own times, which did not jump, would seem to be forged.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._off_at = clock.now_at() - clock.mono_s()  # wall time at the monotonic origin
        self._odd_since_s: float | None = None
        self.steps: list[tuple[float, bool]] = []  # (seconds, followed); whoever tells them takes them out

    def now_at(self) -> float:
        now_s = self._clock.mono_s()
        off_s = self._clock.now_at() - now_s - self._off_at
        if abs(off_s) <= SLEW_S:
            self._odd_since_s = None
        elif self._odd_since_s is None:
            self._odd_since_s = now_s
            self.steps.append((off_s, False))
            return self._off_at + now_s
        elif now_s - self._odd_since_s < HOLD_S:
            return self._off_at + now_s
        else:
            self._odd_since_s = None
            self.steps.append((off_s, True))
        self._off_at += off_s
        return self._off_at + now_s

    def mono_s(self) -> float:
        return self._clock.mono_s()

    def sleep(self, duration_s: float) -> None:
        self._clock.sleep(duration_s)


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

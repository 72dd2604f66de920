"""What the readings of an open window said, added up: kept whole, those of eight GPUs are 0.4 MB."""

from __future__ import annotations

import struct

from slurm_guard.sampler.reading import GpuReading
from slurm_guard.sampler.rhythm import Look

_MEANS = ("power_mw", "power_inst_mw", "sm_clock_mhz")
_MOSTS = ("mem_used_mib", "temp_c")
_LOOK = struct.Struct("ddd")
_NULL = float("nan")  # no reading has it as a value: it would not be believed


class Seen:
    """Of one window. Every answer is null where no reading had a value."""

    __slots__ = ("_bits", "_last_why", "_looks", "_mosts", "_sums", "n", "why")

    def __init__(self) -> None:
        self.n = 0
        self.why: dict[str, str] = {}  # reading's field -> why it was null, as it was last told
        self._last_why: dict[str, str] | None = None  # readings share it while nothing changes
        self._looks = bytearray()
        self._sums: dict[str, tuple[int, int]] = {}  # field -> (values, their sum)
        self._mosts: dict[str, int] = {}
        self._bits: int | None = None

    def add(self, reading: GpuReading) -> None:
        """One more reading."""
        self.n += 1
        power_mw, util_pct = reading.power_mw, reading.util_pct
        self._looks += _LOOK.pack(
            reading.mono_s,
            _NULL if power_mw is None else power_mw,
            _NULL if util_pct is None else util_pct,
        )
        for name in _MEANS:
            value = getattr(reading, name)
            if value is not None:
                n, total = self._sums.get(name, (0, 0))
                self._sums[name] = (n + 1, total + value)
        for name in _MOSTS:
            value = getattr(reading, name)
            if value is not None:
                self._mosts[name] = max(value, self._mosts.get(name, value))
        if reading.throttle is not None:
            self._bits = reading.throttle | (self._bits or 0)
        if reading.why is not self._last_why:
            self._last_why = reading.why
            self.why.update(reading.why)

    def mean(self, name: str) -> int | None:
        """Of power_mw, power_inst_mw or sm_clock_mhz."""
        n, total = self._sums.get(name, (0, 0))
        return round(total / n) if n else None

    def most(self, name: str) -> int | None:
        """Of mem_used_mib or temp_c."""
        return self._mosts.get(name)

    @property
    def throttle(self) -> int | None:
        """Every reason that was given."""
        return self._bits

    def looks(self) -> list[Look]:
        """For the rhythm, in order."""
        return [
            (mono_s, None if power_mw != power_mw else power_mw, None if util_pct != util_pct else util_pct)
            for mono_s, power_mw, util_pct in _LOOK.iter_unpack(self._looks)
        ]

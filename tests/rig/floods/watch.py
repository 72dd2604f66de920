"""The sampler under a flood, seen from outside: CPU, memory, and how long it works at a stretch."""

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

_POLL_S = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What it took. `longest_*`: from one sleep to the next: a look at the tables, or a round of readings."""

    cpu_pct: float  # of one core, children that ended among it
    worst_10s_pct: float
    pss_mib: float  # peak of the sampler with its children
    longest_cpu_s: float
    longest_wall_s: float


class Watch(threading.Thread):
    """Follows one process until `over` is set."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.over = pid, threading.Event()
        self.died = False
        self._cpu: list[tuple[float, float]] = []  # (when, CPU seconds of all)
        self._pss_kib = 0
        self._longest = (0.0, 0.0)

    def run(self) -> None:
        """Poll: a stretch begins when it is first seen not to sleep, and ends when it sleeps again."""
        begun: tuple[float, float] | None = None
        next_s = 0.0
        while not self.over.is_set():
            now_s = time.monotonic()
            with contextlib.suppress(OSError):
                cells = Path(f"/proc/{self.pid}/stat").read_text("latin-1").rpartition(")")[2].split()
                ran_s = int(Path(f"/proc/{self.pid}/schedstat").read_text("ascii").split()[0]) / 1e9
                if cells[0] == "S":
                    begun = None
                elif begun is None:
                    begun = (now_s, ran_s)
                else:
                    self._longest = max(self._longest, (ran_s - begun[1], now_s - begun[0]))
                if now_s >= next_s:
                    next_s = now_s + 1.0
                    self._look(now_s, sum(int(cell) for cell in cells[11:15]) / _TICKS)
            self.died = self.died or not Path(f"/proc/{self.pid}").exists()
            time.sleep(_POLL_S)

    def _look(self, now_s: float, cpu_s: float) -> None:
        pss_kib = 0
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("ascii").split()
        for pid in (str(self.pid), *children):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
                pss_kib += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
                if pid != str(self.pid):
                    cells = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
                    cpu_s += sum(int(cell) for cell in cells[11:13]) / _TICKS
        self._pss_kib = max(self._pss_kib, pss_kib)
        self._cpu.append((now_s, cpu_s))

    def cost(self) -> Cost:
        """After its end."""
        if len(self._cpu) < 2:
            return Cost(0.0, 0.0, 0.0, 0.0, 0.0)
        (first_s, first), (last_s, last) = self._cpu[0], self._cpu[-1]
        worst = 0.0
        for i, (at_s, used_s) in enumerate(self._cpu):
            later = next((one for one in self._cpu[i:] if one[0] >= at_s + 10.0), None)
            if later is not None:
                worst = max(worst, (later[1] - used_s) / (later[0] - at_s))
        share = (last - first) / (last_s - first_s)
        return Cost(100 * share, 100 * worst, self._pss_kib / 1024, *self._longest)

"""The sampler's pulse: a file that prolog and admins look at, and notifications where systemd listens."""

from __future__ import annotations

import os
import time

from slurm_guard.light import Any, Callable
from slurm_guard.sampler import datagram
from slurm_guard.sampler.whole import write_public
from slurm_guard.sampler.writer import Instant

EVERY_S = 10.0
BEAT_FILE = "beat"


def read_boot_s() -> float:
    """CLOCK_BOOTTIME: as process starts in /proc, and through a suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Notify:
    """systemd's sd_notify by hand: one datagram to NOTIFY_SOCKET. Without one nothing is sent."""

    def __init__(self, address: str | None) -> None:
        self.address = address

    def send(self, *words: str) -> bool:
        """`READY=1` and the like; false: nobody listens. Never waits."""
        if not self.address:
            return False
        where = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            datagram.send("\n".join(words).encode("ascii", "replace"), where)
        except (OSError, ValueError):
            return False
        return True


class Beat:
    """Every ten seconds of a loop that turns. A loop that hangs or is stopped beats no more."""

    def __init__(
        self,
        folder: str,
        notify: Notify,
        status: Callable[[], str],
        boot_s: Callable[[], float] = read_boot_s,
    ) -> None:
        self.path = os.path.join(folder, BEAT_FILE)
        self.notify, self.status, self.boot_s = notify, status, boot_s
        self.n_failed = 0
        self._next_s: float | None = None
        self._ready = False

    def tick(self, now: Instant) -> None:
        """Beat if it is due. The file holds seconds since boot: no set clock makes it look old or young."""
        if self._next_s is not None and now.mono_s < self._next_s:
            return
        self._next_s = now.mono_s + EVERY_S
        if not write_public(self.path, f"{self.boot_s():.1f}\n"):
            self.n_failed += 1
        words = ["WATCHDOG=1", f"STATUS={self.status()}"]
        self.notify.send(*(words if self._ready else ["READY=1", *words]))
        self._ready = True

    def tell(self) -> dict[str, Any]:
        """How often the file could not be written, and whether systemd listens."""
        return {"n_failed": self.n_failed, "notify": self.notify.address is not None}

    def close(self, now: Instant) -> None:
        """The file goes with the sampler: an old beat means a sampler that did not say goodbye."""
        self.notify.send("STOPPING=1")
        try:
            os.unlink(self.path)
        except OSError:
            pass


def read_age_s(folder: str, boot_s: float) -> float | None:
    """Seconds since the last beat; null: there is none, or it is of another boot."""
    try:
        with open(os.path.join(folder, BEAT_FILE), encoding="ascii") as text:
            age_s = boot_s - float(text.read(64))
    except (OSError, ValueError):
        return None
    return max(age_s, 0.0) if age_s > -1 else None  # the file is rounded

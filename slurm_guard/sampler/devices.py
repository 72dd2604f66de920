"""Network devices that a process carries packets for (tun, tap): `ssh -w`, VPNs.

What goes through a device and what the process sends outwards are the two sides of a relay; who of them began
is not known.
"""

from __future__ import annotations

import os

from slurm_guard.light import NamedTuple
from slurm_guard.networks import LOOPBACK
from slurm_guard.sampler.moved import Moved
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.relays import DEVICE

MOST_FDS = 256  # of one process. Judgement: a device is opened early
MOST_PROCESSES = 32  # whose descriptors are read in one look. Judgement
MOST_HELD = 4  # devices of one process. Judgement
AGAIN_S = 60.0  # a process is asked again after as long as it is known, at most this
_TUN = "/dev/net/tun"
_FIRST = -(1 << 74)  # below every connection's and place's name


class _Held(NamedTuple):
    since_s: float
    asked_s: float
    devices: tuple[str, ...]


class Devices:
    """Which processes carry packets for which device, and what the devices' counters say."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        self._held: dict[tuple[int, int], _Held] = {}
        self._counts: dict[tuple[tuple[int, int], str], tuple[int, int, int, int]] = {}
        self._n_asked, self._look_s = 0, -1.0

    def moved(self, process: Process, netns: int | None, mono_s: float) -> list[Moved]:
        """What went through the process's devices since the last look. `netns`: null: the node's own."""
        devices = self._devices(process, mono_s)
        if not devices:
            return []
        text = self.proc.read_all(f"{process.pid}/net/dev", 1 << 16) or ""
        found = []
        for name, counts in _counters(text, devices):
            if netns is None and not self._is_tunnel(name):
                continue  # of the same name in another namespace: a rootless network helper's
            before = self._counts.get((process.key, name))
            self._counts[process.key, name] = counts
            if before is not None and all(now >= old for now, old in zip(counts, before, strict=True)):
                got = [now - old for now, old in zip(counts, before, strict=True)]
                ident = _FIRST - (process.pid << 8) - devices.index(name)
                words = DEVICE + name
                # what the process wrote is what the kernel received
                found.append(Moved(ident, LOOPBACK, got[0], got[2], got[1], got[3], None, None, words, words))
        return found

    def forget_gone(self, alive: set[tuple[int, int]]) -> None:
        """Processes that are no longer there."""
        self._held = {key: held for key, held in self._held.items() if key in alive}
        self._counts = {key: counts for key, counts in self._counts.items() if key[0] in alive}

    def _devices(self, process: Process, mono_s: float) -> tuple[str, ...]:
        """Asked in the first looks at a process, and then more and more rarely."""
        if mono_s != self._look_s:
            self._look_s, self._n_asked = mono_s, 0
        held = self._held.get(process.key)
        if held is not None and mono_s - held.asked_s < min(AGAIN_S, held.asked_s - held.since_s):
            return held.devices
        if self._n_asked >= MOST_PROCESSES:
            return () if held is None else held.devices
        self._n_asked += 1
        devices: list[str] = []
        fds = self.proc.fds(process.pid, MOST_FDS)
        for fd, text in () if fds is None else fds[0]:
            if text == _TUN and len(devices) < MOST_HELD:
                info = self.proc.read(process.pid, f"fdinfo/{fd}", 1024) or ""
                devices += [line[4:].strip() for line in info.splitlines() if line.startswith("iff:")]
        since_s = mono_s if held is None else held.since_s
        self._held[process.key] = _Held(since_s, mono_s, tuple(name for name in devices if name))
        return self._held[process.key].devices

    def _is_tunnel(self, name: str) -> bool:
        return "/" not in name and os.path.exists(f"/sys/class/net/{name}/tun_flags")


def _counters(text: str, wanted: tuple[str, ...]) -> list[tuple[str, tuple[int, int, int, int]]]:
    """(device, (bytes and packets received, bytes and packets sent)) from /proc/PID/net/dev."""
    found = []
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        cells = rest.split()
        if colon and name.strip() in wanted and len(cells) >= 10:
            received, sent = (int(cells[0]), int(cells[1])), (int(cells[8]), int(cells[9]))
            found.append((name.strip(), (*received, *sent)))
    return found

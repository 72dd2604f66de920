"""A link between two network namespaces whose packets take their time: what is outside is not next door.

Two TAP devices, one at each end, and a process that hands packets from one to the other, each as much later
as the way is long. In netem's place, which not every kernel has.

python distance.py PID HERE THERE RTT_MS   to the network namespace of a process, until it is ended
"""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

_TUNSETIFF, _TAP_NO_PI = 0x400454CA, 0x1002
_MOST_B = 2048  # of a packet: devices have 1,500
_MOST_WAITING = 20_000  # packets of one way: beyond that they are lost, as on any line


def _open(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", name.encode(), _TAP_NO_PI))
    return end


def _open_in(netns: str, name: str) -> int:
    """In another namespace, by its path; this thread comes back."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(netns, os.O_RDONLY)
    try:
        _setns(there)
        try:
            return _open(name)
        finally:
            _setns(here)
    finally:
        os.close(here)
        os.close(there)


def _setns(namespace: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(namespace, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def distance(netns: str, ends: tuple[str, str], rtt_s: float) -> Iterator[None]:
    """The devices `ends`, here and there, until this is left. Addresses are the caller's to give."""
    here, there = _open(ends[0]), _open_in(f"/run/netns/{netns}", ends[1])
    child = os.fork()
    if child == 0:
        try:
            _carry(here, there, rtt_s / 2)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(here)
        os.close(there)


def _carry(here: int, there: int, way_s: float) -> None:
    ways = ((here, there, deque[tuple[float, bytes]]()), (there, here, deque[tuple[float, bytes]]()))
    poll = select.poll()
    for end in (here, there):
        poll.register(end, select.POLLIN)
    while True:
        now_s = time.monotonic()
        due_s = min((way[0][0] for _, _, way in ways if way), default=now_s + 1)
        poll.poll(max(0.0, 1000 * (due_s - now_s)))
        now_s = time.monotonic()
        for source, _, way in ways:
            _take(source, way, now_s + way_s)
        for _, target, way in ways:
            while way and way[0][0] <= now_s:
                _give(target, way.popleft()[1])


def _take(source: int, way: deque[tuple[float, bytes]], at_s: float) -> None:
    for _ in range(256):
        try:
            packet = os.read(source, _MOST_B)
        except OSError:
            return
        if len(way) < _MOST_WAITING:
            way.append((at_s, packet))


def _give(target: int, packet: bytes) -> None:
    try:
        os.write(target, packet)
    except OSError:
        return


def main(pid: str, here: str, there: str, rtt_ms: str) -> None:
    """Both devices, and what goes between them."""
    far = _open_in(f"/proc/{pid}/ns/net", there)  # first: who waits for the near one finds both
    _carry(_open(here), far, float(rtt_ms) / 2000)


if __name__ == "__main__":
    main(*sys.argv[1:])

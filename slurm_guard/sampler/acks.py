"""What collectors say they have: lines of `collected/*.list`, kept as numbers, for a spool has many files."""

import os
import stat
import struct
from heapq import merge
from itertools import islice

from slurm_guard.light import Iterator, Sequence
from slurm_guard.sampler.writer import COLLECTED

MOST_LISTS = 8
MOST_LINES = 1 << 17  # a spool of two weeks with 1,000 jobs a day has 70,000 files. 1 MiB; judgement
PORTION = 2048  # lines between two yields: about 1 ms


class Acks:
    """`read` a little at a time, then ask `has`. More than MOST_LINES: the rest counts as not collected."""

    def __init__(self, spool: str) -> None:
        self._folder = os.path.join(spool, COLLECTED)
        self._keys: Sequence[int] = ()

    def read(self) -> Iterator[None]:
        """Yields between portions. The folder may be another user's to write: nothing in it is trusted."""
        sorted_parts: list[Sequence[int]] = []
        for path in self._lists():
            yield from self._read_list(path, sorted_parts)
        merged = merge(*sorted_parts)
        keys = bytearray()
        while part := list(islice(merged, PORTION)):
            keys += _pack(part)
            yield
        self._keys = memoryview(keys).cast("q") if keys else ()

    def has(self, kind: str, name: str, size_b: int) -> bool:
        """Whether a collector has this file with this size."""
        key = hash(f"{kind}/{name} {size_b}".encode("utf-8", "surrogateescape"))
        low, high = 0, len(self._keys)
        while low < high:
            middle = (low + high) // 2
            if self._keys[middle] < key:
                low = middle + 1
            else:
                high = middle
        return low < len(self._keys) and self._keys[low] == key

    def _lists(self) -> list[str]:
        try:
            names = sorted(os.listdir(self._folder))
        except OSError:
            return []
        lists = [name for name in names if name.endswith(".list") and not name.startswith(".")]
        return [os.path.join(self._folder, name) for name in lists[:MOST_LISTS]]

    def _read_list(self, path: str, parts: list[Sequence[int]]) -> Iterator[None]:
        """Hashes by a key that only this process knows: texts, or even a list of numbers, cost megabytes."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return
        with os.fdopen(fd, "rb") as lines:
            while len(parts) < MOST_LINES // PORTION:
                some = [lines.readline(1024) for _ in range(PORTION)]
                hashes = sorted(hash(line.rstrip(b"\n")) for line in some if line)
                if hashes:
                    parts.append(memoryview(_pack(hashes)).cast("q"))
                if not some[-1]:
                    return
                yield


def _pack(numbers: list[int]) -> bytes:
    """As `array`, which would load `collections`, keeps them: 8 bytes each."""
    return struct.pack(f"{len(numbers)}q", *numbers)

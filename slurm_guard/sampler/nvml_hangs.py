"""GPUs at which NVML hung: left out for a while, longer each time, and doubted until they answer."""

import subprocess
from typing import NamedTuple

LEAST_OUT_S, MOST_OUT_S = 60.0, 3600.0  # that a GPU is left out after a hang, doubling: judgement


class Hang(NamedTuple):
    """A GPU that is left out."""

    until_s: float
    n: int  # hangs before this one
    child: "subprocess.Popen[bytes] | None"  # that hangs at it still; null: it is gone
    since_s: float  # the first of a row


class Hangs:
    """By NVML index; seconds are the sampler's own."""

    def __init__(self) -> None:
        self.doubted: set[int] = set()  # hung, and did not answer since
        self._hangs: dict[int, Hang] = {}

    def note(self, index: int, now_s: float, child: "subprocess.Popen[bytes] | None") -> int:
        """It hung; how often it was left out before, lately."""
        before = self._hangs.get(index)
        n = 0 if before is None or now_s - before.until_s > MOST_OUT_S else before.n + 1
        since_s = before.since_s if before is not None and index in self.doubted else now_s
        self._hangs[index] = Hang(now_s + min(MOST_OUT_S, LEAST_OUT_S * 2**n), n, child, since_s)
        self.doubted.add(index)
        return n

    def clear(self, index: int) -> float | None:
        """It answers. Returns since when it had not; null: it was not doubted."""
        if index not in self.doubted:
            return None
        self.doubted.discard(index)
        return self._hangs[index].since_s

    def is_out(self, index: int, now_s: float, stuck: "list[subprocess.Popen[bytes]]") -> bool:
        """Whether a GPU is not to be touched: it hung lately, or a child hangs at it still."""
        hang = self._hangs.get(index)
        return hang is not None and (now_s < hang.until_s or (hang.child is not None and hang.child in stuck))

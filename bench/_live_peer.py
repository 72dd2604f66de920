"""A measured peer, run by its path: its name and the seconds between readings. It imports next to nothing."""

from __future__ import annotations

import importlib
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _nvitop(interval_s: float) -> None:
    nvitop = importlib.import_module("nvitop")
    collector = nvitop.ResourceMetricCollector(nvitop.Device.all(), interval=interval_s)
    with collector(tag="bench"):
        _every(interval_s, collector.collect)


def _gpustat(interval_s: float) -> None:
    gpustat = importlib.import_module("gpustat")
    _every(interval_s, gpustat.new_query)


def _every(interval_s: float, call: Callable[[], object]) -> None:
    """At the rate that is asked for, however long the call takes."""
    next_s = time.monotonic()
    while True:
        call()
        next_s = max(next_s + interval_s, time.monotonic())
        time.sleep(max(0.0, next_s - time.monotonic()))


if __name__ == "__main__":
    {"nvitop": _nvitop, "gpustat": _gpustat}[sys.argv[1]](float(sys.argv[2]))

"""What a piece of work took, said as one line of JSON. Imports nothing but the standard library."""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def say(work: Callable[[], None]) -> None:
    """Do it. CPU seconds of all threads; the peak is the whole process's, with all that it imported."""
    cpu_s, begun_s = _cpu_s(), time.perf_counter()
    work()
    took = {"wall_s": time.perf_counter() - begun_s, "cpu_s": _cpu_s() - cpu_s}
    sys.stdout.write(json.dumps({**took, "peak_mib": _peak_mib()}) + "\n")


def _peak_mib() -> float:
    """getrusage's peak counts what the parent held at the fork; this one is the program's own."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no VmHWM in /proc/self/status")

"""A step in a process of its own: its time and its peak memory are nobody else's."""

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")


def apart(step: Callable[[], T]) -> tuple[T, float]:
    """(What the step returns, the peak memory of its process in MiB). Raises what the step raised, and
    BrokenProcessPool where its process was killed."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_watched, step).result()


def _watched(step: Callable[[], T]) -> tuple[T, float]:
    result = step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return result, peak / (1024 if sys.platform == "linux" else 1 << 20)

"""Python's search for objects that refer to each other, left off where it finds nothing and costs a fifth."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Meanwhile nothing is searched for: what nobody refers to goes all the same, at once.

    For work that makes many plain objects and ends. Afterwards it is as it was before.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()

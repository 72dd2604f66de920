"""Pushing open segments to the disk in a child: a disk under load makes whoever syncs wait for many seconds.

The page cache outlives the sampler; the sync is for a node that loses power. So nothing waits for it: while
one child is at it, the next is not begun.
"""

from __future__ import annotations

import os

from slurm_guard.sampler import children
from slurm_guard.sampler.children import Child

NAME = "guard-sync"


class Syncing:
    """At most one child, which syncs files by their names and leaves."""

    def __init__(self) -> None:
        self._child: Child | None = None

    def begin(self, paths: list[str]) -> bool:
        """Sync these files; false: one is at it, or none can be forked."""
        if self.busy or not paths:
            return False
        try:
            self._child = children.fork(NAME, lambda _into, _out: _sync(paths))
        except OSError:
            return False
        return True

    @property
    def busy(self) -> bool:
        """Whether a child is at it; one that is done is collected."""
        if self._child is not None and self._child.poll() is not None:
            self._child.kill()  # its pipes are closed
            self._child = None
        return self._child is not None


def _sync(paths: list[str]) -> None:
    for path in paths:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # sealed meanwhile
            continue
        try:
            os.fdatasync(fd)
        except OSError:
            pass
        os.close(fd)

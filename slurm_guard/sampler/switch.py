"""The admin's switch: while one of two files exists the sampler does nothing, within the tables' pace."""

from __future__ import annotations

import os

from slurm_guard.light import TYPE_CHECKING, Any, Callable
from slurm_guard.sampler.helper import Answer, Ask, Helper
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.config import NodeConfig

_ABSENT = (os.strerror(2), os.strerror(20))  # no such file; a part of the path is no folder
_LONGEST_S = 10.0  # that the cluster-wide file's file system may take: judgement, as for users' files


class Switch:
    """The node's own file is looked at here: it lies on the root file system. The cluster-wide one may lie on
    a file system that hangs, so a child of its own looks at it (users' hanging files use up the other's
    children). What cannot be looked at leaves the switch as it was.
    """

    def __init__(self, config: NodeConfig, helper: Callable[[float], Helper] = Helper) -> None:
        self.own, self.everywhere = config.disabled, config.disabled_everywhere
        # Twice in the tables' time: the child's answer comes a round later.
        self.every_s = config.table_interval_s / 2
        self.helper = helper(min(_LONGEST_S, max(1.0, config.table_interval_s))) if self.everywhere else None
        self.off: str | None = None  # the file that says so
        self.doubt: str | None = None  # why the cluster-wide file could not be looked at
        self._shared_off = False
        self._next_s: float | None = None

    def look(self, now: Instant) -> str | None:
        """The file that switches off; null: on."""
        if self.helper is not None:
            self.helper.poll(now.at, now.mono_s)
        if self._next_s is None or now.mono_s >= self._next_s - 1e-6:
            self._next_s = now.mono_s + self.every_s
            self._ask()
        own = os.path.lexists(self.own)
        self.off = self.own if own else self.everywhere if self._shared_off else None
        return self.off

    def _ask(self) -> None:
        if self.helper is not None and not self.helper.busy:
            taken = self.helper.submit(Ask(self.everywhere, None, None, None, []), self._hear)
            self.doubt = self.doubt if taken else "too many children hang on it"

    def _hear(self, answer: Answer) -> None:
        """No regular file is there too: a link, a folder; only `no such file` is absence."""
        self.doubt = None
        if answer.error is None or answer.error == "not a regular file":
            self._shared_off = True
        elif answer.error in _ABSENT:
            self._shared_off = False
        else:
            self.doubt = answer.error

    # -- as a part of the loop

    def tick(self, now: Instant) -> None:
        """Nothing: the loop asks by itself."""

    def tell(self) -> dict[str, Any]:
        """Which file switched off, and what could not be looked at."""
        n_hung = self.helper.n_hung if self.helper is not None else 0
        return {"off": self.off, "doubt": self.doubt, "n_hung": n_hung}

    def close(self, now: Instant) -> None:
        """The child ends."""
        if self.helper is not None:
            self.helper.close()

"""Work that may hang in the kernel, done by a child without whose answer the hook goes on.

No signal ends a wait for a lock of the kernel's: a process whose descriptors are read while it hangs in its
execve, or routes that are asked for while a network card holds the lock that all of rtnetlink shares.
"""

import os
import time

from slurm_guard.light import Callable

MAX_ANSWER_S = 0.4  # wall time for it: a fifth of the hook's own, for a machine under load (judgement)
MOST_B = 1 << 20  # of an answer (judgement: what is told is bounded by rows far below it)
_KILL = 9  # `signal` costs 3 ms for its enums
_PAUSE_S = 0.0005  # between two looks at whether it is done


class Apart:
    """A child at `work`, which is given a function that sends bytes. Raises OSError: none can be made."""

    def __init__(self, work: Callable[[Callable[[bytes], None]], None]) -> None:
        self._out, into = os.pipe()  # close-on-exec, as all of Python's descriptors
        try:
            self._child = os.fork()
        except OSError:
            os.close(self._out)
            os.close(into)
            raise
        if self._child == 0:
            try:
                work(lambda data: _send(into, data))
            finally:
                os._exit(0)
        os.close(into)
        self._until_s = time.monotonic() + MAX_ANSWER_S

    def answer(self) -> bytes:
        """All that was sent until the child ended or its time was over. Once only."""
        try:
            return _take(self._out, self._until_s)
        finally:
            os.close(self._out)
            os.kill(self._child, _KILL)
            os.waitpid(self._child, os.WNOHANG)  # one that hangs is left to init


def _send(into: int, data: bytes) -> None:
    while data:
        data = data[os.write(into, data) :]


def _take(out: int, until_s: float) -> bytes:
    os.set_blocking(out, False)
    found = b""
    while len(found) < MOST_B:
        try:
            part = os.read(out, 65_536)
        except BlockingIOError:
            if time.monotonic() > until_s:
                break
            time.sleep(_PAUSE_S)
            continue
        if not part:
            break
        found += part
    return found

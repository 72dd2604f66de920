"""A disk that says no: the calls of os that a spool's writer makes, failing or killing at a chosen one."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CALLS = ("open", "write", "fsync", "ftruncate", "rename", "unlink", "close")


class Disk:
    """Counts the calls that touch `below`; `refuse` says of the nth whether it fails, and with what errno."""

    def __init__(self, below: str, refuse: Callable[[int, str], int | None]) -> None:
        self.below, self.refuse = below, refuse
        self.n = 0
        self.real: dict[str, Any] = {name: getattr(os, name) for name in CALLS}

    def _is_ours(self, what: Any) -> bool:
        if isinstance(what, int):
            try:
                what = Path(f"/proc/self/fd/{what}").readlink()
            except OSError:
                return False
        return str(what).startswith(self.below)

    def _wrapped(self, name: str) -> Callable[..., Any]:
        def call(what: Any, *args: Any, **more: Any) -> Any:
            if self._is_ours(what):
                self.n += 1
                code = self.refuse(self.n, name)
                if code is not None:
                    if name == "write":  # half of it arrives
                        self.real["write"](what, bytes(args[0])[: len(args[0]) // 2])
                    if name == "close":
                        self.real["close"](what)
                    raise OSError(code, os.strerror(code), None if isinstance(what, int) else what)
            return self.real[name](what, *args, **more)

        return call


@contextmanager
def refusing(below: str, refuse: Callable[[int, str], int | None]) -> Iterator[Disk]:
    """While inside, os is the disk."""
    disk = Disk(below, refuse)
    try:
        for name in CALLS:
            setattr(os, name, disk._wrapped(name))
        yield disk
    finally:
        for name, real in disk.real.items():
            setattr(os, name, real)


def killed_at(nth: int, below: str, work: Callable[[], None]) -> bool:
    """Do the work in a child that is killed right before its nth call; false: it came to its end."""

    def kill(n: int, _: str) -> None:
        if n == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        try:
            with refusing(below, kill):
                work()
            os._exit(0)
        except BaseException:  # noqa: BLE001
            os._exit(3)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False

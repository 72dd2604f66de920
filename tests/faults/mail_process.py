"""One `mail --send` as a process of its own, for tests that kill it: an outbox, a port, readers.

With `stop_at` it stops itself at that step that touches the disk or the server, says so, and waits to be
killed. The steps are counted by replacing the functions that make them: nothing of the product knows of it.

Python's fork server has imported everything once, and each process is forked from it: a second less for each.
"""

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import mock

from slurm_guard.clock import SystemClock
from tests.postal import drafts, run, smtp

ROOT = Path(__file__).parents[2]
Options = dict[str, object]


class Sending:
    """It, as a child; killed, if it is not over, when the `with` ends."""

    def __init__(
        self, folder: Path, port: int, readers: list[str], stop_at: int = 0, options: Options | None = None
    ) -> None:
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload([__name__])
        self._hears, says = forks.Pipe(duplex=False)
        self._child = forks.Process(target=_send, args=(says, folder, port, readers, stop_at, options or {}))
        with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT)):  # the server's, where this is its first child
            self._child.start()
        says.close()

    def __enter__(self) -> "Sending":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.kill()
        self._child.close()
        self._hears.close()

    def stopped(self) -> str | None:
        """Where it stopped itself, once it has; null: it came to its end."""
        try:
            said: str = self._hears.recv()
        except EOFError:
            return None
        return said

    def ended(self) -> int | None:
        """Its exit code; null: it goes on after a minute."""
        self._child.join(60)
        return self._child.exitcode

    def kill(self) -> None:
        """By SIGKILL."""
        self._child.kill()
        self._child.join()


def run_to_end(folder: Path, port: int, readers: list[str], options: Options | None = None) -> None:
    """It, until it has ended well."""
    with Sending(folder, port, readers, 0, options) as child:
        assert child.ended() == 0


def _send(
    says: Connection, folder: Path, port: int, readers: list[str], stop_at: int, options: dict[str, Any]
) -> None:
    """The child. `options`: of `tests.postal.smtp`, and `pictures`: false spares most of a letter's time."""
    if not options.pop("pictures", True):
        sys.modules["resvg_py"] = None  # type: ignore[assignment]  # as where it is not installed
    _count_steps(says, stop_at)
    run(folder, smtp(port, 20.0, **options), drafts(readers), SystemClock())


def _count_steps(says: Connection, stop_at: int) -> None:
    import smtplib

    from slurm_guard.report.letterbox import Letterbox

    n = 0

    def counted(name: str, what: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            nonlocal n
            for moment in ("before", "after"):
                n += 1
                if n == stop_at:
                    says.send(f"{moment} {name}")
                    time.sleep(60)
                if moment == "before":
                    result = what(*args, **options)
            return result

        return step

    for home, name in (
        (os, "fsync"),
        (Path, "replace"),
        (Letterbox, "hand_over"),
        (smtplib.SMTP, "docmd"),
        (smtplib.SMTP, "send"),
        (smtplib.SMTP, "getreply"),
        (socket, "create_connection"),
    ):
        setattr(home, name, counted(name, getattr(home, name)))

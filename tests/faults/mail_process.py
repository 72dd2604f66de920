"""One `mail --send` as a process of its own, for tests that kill it: an outbox, a port, readers.

With `SLURM_GUARD_TEST_STOP=N` it stops itself at the N-th step that touches the disk or the server, says so
on standard output, and waits to be killed. The steps are counted by replacing the functions that make them:
nothing of the product knows of it.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slurm_guard.clock import SystemClock
from tests.postal import drafts, run, smtp

STOP = "SLURM_GUARD_TEST_STOP"
ROOT = Path(__file__).parents[2]


def start(
    folder: Path, port: int, readers: list[str], stop_at: int = 0, options: dict[str, object] | None = None
) -> "subprocess.Popen[str]":
    """It, as a child."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), STOP: str(stop_at)}
    command = [sys.executable, "-P", "-m", "tests.faults.mail_process", str(folder), str(port)]
    command += [json.dumps(options or {}), *readers]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def run_to_end(folder: Path, port: int, readers: list[str], options: dict[str, object] | None = None) -> None:
    """It, until it has ended well."""
    with start(folder, port, readers, 0, options) as child:
        child.communicate(timeout=60)
        assert child.returncode == 0


def main(folder: str, port: str, options: str, readers: list[str]) -> None:
    """See above. `options`: of `tests.postal.smtp`, as JSON."""
    _count_steps(int(os.environ.get(STOP, "0")))
    done = run(Path(folder), smtp(int(port), 20.0, **json.loads(options)), drafts(readers), SystemClock())
    for delivery in done:
        print(delivery.kept.state.to, delivery.kept.state.status.value)


def _count_steps(stop_at: int) -> None:
    import smtplib

    from slurm_guard.report.letterbox import Letterbox

    n = 0

    def counted(name: str, what: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            nonlocal n
            for moment in ("before", "after"):
                n += 1
                if n == stop_at:
                    print(f"stopped {moment} {name}", flush=True)
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


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])

"""A program with a time limit that holds for everything it started: a site's `sacct` is often a wrapper."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

_LAST_WORDS_S = 5.0  # for what was killed to be gone; judgement


def run_group(
    command: Sequence[str], env: Mapping[str, str], timeout_s: float, cwd: str | None = None
) -> subprocess.CompletedProcess[bytes]:
    """What `subprocess.run` gives. On a time-out the whole process group is killed, not the wrapper alone.

    Raises OSError when it cannot be started and subprocess.TimeoutExpired.
    """
    with subprocess.Popen(
        command,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            out, err = child.communicate(timeout=timeout_s)
        except BaseException:  # a time-out, or somebody's Ctrl-C: nothing may go on asking the database
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.communicate(timeout=_LAST_WORDS_S)
            raise
    return subprocess.CompletedProcess(list(command), child.returncode, out, err)

"""Too much memory without systemd: the sampler begins anew in its own place, so that no job can end it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` itself loads enum and functools
import os
import sys

from slurm_guard.light import TYPE_CHECKING, Mapping

if TYPE_CHECKING:
    from slurm_guard.sampler.loop import Loop

MEMORY = "memory"  # the reason with which it stopped
RENEW_S = 300.0  # what passes the bound sooner than this again is no job's doing: it ends. Judgement
_LAST = "SLURM_GUARD_RENEWED_S"  # in our environment: monotonic second of the last time


def may_renew(environ: Mapping[str, str], mono_s: float) -> bool:
    """Whether it is time; under systemd never, which starts a new one itself."""
    if "INVOCATION_ID" in environ:
        return False
    try:
        return not 0 <= mono_s - float(environ.get(_LAST, "-inf")) < RENEW_S
    except ValueError:
        return False


def renew(loop: Loop, mono_s: float) -> None:
    """After `stop`: our own command line in this process, if memory was the reason. Raises OSError.

    The lock goes with the old program (close-on-exec) and the new one takes it. Who tells us to stop
    meanwhile is heard: before the last look by our handler, after it by the default.
    """
    if loop.stop_reason != MEMORY or not may_renew(os.environ, mono_s):
        return
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, _signal.SIG_DFL)
    if loop.stop_reason == MEMORY:
        os.environ[_LAST] = f"{mono_s:.3f}"
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  our own interpreter

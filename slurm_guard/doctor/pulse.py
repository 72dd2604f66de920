"""Whether a node's sampler is alive, and since when it is not."""

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from slurm_guard.report.safe import clean
from slurm_guard.sampler.beat import EVERY_S, read_age_s, read_boot_s
from slurm_guard.sampler.procfs import Proc

STALE_S = 6 * EVERY_S  # judgement: a node under heavy load may delay a beat or two, not six


class Pulse(NamedTuple):
    """`silence` null: alive and fresh."""

    age_s: float | None  # of the last beat; null: none
    silence: str | None
    hint: str = ""


def find_pulse(folder: str, status: dict[str, Any] | None) -> Pulse:
    """From the beat, the process and the status' last word; that of an earlier boot counts too."""
    age_s = read_age_s(folder, read_boot_s())
    pid = _living_pid(folder)
    stopped = (status or {}).get("stopped")
    if pid is not None and age_s is not None and age_s <= STALE_S:
        return Pulse(age_s, None)
    if pid is not None and age_s is not None:
        hint = "stopped (SIGSTOP), or a call that hangs: look at its state in /proc; it goes on by itself"
        return Pulse(age_s, f"process {pid} is there, but has not moved since {_ago(age_s)}", hint)
    if pid is not None and not isinstance(stopped, dict):
        return Pulse(None, f"process {pid} is there, but does not beat yet", "ask again in a few seconds")
    if isinstance(stopped, dict):
        return Pulse(
            age_s, f"stopped {time_words(stopped.get('at'))}: {clean(str(stopped.get('reason')), 200)}"
        )
    if status is None:
        return Pulse(age_s, "no sampler has written a status here")
    since = f"at about {_ago(age_s)}" if age_s is not None else f"after {time_words(status.get('at'))}"
    return Pulse(age_s, f"ended {since} without a last word: killed, or the node went down")


def _living_pid(folder: str) -> int | None:
    """The process that `sampler.pid` names, by pid and start."""
    try:
        with Path(folder, "sampler.pid").open(encoding="ascii") as text:
            pid, start_ticks = (int(word) for word in text.read(64).split())
    except (OSError, ValueError):
        return None
    stat = Proc().stat(pid)
    return pid if stat is not None and stat.start_ticks == start_ticks and stat.state != "Z" else None


def _ago(age_s: float) -> str:
    return f"{time_words(time.time() - age_s)} ({long_words(age_s)} ago)"


def time_words(at: Any) -> str:
    """An instant for a person; a dash for what is none."""
    if not isinstance(at, (int, float)) or not 0 <= at < 1e11:
        return "–"
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def long_words(duration_s: float) -> str:
    """A duration for a person."""
    if duration_s < 120:
        return f"{duration_s:.0f} s"
    return f"{duration_s / 60:.0f} min" if duration_s < 7200 else f"{duration_s / 3600:.1f} h"

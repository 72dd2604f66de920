"""The last words of a sampler that could not begin, or broke."""

from __future__ import annotations

import os
import sys
import time

from slurm_guard import wire
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.rounds import place_of
from slurm_guard.sampler.status import mark_stopped
from slurm_guard.sampler.writer import Instant


def tell_end(journal: Journal, reason: str) -> None:
    """To the journal: started by a prolog, a sampler has no other way to say why it ends."""
    at = time.time()
    event = wire.Event(at, None, "sampler-stopped", {"reason": wire.clip(reason, 512), "pid": os.getpid()})
    journal.tell(event, Instant(at, time.monotonic()))


def tell_fault(journal: Journal, folder: str, error: Exception, begun: bool) -> None:
    """A fault that ended it, to the journal and into the status that it left."""
    if not begun and isinstance(error, OSError):
        reason = f"error: sampler-folder: {error.filename}: {error.strerror}"
    else:
        reason = f"error: {type(error).__name__} at {place_of(error)}: {error}"
    print(reason.removeprefix("error: "), file=sys.stderr)
    tell_end(journal, reason)
    mark_stopped(folder, time.time(), wire.clip(reason, 256) or "")

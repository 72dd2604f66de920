"""Collectors in children with a deadline: whatever hangs, be it a disk, a daemon or a driver, stops no other.

A child, and not a thread: one that waits in the kernel cannot be ended from within, and would keep the whole
program from its end.
"""

import contextlib
import os
import pickle
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from slurm_guard.doctor.finding import NotSeenError, Unseen
from slurm_guard.errors import GuardError

_MOST_BYTES = 64 << 20  # of one answer. Judgement
_PATIENCE_S = 0.5  # for a killed child to be gone; one that hangs in the kernel is left to init


class Identity(NamedTuple):
    """Whose rights a collector has."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Collector:
    """`collect` gives the fact, or Unseen; what it raises becomes Unseen. `who` null: as this process."""

    name: str
    collect: Callable[[], object]
    timeout_s: float
    who: Identity | None = None


@dataclass(slots=True)
class _Child:
    collector: Collector
    pid: int
    pipe: int
    ends_s: float
    parts: list[bytes] = field(default_factory=list)
    n_bytes: int = 0


def gather(collectors: Sequence[Collector]) -> dict[str, object]:
    """Every collector's fact by its name, all collected at once; none later than its time-out."""
    children = {child.pipe: child for child in [_start(each) for each in collectors]}
    found: dict[str, object] = {}
    with selectors.DefaultSelector() as selector:
        for pipe in children:
            selector.register(pipe, selectors.EVENT_READ)
        while children:
            wait_s = max(0.0, min(child.ends_s for child in children.values()) - time.monotonic())
            ready = {key.fd for key, _ in selector.select(wait_s)}
            for pipe, child in list(children.items()):
                if pipe in ready and _take(child):
                    continue
                if pipe in ready or time.monotonic() >= child.ends_s:
                    selector.unregister(pipe)
                    del children[pipe]
                    found[child.collector.name] = _end(child, late=pipe not in ready)
    return found


def _start(collector: Collector) -> _Child:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(collector, writing)
    os.close(writing)
    return _Child(collector, pid, reading, time.monotonic() + collector.timeout_s)


def _work(collector: Collector, writing: int) -> None:
    """In the child; never returns."""
    status = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):  # what a library prints belongs into no report
            os.dup2(null, fd)
        if collector.who is not None:
            os.initgroups(collector.who.name, collector.who.gid)
            os.setgid(collector.who.gid)
            os.setuid(collector.who.uid)
        answer = pickle.dumps(_collect(collector))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        status = 0
    finally:
        os._exit(status)


def _collect(collector: Collector) -> object:
    try:
        return collector.collect()
    except NotSeenError as error:
        return Unseen(str(error))
    except GuardError as error:
        return Unseen(error.sentence)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        return Unseen(f"{what}{error.strerror or error}")
    except Exception as error:  # noqa: BLE001  one collector's fault must not hide what the others saw
        return Unseen(f"{type(error).__name__}: {error}"[:300])


def _take(child: _Child) -> bool:
    """Read on; false: that was all."""
    part = os.read(child.pipe, 1 << 16)
    child.parts.append(part)
    child.n_bytes += len(part)
    return bool(part) and child.n_bytes <= _MOST_BYTES


def _end(child: _Child, *, late: bool) -> object:
    os.close(child.pipe)
    if late:
        _kill(child.pid)
        return Unseen(f"it did not answer within {child.collector.timeout_s:g} s")
    _kill(child.pid)
    try:
        return pickle.loads(b"".join(child.parts))  # noqa: S301  our own child's words
    except (pickle.UnpicklingError, EOFError, ValueError):
        return Unseen("whoever looked ended without an answer")


def _kill(pid: int) -> None:
    """The child and what is left of its group, without waiting for what hangs in the kernel."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    until_s = time.monotonic() + _PATIENCE_S
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < until_s:
            time.sleep(0.005)

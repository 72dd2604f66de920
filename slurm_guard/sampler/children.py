"""Children that may hang while the sampler may not: forked, so that they share its memory, then cut off.

A fork without exec costs only the pages that child or sampler write to afterwards; an interpreter of its own
costs each child 3 MB before it has imported anything. The sampler has one thread, so a fork is safe. A child
keeps nothing open of the sampler's but its two pipes: not the lock, no segment, no other child's pipe.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself loads enum and functools
import fcntl
import gc
import os
import time

from slurm_guard.light import Callable

MOST_FD = 65_536  # higher ones are never opened here
_DEFAULTS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


class Child:
    """A child and the sampler's ends of its two pipes, which never block."""

    def __init__(self, pid: int, into: int, out: int) -> None:
        self.pid, self.into, self.out = pid, into, out
        self.status: int | None = None  # as waitpid gives it; null: not collected yet

    def poll(self) -> int | None:
        """Collect it if it has ended: its status; null: it has not."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else collected it
                pid, status = self.pid, 0
            self.status = status if pid == self.pid else None
        return self.status

    def wait(self, most_s: float = 60.0) -> bool:
        """Whether it ended within `most_s`."""
        until_s = time.monotonic() + most_s
        while self.poll() is None:
            if time.monotonic() >= until_s:
                return False
            time.sleep(0.005)
        return True

    def shut(self) -> None:
        """The end of its input, which is the word to leave."""
        if self.into >= 0:
            os.close(self.into)
            self.into = -1

    def kill(self) -> None:
        """Let go of it; `poll` says when the kernel does too."""
        if self.status is None:
            try:
                os.kill(self.pid, _signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.shut()
        if self.out >= 0:
            os.close(self.out)
            self.out = -1


def fork(name: str, main: Callable[[int, int], None]) -> Child:
    """A child at `main(its input, its output)`. Raises OSError when there is none to be had."""
    theirs_in, ours_out = os.pipe()  # close-on-exec, as all of Python's descriptors
    try:
        ours_in, theirs_out = os.pipe()
    except OSError:
        _close(theirs_in, ours_out)
        raise
    try:
        pid = os.fork()
    except OSError:
        _close(theirs_in, ours_out, ours_in, theirs_out)
        raise
    if pid == 0:
        _become(name, main, theirs_in, theirs_out)
    _close(theirs_in, theirs_out)
    for fd in (ours_out, ours_in):
        os.set_blocking(fd, False)
    return Child(pid, ours_out, ours_in)


def start(command: list[str], stdin: int, nice: int) -> Child:
    """A program with nothing of ours but its input. Raises OSError when it cannot be forked.

    A program that cannot be executed ends with status 127.
    """
    pid = os.fork()
    if pid == 0:
        try:
            _cut_off(stdin, os.open(os.devnull, os.O_WRONLY))
            _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)  # Python ignores it, and a program inherits that
            os.nice(nice)
            os.execv(command[0], command)  # noqa: S606  our own interpreter
        finally:
            os._exit(127)
    return Child(pid, -1, -1)


def _become(name: str, main: Callable[[int, int], None], into: int, out: int) -> None:
    """The child's life; it never comes back into the sampler's code."""
    code = 1
    try:
        gc.freeze()  # a collection would write to every page that is shared
        _cut_off(into, out)
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write(name)
        main(0, 1)
        code = 0
    finally:
        os._exit(code)


def _cut_off(into: int, out: int) -> None:
    """Its pipes as standard input and output, and no other descriptor, signal or folder of the sampler's."""
    null = os.open(os.devnull, os.O_WRONLY)
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 3) for fd in (into, out, null)]  # they may be one of 0, 1, 2
    for place, fd in enumerate(high):
        os.dup2(fd, place)
    os.closerange(3, MOST_FD)
    for number in _DEFAULTS:
        _signal.signal(number, _signal.SIG_DFL)
    os.chdir("/")


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)

"""The process that runs `nvml_child`: started, asked, killed; what the kernel does not let go is counted."""

import os
import select

from slurm_guard.light import Callable
from slurm_guard.sampler import children
from slurm_guard.sampler.children import Child

NAME = "guard-nvml"  # of the child, for those who look at processes
MOST_STUCK = 4  # killed children that the kernel does not let go; then no more are started: judgement
MOST_LINE = 1 << 20


class NvmlProcess:
    """At most one child at work, and those that were killed and are not gone yet. `stuck`: of another one's,
    which share the bound.
    """

    def __init__(self, main: Callable[[int, int], None], stuck: list[Child] | None = None) -> None:
        self.main = main
        self.child: Child | None = None
        self.stuck: list[Child] = [] if stuck is None else stuck
        self._in = b""

    def start(self) -> str | None:
        """Start a child. Returns why there is none; null: there is."""
        self.reap()
        if len(self.stuck) >= MOST_STUCK:
            return f"{len(self.stuck)} NVML processes hang"
        try:
            self.child = children.fork(NAME, self.main)
        except OSError as error:
            return f"no NVML process: {error.strerror}"
        self._in = b""
        return None

    def send(self, line: bytes) -> bool:
        """One question; false: the child ended. It never blocks: a pipe holds more, and was empty."""
        if self.child is None:
            return False
        try:
            return os.write(self.child.into, line) == len(line)
        except OSError:
            return False

    def read(self, wait_s: float) -> list[bytes] | None:
        """Whole lines that the child has said, waited for at most `wait_s`; null: it ended, or is insane."""
        if self.child is None:
            return None
        fd = self.child.out
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(max(0, round(wait_s * 1000))):
            return []
        part = os.read(fd, 1 << 16)
        if not part or len(self._in) > MOST_LINE:
            return None
        *lines, self._in = (self._in + part).split(b"\n")
        return lines

    def kill(self) -> None:
        """Let go of the child."""
        child, self.child = self.child, None
        if child is None:
            return
        child.kill()
        self.stuck.append(child)

    def reap(self) -> None:
        """Forget the killed ones that are gone."""
        self.stuck[:] = [child for child in self.stuck if child.poll() is None]

    def close(self, most_s: float) -> None:
        """Let the child leave by itself within `most_s`, else kill it; never wait for one that hangs."""
        if self.child is not None:
            self.child.shut()
            self.child.wait(most_s)
            self.kill()
        for child in self.stuck:
            child.wait(0.2)
        self.reap()

"""The process that runs `nvml_child`: started, asked, killed; what the kernel does not let go is counted."""

import os
import select
import subprocess
from typing import IO

MOST_STUCK = 4  # killed children that the kernel does not let go; then no more are started: judgement
MOST_LINE = 1 << 20


class NvmlProcess:
    """At most one child at work, and those that were killed and are not gone yet. `stuck`: of another one's,
    which share the bound.
    """

    def __init__(self, command: list[str], stuck: "list[subprocess.Popen[bytes]] | None" = None) -> None:
        self.command = command
        self.child: subprocess.Popen[bytes] | None = None
        self.stuck: list[subprocess.Popen[bytes]] = [] if stuck is None else stuck
        self._in = b""

    def start(self) -> str | None:
        """Start a child. Returns why there is none; null: there is."""
        self.reap()
        if len(self.stuck) >= MOST_STUCK:
            return f"{len(self.stuck)} NVML processes hang"
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        try:
            self.child = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=none, cwd="/")
        except OSError as error:
            return f"no NVML process: {error.strerror}"
        self._in = b""
        return None

    def send(self, line: bytes) -> bool:
        """One question; false: the child ended. It never blocks: a pipe holds more, and was empty."""
        if self.child is None or self.child.stdin is None:
            return False
        try:
            return os.write(self.child.stdin.fileno(), line) == len(line)
        except OSError:
            return False

    def read(self, wait_s: float) -> list[bytes] | None:
        """Whole lines that the child has said, waited for at most `wait_s`; null: it ended, or is insane."""
        if self.child is None or self.child.stdout is None:
            return None
        fd = self.child.stdout.fileno()
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
        for pipe in (child.stdin, child.stdout):
            _shut(pipe)
        self.stuck.append(child)

    def reap(self) -> None:
        """Forget the killed ones that are gone."""
        self.stuck[:] = [child for child in self.stuck if child.poll() is None]

    def close(self, most_s: float) -> None:
        """Let the child leave by itself within `most_s`, else kill it; never wait for one that hangs."""
        if self.child is not None:
            _shut(self.child.stdin)
            _wait(self.child, most_s)
            self.kill()
        for child in self.stuck:
            _wait(child, 0.2)
        self.reap()


def _shut(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        pass


def _wait(child: subprocess.Popen[bytes], most_s: float) -> None:
    try:
        child.wait(most_s)
    except subprocess.TimeoutExpired:
        pass

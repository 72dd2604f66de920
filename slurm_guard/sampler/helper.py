"""Stats of users' files in a child with a deadline: a hung file system hangs the child, never the sampler.

This file is also the child's program (run by path, stdlib only). One JSON object a line, in and out:
    {"id": 3, "fd": [pid, start_ticks, n] | null, "path": "/…", "uid": …, "gid": …, "groups": […]}
    {"id": 3, "mono_s": …, "dev": …, "ino": …, "size": …, "ctime_ns": …, "uid": …} or {"id", …, "error"}
The child's time is CLOCK_BOOTTIME, which the sampler turns into its own: a set wall clock moves neither.
A descriptor is looked at through /proc/PID/fd, which also reaches files that a container alone can name. A
path is looked at as the job's user (root may not enter a root-squashed folder), its last part not followed.
"""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

MOST_HUNG = 4  # killed children that the kernel does not let go; then no more are started: judgement
DEADLINE_S = 10.0  # for a whole batch: judgement; a busy parallel file system answers a stat within 1 s


class Ask(NamedTuple):
    """One file to look at; `fd` null: by path."""

    path: str
    fd: tuple[int, int, int] | None  # pid, start_ticks, descriptor
    uid: int | None
    gid: int | None
    groups: list[int]


class Answer(NamedTuple):
    """What the child saw; everything null but `error` when it saw nothing."""

    at: float
    dev: int | None
    ino: int | None
    size: int | None
    ctime_ns: int | None
    error: str | None
    uid: int | None = None  # the file's owner


Done = Callable[[Answer], None]


class Helper:
    """The child and the questions under way. `n_hung` counts children that had to be killed."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self.deadline_s = deadline_s
        self.n_hung = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._zombies: list[subprocess.Popen[bytes]] = []
        self._open: dict[int, tuple[Ask, Done]] = {}
        self._next = 0
        self._out = b""
        self._in = b""
        self._since_s: float | None = None  # of the last sign of life while questions are open

    @property
    def busy(self) -> bool:
        """Whether answers are awaited."""
        return bool(self._open)

    def submit(self, ask: Ask, done: Done) -> bool:
        """Queue a question; false: too many children hang, it was not taken."""
        if self._child is None and not self._start():
            return False
        self._next += 1
        self._open[self._next] = (ask, done)
        line = {"id": self._next, **ask._asdict()}
        self._out += json.dumps(line).encode("ascii") + b"\n"
        return True

    def poll(self, at: float, mono_s: float) -> None:
        """Push questions, take answers, let go of a child that says nothing for the deadline. Never waits."""
        self._reap()
        if self._child is None or not self._open:
            return
        if self._since_s is None:
            self._since_s = mono_s
        if self._push() | self._pull(at, mono_s):
            self._since_s = mono_s if self._open else None
        elif self._child.poll() is not None:
            self._give_up(at, "the helper ended")
        elif mono_s - self._since_s > self.deadline_s:
            self.n_hung += 1
            self._give_up(at, f"no answer within {self.deadline_s:g} s")

    def _push(self) -> bool:
        if self._child is None or self._child.stdin is None or not self._out:
            return False
        try:
            sent = os.write(self._child.stdin.fileno(), self._out[:65536])
        except (BlockingIOError, BrokenPipeError):
            return False
        self._out = self._out[sent:]
        return sent > 0

    def _pull(self, at: float, mono_s: float) -> bool:
        """Take what the child has said; `at` and `mono_s` are one moment, and date its answers."""
        if self._child is None or self._child.stdout is None:
            return False
        try:
            part = os.read(self._child.stdout.fileno(), 65536)
        except BlockingIOError:
            return False
        self._in += part
        *lines, self._in = self._in.split(b"\n")
        for line in lines:
            told = json.loads(line)
            _, done = self._open.pop(told["id"], (None, None))
            if done is not None:
                fields = {name: told.get(name) for name in Answer._fields if name != "at"}
                done(Answer(at - (mono_s - told["mono_s"]), **fields))
        return bool(part)

    def _start(self) -> bool:
        if len(self._zombies) >= MOST_HUNG:
            return False
        command = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
            )
        except OSError:
            return False
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        self._child, self._out, self._in, self._since_s = child, b"", b"", None
        return True

    def _give_up(self, at: float, reason: str) -> None:
        """Kill the child. The oldest question, which it was at, fails; the others are asked anew."""
        child, waiting = self._child, list(self._open.values())
        self._open, self._child, self._out, self._in, self._since_s = {}, None, b"", b"", None
        if child is not None:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        pass
            self._zombies.append(child)
            self._reap()
        for place, (ask, done) in enumerate(waiting):
            if place == 0 or not self.submit(ask, done):
                done(Answer(at, None, None, None, None, reason))

    def _reap(self) -> None:
        self._zombies = [child for child in self._zombies if child.poll() is None]

    def close(self) -> None:
        """End the child without waiting for one that hangs."""
        if self._child is not None:
            self._open = {}
            self._give_up(0.0, "closing")
        for child in self._zombies:
            try:
                child.wait(0.2)
            except subprocess.TimeoutExpired:
                pass
        self._reap()


# -- the child


def look(ask: dict[str, Any]) -> dict[str, Any]:
    """One stat, in the child. Only regular files answer."""
    try:
        info = _by_fd(ask["fd"]) if ask["fd"] is not None else _by_path(ask)
    except OSError as error:
        return {"error": error.strerror or "unreadable"}
    if not stat.S_ISREG(info.st_mode):
        return {"error": "not a regular file"}
    return {
        "dev": info.st_dev,
        "ino": info.st_ino,
        "size": info.st_size,
        "ctime_ns": info.st_ctime_ns,
        "uid": info.st_uid,
    }


def _by_fd(fd: list[int]) -> os.stat_result:
    """Through the descriptor; the process must still be the same one."""
    pid, start_ticks, number = fd
    info = os.stat(f"/proc/{pid}/fd/{number}")
    with open(f"/proc/{pid}/stat", "rb") as text:
        if int(text.read().rsplit(b")", 1)[1].split()[19]) != start_ticks:
            raise ProcessLookupError(3, "the process is gone")
    return info


def _by_path(ask: dict[str, Any]) -> os.stat_result:
    """As the job's user: his groups, his rights. Not root: as we are."""
    if os.geteuid() != 0 or ask["uid"] is None:
        return os.stat(ask["path"], follow_symlinks=False)
    os.setgroups(ask["groups"])
    os.setegid(ask["gid"] if ask["gid"] is not None else 65534)
    os.seteuid(ask["uid"])
    try:
        return os.stat(ask["path"], follow_symlinks=False)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def serve() -> None:
    """Answer questions until the sampler is gone."""
    for line in sys.stdin.buffer:
        ask = json.loads(line)
        told = {"id": ask["id"], **look(ask), "mono_s": time.clock_gettime(time.CLOCK_BOOTTIME)}
        sys.stdout.buffer.write(json.dumps(told).encode("ascii") + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()

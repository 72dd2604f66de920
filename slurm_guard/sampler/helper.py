"""Stats of users' files in a child with a deadline: a hung file system hangs the child, never the sampler.

A child is forked for the questions that wait, answers them and leaves; between them there is none. It says
one JSON object a line, in the order of the questions:
    {"mono_s": …, "dev": …, "ino": …, "size": …, "ctime_ns": …, "uid": …} or {"mono_s": …, "error": …}
The child's time is CLOCK_BOOTTIME, which the sampler turns into its own: a set wall clock moves neither.
A descriptor is looked at through /proc/PID/fd, which also reaches files that a container alone can name. A
path is looked at as the job's user (root may not enter a root-squashed folder), its last part not followed.
"""

from __future__ import annotations

import os
import stat
import time

from slurm_guard.light import Any, Callable, NamedTuple, deque, from_json, to_plain_json
from slurm_guard.sampler import children
from slurm_guard.sampler.children import Child

NAME = "guard-files"  # of the child, for those who look at processes
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
    """The questions, and the child that is at some of them. `n_hung`: children that had to be killed."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self.deadline_s = deadline_s
        self.n_hung = 0
        self._child: Child | None = None
        self._stuck: list[Child] = []  # killed or done, until the kernel lets them go
        self._waiting: list[tuple[Ask, Done]] = []
        self._asked: deque[tuple[Ask, Done]] = deque()  # of the child, and not answered yet
        self._in = b""
        self._since_s: float | None = None  # of the child's last sign of life

    @property
    def busy(self) -> bool:
        """Whether answers are awaited."""
        return bool(self._waiting or self._asked)

    def submit(self, ask: Ask, done: Done) -> bool:
        """Queue a question; false: too many children hang, it was not taken."""
        self._reap()
        if self._child is None and len(self._stuck) >= MOST_HUNG:
            return False
        self._waiting.append((ask, done))
        return True

    def poll(self, at: float, mono_s: float) -> None:
        """Take answers, let go of a child that says nothing for the deadline, start one. Never waits.

        `at` and `mono_s` are one moment, and date its answers.
        """
        self._reap()
        if self._child is not None:
            self._follow(self._child, at, mono_s)
        if self._child is None and self._waiting:
            self._start(at)

    def _follow(self, child: Child, at: float, mono_s: float) -> None:
        said, ended = _take(child)
        self._in += said
        *lines, self._in = self._in.split(b"\n")
        for line in lines[: len(self._asked)]:
            told = from_json(line)
            _, done = self._asked.popleft()
            fields = {name: told.get(name) for name in Answer._fields if name != "at"}
            done(Answer(at - (mono_s - told["mono_s"]), **fields))
        if said or self._since_s is None:
            self._since_s = mono_s
        if ended or not self._asked:
            self._let_go(at, "the helper ended")
        elif mono_s - self._since_s > self.deadline_s:
            self.n_hung += 1
            self._let_go(at, f"no answer within {self.deadline_s:g} s")

    def _start(self, at: float) -> None:
        """A child for all that waits; where none can be forked it waits on."""
        if len(self._stuck) >= MOST_HUNG:
            waiting, self._waiting = self._waiting, []
            for _, done in waiting:
                done(Answer(at, None, None, None, None, "too many children hang"))
            return
        asks = [ask for ask, _ in self._waiting]
        try:
            self._child = children.fork(NAME, lambda _, out: serve(asks, out))
        except OSError:
            return
        self._asked, self._waiting = deque(self._waiting), []
        self._in, self._since_s = b"", None

    def _let_go(self, at: float, reason: str) -> None:
        """The child is done, or killed: then the question that it was at fails, the others are asked anew."""
        child, asked = self._child, self._asked
        self._child, self._asked = None, deque()
        if child is not None:
            child.kill()
            self._stuck.append(child)
            self._reap()
        if asked:
            _, done = asked.popleft()
            self._waiting = [*asked, *self._waiting]
            done(Answer(at, None, None, None, None, reason))

    def _reap(self) -> None:
        self._stuck = [child for child in self._stuck if child.poll() is None]

    def close(self) -> None:
        """End the child without waiting for one that hangs."""
        self._waiting, self._asked = [], deque()
        self._let_go(0.0, "closing")
        for child in self._stuck:
            child.wait(0.2)
        self._reap()


def _take(child: Child) -> tuple[bytes, bool]:
    """What it has said so far, and whether that was all."""
    said = b""
    while True:
        try:
            part = os.read(child.out, 1 << 16)
        except BlockingIOError:
            return said, False
        if not part:
            return said, True
        said += part


# -- the child


def look(ask: Ask) -> dict[str, Any]:
    """One stat, in the child. Only regular files answer."""
    try:
        info = _by_fd(ask.fd) if ask.fd is not None else _by_path(ask)
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


def _by_fd(fd: tuple[int, int, int]) -> os.stat_result:
    """Through the descriptor; the process must still be the same one."""
    pid, start_ticks, number = fd
    info = os.stat(f"/proc/{pid}/fd/{number}")
    with open(f"/proc/{pid}/stat", "rb") as text:
        if int(text.read().rsplit(b")", 1)[1].split()[19]) != start_ticks:
            raise ProcessLookupError(3, "the process is gone")
    return info


def _by_path(ask: Ask) -> os.stat_result:
    """As the job's user: his groups, his rights. Not root: as we are."""
    if os.geteuid() != 0 or ask.uid is None:
        return os.stat(ask.path, follow_symlinks=False)
    os.setgroups(ask.groups)
    os.setegid(ask.gid if ask.gid is not None else 65534)
    os.seteuid(ask.uid)
    try:
        return os.stat(ask.path, follow_symlinks=False)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def serve(asks: list[Ask], out: int) -> None:
    """Answer and leave."""
    for ask in asks:
        told = {**look(ask), "mono_s": time.clock_gettime(time.CLOCK_BOOTTIME)}
        line = to_plain_json(told).encode("ascii") + b"\n"
        while line:
            line = line[os.write(out, line) :]

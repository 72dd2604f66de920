"""Looks below /proc that may hang, made by a child with a deadline.

For most of what /proc tells of a process the kernel takes a lock of that process: of its memory (command
line, mappings), or of its execve (stat, io, links; seen on Linux 6.18). A process that hangs in either on a
dead file system, or on one of its user's own, holds the lock, and whoever looks hangs with it. So a child
looks. When it says nothing for the deadline it is let go of, that process is left alone for a while, and its
user's others are not asked in the same round. `status`, `cgroup` and listings take no such lock and are read
by the sampler."""

from __future__ import annotations

import os
import select
import time

from slurm_guard.light import Callable
from slurm_guard.sampler import children
from slurm_guard.sampler.children import Child

NAME = "guard-words"
DEADLINE_S = (
    1.0  # for one answer: judgement; it takes some 50 µs, and a loaded node's child waits for its turn
)
LEFT_ALONE_S = 600.0  # a process that hung a child is not asked again sooner: judgement
MOST_HUNG = 4  # killed children that the kernel does not let go; then nobody is asked: judgement
MOST_HANGS = 4  # in one look, each of another user; then the rest of it asks no more: judgement
MOST_LEFT = 4096  # processes that are left alone, remembered: judgement
READ, LINK, MODE, FDS, STATS = "r", "l", "m", "f", "s"
_NOTHING = 0xFFFFFFFF

Answer = bytes | None
Look = Callable[[str, int, str], Answer]  # (kind, most, path): what the child does
UidOf = Callable[[int], int | None]  # must not hang


class Locked:
    """Asks a child. `n_hung`: children that had to be killed, since the start."""

    def __init__(
        self,
        look: Look,
        uid_of: UidOf,
        deadline_s: float = DEADLINE_S,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n_hung = 0
        self._look, self._uid_of = look, uid_of
        self._deadline_s, self._mono = deadline_s, mono
        self._owner = os.getpid()
        self._child: Child | None = None
        self._stuck: list[Child] = []
        self._left_alone: dict[int, float] = {}  # pid -> monotonic second until which
        self._hung_uids: dict[int | None, float] = {}  # … of users whose processes hung a child
        self._now_hung: set[int | None] = set()  # users, in this look
        self._told: list[tuple[int, int | None]] = []
        self._refused = False  # no process to be had: a node without one sees no worse for it

    def ask(self, kind: str, most: int, pid: int | str, path: str) -> Answer:
        """One answer; null: gone, refused, or the process is left alone. `pid` no number: the sampler's
        own."""
        if os.getpid() != self._owner or not isinstance(pid, int):
            return self._look(kind, most, path)
        if "\n" in path or self.is_left_alone(pid):
            return None
        child = self._child or self._start()
        if child is None:
            return self._look(kind, most, path) if self._refused else None
        try:
            os.write(child.into, f"{kind} {most} {path}\n".encode("utf-8", "surrogateescape"))
            return self._answer(child)
        except (OSError, EOFError):
            self._let_go(child, pid)
            return None

    def stats(self, pids: list[int], path_of: Callable[[int], str]) -> dict[int, str]:
        """Texts of /proc/PID/stat of all that can be had, for one question; users who hung a child come
        last."""
        found: dict[int, str] = {}
        order = pids
        if self._hung_uids:
            now_s = self._mono()
            self._hung_uids = {uid: until_s for uid, until_s in self._hung_uids.items() if until_s > now_s}
            order = sorted(pids, key=lambda pid: self._uid_of(pid) in self._hung_uids)
        while order:
            order = [pid for pid in order if not self.is_left_alone(pid)]
            order = order[self._some_stats(order, path_of, found) :]
        return found

    def is_left_alone(self, pid: int) -> bool:
        """Whether the process is not asked now."""
        if self._left_alone.get(pid, 0.0) > self._mono() or len(self._now_hung) >= MOST_HANGS:
            return True
        return bool(self._now_hung) and self._uid_of(pid) in self._now_hung

    def hung(self) -> list[tuple[int, int | None]]:
        """(pid, uid) of processes that hung a child since the last question."""
        told, self._told = self._told, []
        return told

    def rest(self) -> None:
        """The look is over: the child leaves."""
        self._now_hung.clear()
        if self._child is not None:
            self._child.shut()
            self._stuck.append(self._child)
            self._child = None
        self._reap()

    def close(self) -> None:
        """At the sampler's end."""
        self.rest()
        for child in self._stuck:
            child.kill()
            child.wait(0.2)

    def _some_stats(self, pids: list[int], path_of: Callable[[int], str], found: dict[int, str]) -> int:
        """Adds to `found`; returns how many of the pids are done with, up to one that hung."""
        child = self._child or self._start() if pids else None
        if child is None:
            for pid in pids if self._refused else []:
                text = self._look(READ, 1024, path_of(pid))
                if text is not None:
                    found[pid] = text.decode("utf-8", "surrogateescape")
            return len(pids)
        done = 0
        for part in [pids[k : k + 256] for k in range(0, len(pids), 256)]:
            try:
                words = " ".join(path_of(pid) for pid in part)
                os.write(child.into, f"{STATS} 1024 {words}\n".encode("utf-8", "surrogateescape"))
                for pid in part:
                    text = self._answer(child)
                    done += 1
                    if text is not None:
                        found[pid] = text.decode("utf-8", "surrogateescape")
            except (OSError, EOFError):
                self._let_go(child, pids[done])
                return done + 1
        return done

    def _start(self) -> Child | None:
        self._reap()
        self._refused = False
        if len(self._stuck) >= MOST_HUNG:
            return None
        try:
            self._child = children.fork(NAME, lambda into, out: serve(into, out, self._look))
        except OSError:
            self._refused = True
            return None
        return self._child

    def _answer(self, child: Child) -> Answer:
        """What the child says; OSError or EOFError: it does not, within the deadline."""
        until_s = self._mono() + self._deadline_s
        length = int.from_bytes(self._take(child, 4, until_s), "little")
        return None if length == _NOTHING else self._take(child, length, until_s)

    def _take(self, child: Child, length: int, until_s: float) -> bytes:
        found = b""
        while len(found) < length:
            try:
                part = os.read(child.out, length - len(found))
            except BlockingIOError:
                waits = select.poll()
                waits.register(child.out, select.POLLIN)
                left_s = until_s - self._mono()
                if left_s <= 0 or not waits.poll(1000 * left_s):
                    raise EOFError from None
                continue
            if not part:
                raise EOFError
            found += part
        return found

    def _let_go(self, child: Child, pid: int) -> None:
        self.n_hung += 1
        child.kill()
        self._stuck.append(child)
        self._child = None
        if len(self._left_alone) >= MOST_LEFT:
            self._left_alone.clear()
        until_s, uid = self._mono() + LEFT_ALONE_S, self._uid_of(pid)
        self._left_alone[pid] = self._hung_uids[uid] = until_s
        self._now_hung.add(uid)
        self._told.append((pid, uid))

    def _reap(self) -> None:
        self._stuck = [child for child in self._stuck if child.poll() is None]
        for child in self._stuck:
            if child.out >= 0:
                os.close(child.out)
                child.out = -1


def serve(into: int, out: int, look: Look) -> None:
    """The child: a question a line on its input; four bytes of length and the content on its output."""
    waiting = b""
    while part := os.read(into, 65_536):
        *lines, waiting = (waiting + part).split(b"\n")
        for line in lines:
            kind, most, path = line.decode("utf-8", "surrogateescape").split(" ", 2)
            for one in path.split(" ") if kind == STATS else [path]:
                content = look(READ if kind == STATS else kind, int(most), one)
                head = (_NOTHING if content is None else len(content)).to_bytes(4, "little")
                _write(out, head + (content or b""))


def _write(out: int, text: bytes) -> None:
    while text:
        text = text[os.write(out, text) :]

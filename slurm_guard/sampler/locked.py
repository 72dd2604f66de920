"""Files below /proc for which the kernel takes the process's memory lock: command line and mappings.

A process that hangs on a dead file system while it maps memory holds that lock, and whoever reads them then
hangs with it. So a child reads, which is let go of when it says nothing for the deadline; the process is then
left alone for a while. The child is forked at a look's first question and leaves at its end.
"""

from __future__ import annotations

import os
import select
import time

from slurm_guard.light import Callable
from slurm_guard.sampler import children
from slurm_guard.sampler.children import Child

NAME = "guard-words"
DEADLINE_S = 1.0  # for one file: judgement; it takes some 50 µs, and a loaded node's child waits for its turn
LEFT_ALONE_S = 600.0  # a process that hung a child is not asked again sooner: judgement
MOST_HUNG = 4  # killed children that the kernel does not let go; then nobody is asked: judgement
MOST_HANGS = 2  # in one look; then the rest of it asks no more: judgement
MOST_LEFT = 1024  # processes that are left alone, remembered: judgement
_NOTHING = 0xFFFFFFFF

Read = Callable[[str, int], bytes | None]  # (path, most bytes)


class Locked:
    """Asks a child for such files. `n_hung`: children that had to be killed, since the start."""

    def __init__(
        self,
        read: Read,
        deadline_s: float = DEADLINE_S,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n_hung = 0
        self._read, self._deadline_s, self._mono = read, deadline_s, mono
        self._child: Child | None = None
        self._stuck: list[Child] = []
        self._left_alone: dict[str, float] = {}  # process's folder -> monotonic second until which
        self._hangs = 0  # in this look

    def read(self, path: str, most: int) -> bytes | None:
        """The file's beginning; null: gone, refused, or its process is left alone."""
        whose = path.rpartition("/")[0]
        if "\n" in path or self._hangs >= MOST_HANGS or self._left_alone.get(whose, 0.0) > self._mono():
            return None
        child = self._child or self._start()
        if child is None:
            return None
        try:
            os.write(child.into, f"{most} {path}\n".encode("utf-8", "surrogateescape"))
            return self._answer(child)
        except (OSError, EOFError):
            self._let_go(child, whose)
            return None

    def rest(self) -> None:
        """The look is over: the child leaves."""
        self._hangs = 0
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

    def _start(self) -> Child | None:
        self._reap()
        if len(self._stuck) >= MOST_HUNG:
            return None
        try:
            self._child = children.fork(NAME, lambda into, out: serve(into, out, self._read))
        except OSError:
            return None
        return self._child

    def _answer(self, child: Child) -> bytes | None:
        """What the child says; OSError or EOFError: it does not, within the deadline."""
        until_s = self._mono() + self._deadline_s
        length = int.from_bytes(self._take(child, 4, until_s), "little")
        return None if length == _NOTHING else self._take(child, length, until_s)

    def _take(self, child: Child, length: int, until_s: float) -> bytes:
        found = b""
        waits = select.poll()
        waits.register(child.out, select.POLLIN)
        while len(found) < length:
            left_s = until_s - self._mono()
            if left_s <= 0 or not waits.poll(1000 * left_s):
                raise EOFError
            part = os.read(child.out, length - len(found))
            if not part:
                raise EOFError
            found += part
        return found

    def _let_go(self, child: Child, whose: str) -> None:
        self.n_hung += 1
        self._hangs += 1
        child.kill()
        self._stuck.append(child)
        self._child = None
        if len(self._left_alone) >= MOST_LEFT:
            self._left_alone.clear()
        self._left_alone[whose] = self._mono() + LEFT_ALONE_S

    def _reap(self) -> None:
        self._stuck = [child for child in self._stuck if child.poll() is None]
        for child in self._stuck:
            if child.out >= 0 and child.into < 0 and child is not self._child:
                os.close(child.out)
                child.out = -1


def serve(into: int, out: int, read: Read) -> None:
    """The child: a path a line on its input; four bytes of length and the content on its output."""
    waiting = b""
    while part := os.read(into, 65_536):
        *lines, waiting = (waiting + part).split(b"\n")
        for line in lines:
            most, _, path = line.decode("utf-8", "surrogateescape").partition(" ")
            content = read(path, int(most))
            head = (_NOTHING if content is None else len(content)).to_bytes(4, "little")
            _write(out, head + (content or b""))


def _write(out: int, text: bytes) -> None:
    while text:
        text = text[os.write(out, text) :]

"""Files from a node without a shared file system: asked for by ssh, believed as far as they can be checked.

Whatever the other end sends is put below the folder of the node that was asked, under names and sizes that a
spool can have, and nothing that is there is ever replaced. What a file says is judged later, by `collect`.
"""

import hashlib
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake.places import MAX_FILE, NODE
from slurm_guard.lake.prune import read_pruned
from slurm_guard.lake.ship import GREETING, MOST_FILES, MOST_LINE, PORTION, Finished, finished, parse_line
from slurm_guard.lake.write import make_folder, write_whole

IDLE_S = 60.0  # without a byte: judgement. ssh itself notices a dead node in the same time
LONGEST_S = 3600.0  # one node's stream: judgement
MOST_B = 8 << 30  # one node's stream: four times the spool that a node keeps by default
_ADDRESS = re.compile(r"ssh://(?:([A-Za-z_][A-Za-z0-9_.-]{0,31})@)?([^:@/]+)(?::([0-9]{1,5}))?/?")
_OPTIONS = {
    "BatchMode": "yes",  # never ask for a password
    "ConnectTimeout": "20",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
    "ClearAllForwardings": "yes",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Whom to ask. `node` is both the host's name for ssh and the folder that its files go to."""

    user: str | None
    node: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Pulled:
    """One node's answer. `failure`: (slug, sentence) of what ended it early; what had come whole stays.

    `kept`: files that are here with another size; what was here stays.
    """

    node: str
    n_new: int
    n_b: int
    failure: tuple[str, str] | None
    kept: tuple[str, ...] = ()


class _Refused(Exception):
    """Why the rest of a stream is not read."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(sentence)
        self.slug, self.sentence = slug, sentence


def parse_address(text: str) -> Address:
    """Raises GuardError pull-address."""
    match = _ADDRESS.fullmatch(text)
    port = int(match[3]) if match is not None and match[3] is not None else None
    if match is None or not NODE.fullmatch(match[2]) or port == 0 or (port or 1) > 65_535:
        raise GuardError(
            "pull-address",
            f"{text!a} is no address of a node",
            "write ssh://user@node or ssh://user@node:port, with the node's name as Slurm has it",
            EXIT_USAGE,
        )
    return Address(match[1], match[2], port)


def pull(address: Address, drop: Path, ssh: Sequence[str] = ("ssh",)) -> Pulled:
    """Ask one node for what is not in `<drop>/<node>/` yet. Raises GuardError lake-unwritable alone."""
    folder = drop / address.node
    receiver = _Receiver(folder)
    try:
        make_folder(folder)
        with tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as words:
            _write_request(request, [*dict.fromkeys([*finished(folder), *read_pruned(folder)])][:MOST_FILES])
            failure = _ask(command(address, ssh), request, words, receiver)
    except OSError as error:
        raise GuardError(
            "lake-unwritable",
            f"{error.filename or folder}: {error.strerror or error}",
            "the collector needs to write the drop folder",
        ) from None
    return Pulled(address.node, receiver.n_new, receiver.n_b, failure, tuple(receiver.kept))


def command(address: Address, ssh: Sequence[str]) -> list[str]:
    """The program and its words; the node's own forced command decides what runs there."""
    options = [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]
    port = [] if address.port is None else ["-p", str(address.port)]
    user = [] if address.user is None else ["-l", address.user]
    return [*ssh, "-T", *options, *port, *user, "--", address.node, "slurm-guard ship --serve"]


def _write_request(request: BinaryIO, had: list[Finished]) -> None:
    request.write("".join([f"{GREETING}\n", *(f"have {one.line}\n" for one in had), "end\n"]).encode())
    request.flush()
    request.seek(0)


def _ask(
    words: Sequence[str], request: BinaryIO, errors: BinaryIO, receiver: "_Receiver"
) -> tuple[str, str] | None:
    try:
        child = subprocess.Popen(words, stdin=request, stdout=subprocess.PIPE, stderr=errors)
    except OSError as error:
        return "pull-failed", f"{words[0]}: {error.strerror}"
    assert child.stdout is not None
    refused: _Refused | None = None
    patience_s = 0.0  # for a child that is not believed any more
    try:
        with child.stdout:
            receiver.take(_Feed(child.stdout.fileno()))
        patience_s = IDLE_S
    except _Refused as reason:
        refused = reason
        patience_s = IDLE_S if reason.slug == "stream-cut" else 0.0  # it may have a word on why
    finally:
        status = _end(child, patience_s)
    if refused is not None and refused.slug != "stream-cut":
        return refused.slug, refused.sentence
    if status != 0 or refused is not None:
        errors.seek(0, os.SEEK_END)
        errors.seek(max(0, errors.tell() - 300))
        said = errors.read().decode("utf-8", "replace").strip().splitlines()
        why = refused.sentence if refused is not None else f"exit status {status}"
        return "pull-failed", f"{why}{': ' + said[-1] if said else ''}"
    return None


def _end(child: "subprocess.Popen[bytes]", patience_s: float) -> int:
    try:
        return child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


class _Feed:
    """Bytes of a pipe, never waited for without end."""

    def __init__(self, fd: int) -> None:
        self._fd, self._left = fd, b""
        self._until_s = time.monotonic() + LONGEST_S

    def _more(self) -> bytes:
        wait_s = min(IDLE_S, self._until_s - time.monotonic())
        if wait_s <= 0 or not select.select([self._fd], [], [], wait_s)[0]:
            raise _Refused("stream-slow", "it sent nothing for too long, or does not come to its end")
        return os.read(self._fd, PORTION)

    def line(self) -> bytes:
        """Up to and with the next newline."""
        while b"\n" not in self._left:
            if len(self._left) > MOST_LINE:
                break
            part = self._more()
            if not part:
                raise _Refused("stream-cut", "the stream ended in the middle")
            self._left += part
        line, newline, self._left = self._left.partition(b"\n")
        if not newline or len(line) >= MOST_LINE:
            raise _Refused("stream-refused", "a line that is longer than any may be")
        return line + newline

    def some(self, most: int) -> bytes:
        """At least one byte and at most so many."""
        part = self._left or self._more()
        if not part:
            raise _Refused("stream-cut", "the stream ended in the middle")
        self._left = part[most:]
        return part[:most]


class _Receiver:
    """Puts a stream's files into the node's folder, one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_new = self.n_b = self._n = 0
        self.kept: list[str] = []

    def take(self, feed: _Feed) -> None:
        """Raises _Refused, and OSError when the folder cannot be written."""
        if feed.line() != f"{GREETING}\n".encode():
            raise _Refused("stream-refused", "it does not begin as a stream of this format")
        while True:
            line = feed.line()
            if line == f"end {self._n}\n".encode():
                return
            one = parse_line(line, "file")
            if one is None:
                raise _Refused("stream-refused", f"a line that announces no file: {line[:80]!r}")
            self._check(one)
            self._n, self.n_b = self._n + 1, self.n_b + one.size
            if os.path.lexists(self.folder / one.kind / one.name):
                self._read(one, feed, None)
                self.kept.append(f"{one.kind}/{one.name}")
            else:
                write_whole(self.folder / one.kind / one.name, partial(self._read, one, feed))
                self.n_new += 1

    def _check(self, one: Finished) -> None:
        if one.size > MAX_FILE:
            raise _Refused("stream-refused", f"{one.line}: larger than any file may be")
        if self.n_b + one.size > MOST_B or self._n >= MOST_FILES:
            raise _Refused("stream-refused", f"{one.line}: more than one stream may bring")

    def _read(self, one: Finished, feed: _Feed, out: BinaryIO | None) -> None:
        digest, left = hashlib.sha256(), one.size
        while left:
            part = feed.some(left)
            digest.update(part)
            if out is not None:
                out.write(part)
            left -= len(part)
        if feed.line() != f"sum {digest.hexdigest()}\n".encode():
            raise _Refused("stream-refused", f"{one.line}: the length or the digest is not that announced")

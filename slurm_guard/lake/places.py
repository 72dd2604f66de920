"""Which files of a spool are collected, and how one is opened. No Polars here: nodes that ship use it."""

import errno
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slurm_guard.lake.shapes import BadRecord

# An hour of 8 GPUs is 0.7 MB, a capped reading of logs below 100 MB (measured); the rest is margin.
MAX_FILE = 256 << 20
# Folder -> how its files' names end; in the order in which they are taken.
EXTENSIONS = {"tickets": ".json", "ends": ".json", "seals": ".json", "sealed": ".jsonl", "progress": ".jsonl"}
ACKS = "collected"  # where a collector says what it has, if the node lets it
NODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """Where a file stands. `node` and `name` are names of directory entries, which root made."""

    path: str
    node: str
    kind: str  # tickets, ends, seals, sealed, progress
    name: str

    @property
    def stem(self) -> str:
        """The name without its last extension."""
        return self.name.rpartition(".")[0]


def open_regular(path: str) -> BinaryIO:
    """The file for reading; a link, pipe or device is refused, never waited for.

    Raises OSError, BadRecord not-a-file, too-large.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise BadRecord("not-a-file", "neither a regular file nor a record") from None
        raise
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise BadRecord("not-a-file", "neither a regular file nor a record")
        if info.st_size > MAX_FILE:
            raise BadRecord("too-large", f"{info.st_size} bytes where {MAX_FILE} are the most")
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def write_acks(node_folder: Path, who: str, lines: Iterable[str]) -> bool:
    """Tell the node what was collected, `<kind>/<name> <bytes>` a line; false: nothing new, or not allowed.

    The folder is the node's. Where it is not there, or not ours to write, the node goes by age alone.
    """
    path = node_folder / ACKS / f"{who}.list"
    raw = "".join(f"{line}\n" for line in sorted(lines)).encode("utf-8", "surrogateescape")
    try:
        if raw == _content(path):
            return False
        # Others may write this folder too: a link planted under our name must not be followed.
        new = path.with_name(f".{who}.{os.getpid()}.tmp")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    except (OSError, BadRecord):
        return False
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(raw)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        return False
    return True


def _content(path: Path) -> bytes:
    """What was said before; nothing said is empty."""
    try:
        with open_regular(str(path)) as before:
            return before.read(MAX_FILE)
    except FileNotFoundError:
        return b""

"""Finished files of one node's spool on their way out: to a drop folder, or as a stream for who asks by ssh.

The spool is only read. The stream, format 1: the asker writes `slurm-guard ship 1`, for each file that it has
a line `have KIND/NAME SIZE`, and `end`; the answer is `slurm-guard ship 1`, then for each other file a line
`file KIND/NAME SIZE`, its bytes and a line `sum SHA256`, and at last `end N`.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake.places import EXTENSIONS, NODE, open_regular, write_acks
from slurm_guard.lake.shapes import BadRecord
from slurm_guard.lake.write import write_whole

GREETING = "slurm-guard ship 1"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
MOST_LINE = 600  # bytes: a folder, a name of 255, a size
MOST_FILES = 500_000  # in one list or stream; a node with 1,000 jobs a day keeps 70,000. Judgement
PORTION = 1 << 20
# A seal goes last, after the segments that it lists, and is listed first, before more of them are written.
_ORDER = ("tickets", "ends", "sealed", "progress", "seals")


@dataclass(frozen=True, slots=True)
class Finished:
    """A file that is whole: it has its name."""

    kind: str
    name: str
    size: int

    @property
    def line(self) -> str:
        """As both ends write it, and as it stands in an acknowledgement."""
        return f"{self.kind}/{self.name} {self.size}"


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a push did. `refused`: files that stand there with another size, which are never overwritten.

    `skipped`: files that cannot be sent, and why.
    """

    n_new: int
    n_known: int
    refused: tuple[str, ...]
    skipped: tuple[str, ...]


def own_folder(spool: Path, node: str) -> Path:
    """The node's folder. Raises GuardError node-name, spool-missing."""
    if not NODE.fullmatch(node):
        raise GuardError("node-name", f"{node!a} is no node's name", "name it with --node", EXIT_USAGE)
    folder = spool / node
    if not folder.is_dir():
        raise GuardError("spool-missing", f"there is no folder {folder}", "name it with --spool and --node")
    return folder


def finished(folder: Path) -> list[Finished]:
    """What is to be shipped, in order. Raises GuardError spool-unreadable."""
    found: dict[str, list[Finished]] = {}
    for kind in reversed(_ORDER):
        try:
            with os.scandir(folder / kind) as entries:
                found[kind] = sorted(_listed(kind, entries), key=lambda one: one.name)
        except FileNotFoundError:
            found[kind] = []
        except OSError as error:
            why = f"{folder / kind}: {error.strerror}"
            raise GuardError("spool-unreadable", why, "let the group of who ships read it") from None
    return [one for kind in _ORDER for one in found[kind]]


def _listed(kind: str, entries: Iterator["os.DirEntry[str]"]) -> Iterator[Finished]:
    for entry in entries:
        if not NAME.fullmatch(entry.name) or not entry.name.endswith(EXTENSIONS[kind]):
            continue
        try:
            info = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # it was given up meanwhile
        if stat.S_ISREG(info.st_mode):
            yield Finished(kind, entry.name, info.st_size)


def parse_line(line: bytes, word: str) -> Finished | None:
    """`WORD KIND/NAME SIZE`; null: it is none that can be believed."""
    match = re.fullmatch(rb"([a-z]+) ([a-z]+)/([A-Za-z0-9._-]+) ([0-9]{1,12})\n", line)
    if match is None or match[1].decode() != word:
        return None
    kind, name = match[2].decode(), match[3].decode()
    if kind not in EXTENSIONS or not NAME.fullmatch(name) or not name.endswith(EXTENSIONS[kind]):
        return None
    return Finished(kind, name, int(match[4]))


def serve(folder: Path, asked: BinaryIO, out: BinaryIO) -> list[str]:
    """Answer one asker; the files that could not be sent, and why. Raises GuardError ship-request,
    spool-unreadable.
    """
    had = _read_request(asked)
    mine = finished(folder)
    write_acks(folder, "ship", [one.line for one in mine if one in had])
    out.write(f"{GREETING}\n".encode())
    n, skipped = 0, list[str]()
    for one in mine:
        if one not in had:
            try:
                n += _send(folder, one, out)
            except BadRecord as error:
                skipped.append(_skip(one, error))
    out.write(f"end {n}\n".encode())
    out.flush()
    return skipped


def _read_request(asked: BinaryIO) -> set[Finished]:
    had: set[Finished] = set()
    if asked.readline(MOST_LINE) == f"{GREETING}\n".encode():
        while len(had) < MOST_FILES:
            line = asked.readline(MOST_LINE)
            if line == b"end\n":
                return had
            one = parse_line(line, "have")
            if one is None:
                break
            had.add(one)
    raise GuardError("ship-request", "what was asked is no request of this format", "", EXIT_USAGE)


def _send(folder: Path, one: Finished, out: BinaryIO) -> int:
    """One file; 0: it went away, or is not what it was, before its first byte. Raises BadRecord."""
    try:
        with open_regular(str(folder / one.kind / one.name)) as body:
            if os.fstat(body.fileno()).st_size != one.size:
                return 0
            out.write(f"file {one.line}\n".encode())
            digest, left = hashlib.sha256(), one.size
            while left:
                part = body.read(min(left, PORTION))
                if not part:
                    raise GuardError("ship-torn", f"{one.kind}/{one.name} became shorter while it was sent")
                digest.update(part)
                out.write(part)
                left -= len(part)
    except FileNotFoundError:
        return 0
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise BadRecord("unreadable", error.strerror or type(error).__name__) from None
    out.write(f"sum {digest.hexdigest()}\n".encode())
    return 1


def push(folder: Path, node: str, target: Path, gone: Collection[Finished] = ()) -> Shipped:
    """Copy what is not there yet to `<target>/<node>/`. Raises GuardError drop-unwritable, spool-unreadable.

    `gone`: what was there, is in the lake and was given up (lake/prune.py); it counts as known.
    Each file is written under a name with a leading dot, synced and renamed, so that who collects there
    never sees half of one; doing it again changes nothing.
    """
    n_new, known, refused, skipped = 0, list[str](), list[str](), list[str]()
    try:
        for one in finished(folder):
            if one in gone:
                known.append(one.line)
                continue
            there = target / node / one.kind / one.name
            size = _size(there)
            if size is None:
                try:
                    if not _copy(folder / one.kind / one.name, there):
                        continue
                except BadRecord as error:
                    skipped.append(_skip(one, error))
                    continue
                n_new += 1
            if size in (None, one.size):
                known.append(one.line)
            else:
                refused.append(f"{one.kind}/{one.name}")
    except OSError as error:
        raise GuardError(
            "drop-unwritable",
            f"{error.filename or target}: {error.strerror or error}",
            "the folder must be this node's to write; see docs/transport.md",
        ) from None
    write_acks(folder, "ship", known)
    return Shipped(n_new, len(known) - n_new, tuple(refused), tuple(skipped))


def _skip(one: Finished, error: BadRecord) -> str:
    return f"{one.kind}/{one.name}: {error}"


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return None


def _copy(source: Path, target: Path) -> bool:
    """False: the source went away. Raises BadRecord where it cannot be read."""
    try:
        body = open_regular(str(source))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BadRecord("unreadable", error.strerror or type(error).__name__) from None
    with body:
        # Who collects there may be another user: the umask and the drop folder say who reads.
        write_whole(target, lambda out: shutil.copyfileobj(body, out, PORTION), 0o666)
    return True

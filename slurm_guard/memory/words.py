"""The site's words on disk: one file of JSON lines that is only ever added to.

`<report.path>/site-words.jsonl`: a head line with the format, then one line an exemption, disposition or
withdrawal, numbered from 1. Writers take turns (flock); a line is written by one call and synced before
anybody is told that it stands. A line that a crash tore is closed by the next writer and counted by readers.

Format history
    1  2026-11: exempt, disposition, withdraw.
"""

import contextlib
import fcntl
import json
import math
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slurm_guard.document import as_record
from slurm_guard.errors import GuardError
from slurm_guard.siteword import MOST_REASON, SCOPES, WORDS, Disposition, Exemption, SiteWords, Speaker

NAME = "site-words.jsonl"
KIND = "slurm-guard site words"
FORMAT = 1
MOST_BYTES = 32 << 20  # Judgement: a line an alert, and a hundred years of them
MOST_CHECKS = 64


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """`of` no longer holds."""

    id: int
    said_at: float
    by: Speaker
    of: int


Entry = Exemption | Disposition | Withdrawal
_KINDS: dict[str, type[Entry]] = {
    "exempt": Exemption,
    "disposition": Disposition,
    "withdraw": Withdrawal,
}
_NAME_OF = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Book:
    """Every entry in the order of its number. `bad`: lines that say nothing, and why."""

    entries: tuple[Entry, ...] = ()
    bad: tuple[str, ...] = ()

    @property
    def withdrawn(self) -> dict[int, Withdrawal]:
        """By the number of what no longer holds."""
        return {e.of: e for e in self.entries if isinstance(e, Withdrawal)}

    def words(self, up_to: int | None = None) -> SiteWords:
        """What holds; with `up_to` as if nothing with a higher number had been said."""
        known = Book(tuple(e for e in self.entries if up_to is None or e.id <= up_to))
        gone = known.withdrawn
        last = {e.subject.run: e for e in known.entries if isinstance(e, Disposition) and e.id not in gone}
        exempt = (e for e in known.entries if isinstance(e, Exemption) and e.id not in gone)
        return SiteWords(tuple(exempt), tuple(sorted(last.values(), key=lambda d: d.id)))


def read_book(path: Path) -> Book:
    """The book; an empty one where nothing was ever said.

    Raises GuardError words-unsafe, words-unreadable, words-newer.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Book()
    except OSError as error:
        raise _unreadable(path, error) from None
    with os.fdopen(fd, "rb") as file:
        _check_safe(path, os.fstat(fd))
        try:
            return _parse(path, file.read(MOST_BYTES + 1))
        except OSError as error:
            raise _unreadable(path, error) from None


def append(path: Path, make: Callable[[int, Book], Entry]) -> Entry:
    """Add what `make` gives for the next number and the book so far; it may raise to add nothing.

    Raises GuardError words-unsafe, words-unwritable, words-full, and those of read_book.
    """
    with _locked(path) as fd:
        _check_safe(path, os.fstat(fd))
        data = _read_all(fd)
        book = _parse(path, data)
        entry = make(1 + max((e.id for e in book.entries), default=0), book)
        line = _line(entry)
        if len(data) + len(line) > MOST_BYTES:
            raise GuardError("words-full", f"{path} has reached {MOST_BYTES >> 20} MiB", "put it aside")
        head = b"" if data else json.dumps({"k": "head", "kind": KIND, "format": FORMAT}).encode() + b"\n"
        torn = b"\n" if data and not data.endswith(b"\n") else b""
        _add(path, fd, len(data), head + torn + line)
    return entry


def _line(entry: Entry) -> bytes:
    body = {"k": _NAME_OF[type(entry)], **asdict(entry)}
    return json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode() + b"\n"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, made if need be, held alone."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, flags, 0o640)
    except OSError as error:
        raise GuardError(
            "words-unwritable",
            f"{path} cannot be written: {error.strerror}",
            "run it as the audit's user, or root",
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _read_all(fd: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read(MOST_BYTES + 1)


def _add(path: Path, fd: int, size: int, content: bytes) -> None:
    """Whole and on disk, or not at all."""
    try:
        if os.write(fd, content) != len(content):
            raise OSError(28, "no space left")  # ENOSPC: nothing else cuts a write into a regular file short
        os.fsync(fd)
        if size == 0:
            owner = path.parent.stat()
            if os.geteuid() == 0:  # the auditor, whose folder it is, adds to it as well
                os.fchown(fd, owner.st_uid, owner.st_gid)
            folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size)
        raise GuardError(
            "words-unwritable",
            f"{path} cannot be written: {error.strerror}",
            "make room, or look at the disk",
        ) from None


def _check_safe(path: Path, info: os.stat_result) -> None:
    """Only root, the folder's owner or whoever reads it may have written it: it says what needs no look."""
    owners = {0, os.geteuid(), path.parent.stat().st_uid}
    wrong = (
        "is no regular file"
        if not stat.S_ISREG(info.st_mode)
        else "belongs to neither root nor the audit's user"
        if info.st_uid not in owners
        else "may be written by its group or by everybody"
        if info.st_mode & 0o022
        else ""
    )
    if wrong:
        raise GuardError("words-unsafe", f"{path} {wrong}", "chown it to the audit's user and chmod it 640")


def _unreadable(path: Path, error: OSError) -> GuardError:
    return GuardError(
        "words-unreadable", f"{path} cannot be read: {error.strerror}", "run it as the audit's user, or root"
    )


def _parse(path: Path, data: bytes) -> Book:
    if not data:
        return Book()
    head, *lines = data.split(b"\n")
    number = _format_of(head)
    if number is None or len(data) > MOST_BYTES:
        raise GuardError(
            "words-unreadable",
            f"{path} is not a file of site words",
            "put it aside; say anew what still holds",
        )
    if number > FORMAT:
        raise GuardError(
            "words-newer",
            f"{path} has format {number}, this slurm-guard reads up to {FORMAT}",
            "use the release that wrote it, or a later one",
        )
    entries: list[Entry] = []
    bad: list[str] = []
    for n, line in enumerate(lines, 2):
        if not line:
            continue
        try:
            entry = _entry(line)
            if entry.id <= (entries[-1].id if entries else 0):
                raise ValueError("its number is not above the one before")
            entries.append(entry)
        except (ValueError, RecursionError) as error:
            bad.append(f"line {n}: {str(error)[:200]}")
    return Book(tuple(entries), tuple(bad))


def _format_of(line: bytes) -> int | None:
    """Null: no head of ours."""
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number = head.get("format") if isinstance(head, dict) and head.get("kind") == KIND else None
    return number if isinstance(number, int) else None


def _entry(line: bytes) -> Entry:
    """Raises ValueError."""
    data: Any = json.loads(line, parse_constant=_refuse)
    kind = _KINDS.get(str(data.get("k")) if isinstance(data, dict) else "")
    if kind is None:
        raise ValueError("it is neither exempt, disposition nor withdraw")
    entry = as_record(kind, data)
    wrong = _wrong(entry)
    if wrong:
        raise ValueError(wrong)
    return entry


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _wrong(entry: Entry) -> str:
    """What no release of ours would have written; empty: nothing."""
    if not math.isfinite(entry.said_at):
        return "said_at is no time"
    if isinstance(entry, Withdrawal):
        return ""
    if not 0 < len(entry.checks) <= MOST_CHECKS and isinstance(entry, Exemption):
        return "it names no check, or too many"
    text = entry.reason if isinstance(entry, Exemption) else entry.note
    if len(text) > MOST_REASON:
        return f"its reason is longer than {MOST_REASON} characters"
    if isinstance(entry, Disposition):
        return "" if entry.word in WORDS else "no such disposition"
    if not set(entry.hard) <= set(entry.checks):
        return "it means hard facts of checks that it does not name"
    return "" if entry.scope in SCOPES and math.isfinite(entry.until_at) else "no such scope or end"

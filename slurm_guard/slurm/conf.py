"""slurm.conf as Slurm's own parser reads it: `Include` followed, comments, continuations, quotes and escapes.

Written from Slurm's src/common/parse_config.c. One key a line, but for the keys that have fields of their own
(NodeName=… CPUs=…). A `#` begins a comment, even inside quotes, unless a backslash stands before it. A line
goes on where its last character but for blanks is one backslash. `Include` counts only at the line's very
beginning, `%c` in it is the cluster's name, and a relative path belongs to the folder of slurm.conf; in 22.05
to that of the file that names it (compared: 22.05, 23.02, 23.11, 24.05, 26.05).
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slurm_guard.errors import GuardError

MAX_FILE = 16 << 20  # bytes; a site with 10,000 nodes has some 200 KB: judgement
MAX_FILES = 256  # judgement; Slurm has no bound and no eye for cycles

# Bytes, so that blanks are C's and not Unicode's.
_PAIR = re.compile(rb'\s*([A-Za-z0-9_.]+)\s*([-*+/]?)=\s*("([^"]*)"|\S+)(?:\s|$)')
# A line of its own for each: beside another pair Slurm refuses the line (seen: 22.05). Which other keys have
# fields of their own is Slurm's to know.
_ALONE = frozenset(("prolog", "epilog", "taskprolog", "taskepilog", "prologslurmctld", "epilogslurmctld")) | {
    "prologflags",
    "prologtimeout",
    "epilogtimeout",
    "prologepilogtimeout",
}
_INCLUDE = re.compile(rb"(?i)include\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Line:
    """One setting. `number` (from 1) is that of its first physical line; `raw` holds all of them as they are.

    `rest` is what stands after the value: fields of a NodeName or PartitionName line, else blanks.
    """

    path: Path
    number: int
    key: str
    value: str
    raw: bytes
    operator: str = ""
    rest: str = ""

    @property
    def n_lines(self) -> int:
        """Physical lines that it takes: more than one where it goes on."""
        return max(1, self.raw.count(b"\n") + (not self.raw.endswith(b"\n")))

    def fields(self) -> dict[str, str]:
        """Key (lower case) to value of the whole line: {"nodename": "n1", "gres": "gpu:4"}."""
        found = {self.key.lower(): self.value}
        for key, _, value, _ in _pairs(_encode(self.rest)):
            found[_decode(key).lower()] = _decode(value)
        return found


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that Slurm itself would refuse, with a sentence saying why."""

    path: Path
    number: int
    sentence: str


@dataclass(frozen=True, slots=True)
class SlurmConf:
    """The settings in the order in which Slurm meets them: the last of a name wins, unless it is a list."""

    path: Path
    lines: tuple[Line, ...]
    texts: Mapping[Path, bytes]
    problems: tuple[Problem, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file read, the first one first."""
        return tuple(self.texts)

    def lines_of(self, key: str) -> tuple[Line, ...]:
        """All lines of a key, whose case does not matter, in Slurm's order."""
        return tuple(line for line in self.lines if line.key.lower() == key.lower())

    def values(self, key: str) -> tuple[str, ...]:
        """All values of a key, in Slurm's order."""
        return tuple(line.value for line in self.lines_of(key))

    def last(self, key: str) -> str | None:
        """The value that holds where Slurm keeps one; null where the key is not set."""
        values = self.values(key)
        return values[-1] if values else None

    def newline(self, path: Path) -> bytes:
        """How that file's lines end: CRLF where most do."""
        text = self.texts[path]
        return b"\r\n" if text.count(b"\r\n") * 2 > text.count(b"\n") else b"\n"

    def has_crlf(self, path: Path) -> bool:
        """Whether any line of the file ends in CRLF."""
        return b"\r\n" in self.texts[path]


def read_slurm_conf(
    path: Path, open_text: Callable[[Path], bytes] | None = None, version: tuple[int, int] | None = None
) -> SlurmConf:
    """The file and all that it includes. A missing, unreadable or cyclic file is a GuardError that names it.

    `open_text` reads one file (default: `read_text`); tests and staged images give one of their own.
    `version`: Slurm's, as (22, 5); null: a later one than 22.05.
    """
    by_file = version is not None and version < (23, 2)
    reading = _Reading(open_text or read_text, None if by_file else path.parent)
    reading.read(path, None, ())
    return SlurmConf(path, tuple(reading.lines), dict(reading.texts), tuple(reading.problems))


def read_text(path: Path) -> bytes:
    """One regular file's bytes; never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise GuardError("slurm-conf-unreadable", f"{path} is no regular file")
        text = file.read(MAX_FILE + 1)
    if len(text) > MAX_FILE:
        raise GuardError("slurm-conf-unreadable", f"{path} is larger than {MAX_FILE >> 20} MiB")
    return text


@dataclass(slots=True)
class _Reading:
    open_text: Callable[[Path], bytes]
    folder: Path | None  # of relative includes; null: that of the file that names them
    lines: list[Line] = field(default_factory=list)
    texts: dict[Path, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    n_files: int = 0

    def read(self, path: Path, named_at: str | None, above: tuple[str, ...]) -> None:
        if os.path.realpath(path) in above:
            raise GuardError("slurm-conf-include", f"{named_at} includes {path}, which includes itself")
        self.n_files += 1
        if self.n_files > MAX_FILES:
            raise GuardError("slurm-conf-include", f"{above[0]} includes more than {MAX_FILES} files")
        text = self._open(path, named_at)
        self.texts[path] = text
        for number, raw, words in logical_lines(text):
            self._take(path, number, raw, words, (*above, os.path.realpath(path)))

    def _open(self, path: Path, named_at: str | None) -> bytes:
        try:
            text = self.open_text(path)
        except OSError as error:
            if named_at is not None:
                raise GuardError(
                    "slurm-conf-include",
                    f"{named_at} includes {path}, which cannot be read: {error.strerror}",
                    "Slurm's daemons wait a minute for such a file and then do not start",
                ) from None
            slug = "slurm-conf-missing" if isinstance(error, FileNotFoundError) else "slurm-conf-unreadable"
            raise GuardError(
                slug, f"{path} cannot be read: {error.strerror}", "name another with --slurm-conf"
            ) from None
        if b"\0" in text:
            raise GuardError("slurm-conf-unreadable", f"{path} holds a NUL byte: it is no text")
        return text

    def _take(self, path: Path, number: int, raw: bytes, words: bytes, above: tuple[str, ...]) -> None:
        include = _INCLUDE.match(words)
        if include is not None:
            if words[include.end() :].strip():
                self._refuse(path, number, "more than one word after Include")
            elif not words[include.end() :] and not raw.endswith(b"\n"):
                # It looks for the blank after the name, past the end into an earlier line (seen: 22.05).
                self._refuse(path, number, "Include in a last line without an end, which Slurm misreads")
            self.read(self._included(path, number, include[1]), f"{path}:{number}", above)
            return
        pair = next(_pairs(words), None)
        if pair is None:
            if words.strip():
                self._refuse(path, number, f"no key=value: {_decode(words.strip())[:80]!a}")
            return
        key, operator, value, rest = pair
        texts = [_decode(part) for part in (key, value, operator, rest)]
        self.lines.append(Line(path, number, texts[0], texts[1], raw, texts[2], texts[3]))
        others = [_decode(pair[0]) for pair in _pairs(rest)]
        if rest.strip() and (not others or any(one.lower() in _ALONE for one in (texts[0], *others))):
            self._refuse(path, number, f"Slurm cannot read {texts[3].strip()[:80]!a} after {texts[0]}=")

    def _included(self, path: Path, number: int, name: bytes) -> Path:
        if b"%c" in name:
            clusters = [line.value for line in self.lines if line.key.lower() == "clustername"]
            if not clusters:
                raise GuardError("slurm-conf-include", f"{path}:{number} names %c before any ClusterName")
            name = name.replace(b"%c", _encode(clusters[-1].lower()))
        return (self.folder or path.parent) / os.fsdecode(name)

    def _refuse(self, path: Path, number: int, sentence: str) -> None:
        self.problems.append(Problem(path, number, sentence))


def logical_lines(text: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number of the first physical line, the raw bytes, and the words as Slurm sees them."""
    raw, words, first = b"", b"", 1
    for number, line in enumerate(_physical(text), 1):
        first = first if raw else number
        raw += line
        stripped = _strip_comment(line)
        shorter = _continued(stripped)
        if shorter is not None:
            words += shorter
            continue
        yield first, raw, _strip_escapes(words + stripped)
        raw, words = b"", b""
    if raw:
        yield first, raw, _strip_escapes(words)


def _physical(text: bytes) -> Iterator[bytes]:
    """At line feeds alone: a lone carriage return is a blank for Slurm."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _strip_comment(line: bytes) -> bytes:
    """Up to the first `#` before which stands an even number of backslashes."""
    for match in re.finditer(rb"(\\*)#", line):
        if len(match[1]) % 2 == 0:
            return line[: match.end() - 1]
    return line


def _continued(line: bytes) -> bytes | None:
    """The line without its last backslash where it goes on; null where it ends."""
    bare = line.rstrip(b" \t\n\v\f\r")
    n_slashes = len(bare) - len(bare.rstrip(b"\\"))
    return bare[:-1] if n_slashes % 2 == 1 else None


def _strip_escapes(words: bytes) -> bytes:
    return re.sub(rb"(?s)\\(.?)", rb"\1", words)


def _pairs(words: bytes) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """key, operator, value and the rest, of each pair from the left."""
    match = _PAIR.match(words)
    while match is not None:
        value = match[4] if match[4] is not None else match[3]
        words = words[match.end(3) :]
        yield match[1], match[2], value, words
        match = _PAIR.match(words)


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

"""Files that could not be taken: a copy as it is, and beside it the reason. The spool is left alone."""

import hashlib
import re
from pathlib import Path

from slurm_guard.lake.places import MAX_FILE, SpoolFile, open_regular
from slurm_guard.lake.shapes import BadRecord
from slurm_guard.lake.write import write_whole

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


def safe_name(name: str) -> str:
    """A name that is nothing but a name; one that had to be changed ends in a digest of what it was."""
    if _PLAIN.fullmatch(name):
        return name
    tail = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return "_" + re.sub(r"[^A-Za-z0-9._-]", "_", name)[:120] + "." + tail


def quarantine(lake: Path, file: SpoolFile, reason: BadRecord) -> Path:
    """Copy the file and write `<name>.reason` beside it (one line: slug, sentence). The reason's path.

    What cannot or must not be copied (unreadable, a link, too large) leaves the reason alone.
    """
    folder = lake / "quarantine" / safe_name(file.node) / safe_name(file.kind)
    copy = folder / safe_name(file.name)
    raw = _content(file)
    if raw is not None and not (copy.is_file() and copy.read_bytes() == raw):
        write_whole(copy, raw)
    words = folder / (copy.name + ".reason")
    line = f"{reason.slug}: {_one_line(reason.sentence)}\n".encode()
    if not (words.is_file() and words.read_bytes() == line):
        write_whole(words, line)
    return words


def release(lake: Path, file: SpoolFile) -> None:
    """Take back the reason of a file that had only been unreadable, or was of a format that is known by now,
    and now is good. Other copies stay."""
    folder = lake / "quarantine" / safe_name(file.node) / safe_name(file.kind)
    copy = folder / safe_name(file.name)
    words = folder / (copy.name + ".reason")
    waits = copy.exists() and words.exists() and words.read_bytes().startswith(b"format-newer:")
    if waits and copy.read_bytes() == _content(file):  # what was taken is what lies here
        copy.unlink()
    if not copy.exists():
        words.unlink(missing_ok=True)


def _content(file: SpoolFile) -> bytes | None:
    try:
        with open_regular(file.path) as stream:
            return stream.read(MAX_FILE + 1)
    except (OSError, BadRecord):
        return None


def _one_line(text: str) -> str:
    """Part of the sentence may be the file's own words: no control characters, no end."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:400]

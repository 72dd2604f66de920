"""Text that a job chose, bounded by what it costs in a record: a control character takes six bytes there."""

from __future__ import annotations

from bisect import bisect_right
from sys import intern

from slurm_guard.light import to_json
from slurm_guard.wire import clip

# Bytes per process, of JSON in a record and in memory: together 5 KB at most. Judgement.
MOST_CMDLINE, MOST_PATH, MOST_NAME = 2048, 1024, 128
CUT = "[cut]"  # stands where something was left out; a wide character there would widen the whole text
_MOST_READ = 1 << 16  # what /proc gives of one text is less
_PATH_END = 256  # of a path that is cut, its end is kept too: the program's name, and whether it was deleted


def short(text: str | None, limit: int, end: int = 0) -> str | None:
    """The text in at most `limit` bytes, both of JSON without its quotes and in memory; of a longer one
    `end` are its end.
    """
    whole = clip(text, _MOST_READ)
    if whole is None:
        return None
    width = _width(whole)
    if _size(whole, width) <= limit:
        return whole
    head = whole[: _fitting(whole, limit - end - len(CUT) * width, width)]
    backwards = whole[::-1]
    return head + CUT + backwards[: _fitting(backwards, end, width)][::-1]


def short_path(path: str | None) -> str | None:
    """A path as the table keeps it."""
    return shared(short(path, MOST_PATH, _PATH_END))


def shared(text: str | None) -> str | None:
    """The same object for the same text: a job's processes have much in common. It goes with the last one."""
    return None if text is None else intern(text)


def _width(text: str) -> int:
    """Bytes that each character takes in memory: one emoji makes it four for all of them."""
    if text.isascii():
        return 1
    highest = max(text)
    return 1 if highest < "\u0100" else 2 if highest < "\U00010000" else 4


def _size(text: str, width: int) -> int:
    return max(len(to_json(text)) - 2, len(text) * width)


def _fitting(text: str, limit: int, width: int) -> int:
    """How many characters fit."""
    counts = range(min(len(text), limit) + 1)
    return bisect_right(counts, limit, key=lambda n: _size(text[:n], width)) - 1

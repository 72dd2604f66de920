"""Which lines of a chunk hold one of many words: each word is searched in the whole chunk at once."""

import re
import string
from functools import lru_cache

from slurm_guard.progress.lines import RAW_PREFIX
from slurm_guard.progress.protocol import MAX_SEGMENT

# Most words are not in a chunk, and a part of them is sought in what is left of it without common characters:
# a tenth without all of these, a half without the latter (chosen by what real logs took).
_COMMON = string.ascii_lowercase.encode() + string.digits.encode() + b" \t\r\n._-"
_FREQUENT = b"aeon" + string.digits.encode() + b" \n.,_-"


Word = tuple[bytes, int, re.Pattern[bytes] | None]  # a word, its bit, and what has to stand behind it


def find_lines(body: bytes, wanted: list[Word]) -> tuple[int, dict[int, int]]:
    """(bits of all words that were found, index of a line's begin -> bits of the words in it).

    `body`: whole lines. A word counts where it ends within a line's first MAX_SEGMENT bytes.
    """
    rare, half = body.translate(None, _COMMON), body.translate(None, _FREQUENT)
    found = 0
    lines: dict[int, int] = {}
    coloured = b"\x1b" in rare
    for word, bit, tail in wanted:
        in_rare, in_half = _parts(word)
        if in_rare not in rare or in_half not in half:
            continue
        if tail is None:
            found |= bit * _mark(body, word, bit, lines)
        else:
            found |= bit * _mark_tailed(body, (word, bit, tail), coloured, lines)
    return found, lines


def _mark(body: bytes, word: bytes, bit: int, lines: dict[int, int]) -> bool:
    """Adds the bit to every line with the word. Each line is passed once, however often it holds the word."""
    at = body.find(word)
    if at < 0:
        return False
    within = MAX_SEGMENT - len(word)
    after = 0  # the line behind the last one that was found
    while at >= 0:
        begin = body.rfind(b"\n", after, at) + 1 or after
        if at - begin <= within:
            lines[begin] = lines.get(begin, 0) | bit
        after = body.index(b"\n", at) + 1
        at = body.find(word, after)
    return True


def _mark_tailed(
    body: bytes, wanted: tuple[bytes, int, re.Pattern[bytes]], coloured: bool, lines: dict[int, int]
) -> bool:
    """As `_mark`, where the word counts only with its tail."""
    word, bit, tail = wanted
    within, length, matches = MAX_SEGMENT - len(word), len(word), tail.match
    found = False
    after = 0
    at = body.find(word)
    while at >= 0:
        if matches(body, at + length) is None and not (coloured and _is_coloured(body, at)):
            at = body.find(word, at + length)
            continue
        begin = body.rfind(b"\n", after, at) + 1 or after
        if at - begin <= within:
            lines[begin] = lines.get(begin, 0) | bit
            found = True
        after = body.index(b"\n", at) + 1
        at = body.find(word, after)
    return found


def _is_coloured(body: bytes, at: int) -> bool:
    """Whether a terminal sequence follows in the line."""
    return body.find(b"\x1b", at, body.index(b"\n", at)) >= 0


def find_begins(body: bytes, head: bytes, bit: int, lines: dict[int, int]) -> None:
    """Adds the bit to every line that begins with an expression, behind what a cleaning takes away, and to
    every line with a terminal sequence, which may hide it."""
    first, later = _begins(head)
    if first.match(body) is not None:
        lines[0] = lines.get(0, 0) | bit
    for match in later.finditer(body):
        at = match.start() + 1
        lines[at] = lines.get(at, 0) | bit
    _mark(body, b"\x1b", bit, lines)


@lru_cache(maxsize=64)
def _begins(head: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """At the body's begin, and behind a line feed."""
    begins = rb"(?:" + head + rb"|(?=[ \t0-9\[(\x1b])" + RAW_PREFIX + head + rb")"
    return re.compile(begins), re.compile(rb"\n" + begins)


@lru_cache(maxsize=512)
def _parts(word: bytes) -> tuple[bytes, bytes]:
    """The word without common, and without frequent characters; empty: what is left says too little."""
    half = word.translate(None, _FREQUENT)
    return word.translate(None, _COMMON), half if len(half) > 1 else b""

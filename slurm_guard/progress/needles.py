"""Which lines of a chunk hold one of many words: each word is searched in the whole chunk at once."""

import string
from functools import lru_cache

from slurm_guard.progress.protocol import MAX_SEGMENT

# Most words are not in a chunk, and a part of them is sought in what is left of it without common characters:
# a tenth without all of these, a half without the latter (chosen by what real logs took).
_COMMON = string.ascii_lowercase.encode() + string.digits.encode() + b" \t\r\n._-"
_FREQUENT = b"aeon" + string.digits.encode() + b" \n.,_-"


def find_lines(body: bytes, wanted: list[tuple[bytes, int]]) -> tuple[int, dict[int, int]]:
    """(bits of all words that were found, index of a line's begin -> bits of the words in it).

    `body`: whole lines. A word counts where it ends within a line's first MAX_SEGMENT bytes.
    """
    rare, half = body.translate(None, _COMMON), body.translate(None, _FREQUENT)
    found = 0
    lines: dict[int, int] = {}
    for word, bit in wanted:
        in_rare, in_half = _parts(word)
        if in_rare in rare and in_half in half and _mark(body, word, bit, lines):
            found |= bit
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


@lru_cache(maxsize=512)
def _parts(word: bytes) -> tuple[bytes, bytes]:
    """The word without common, and without frequent characters; empty: what is left says too little."""
    half = word.translate(None, _FREQUENT)
    return word.translate(None, _COMMON), half if len(half) > 1 else b""

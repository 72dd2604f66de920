"""Cuts bytes into whole lines (LF, CR, backspace), and cleans one line for a parser."""

import re

from slurm_guard.progress.protocol import MAX_SEGMENT

# tqdm redraws with CR, Keras with backspaces: each redraw is a line of its own.
_BREAKS = bytes.maketrans(b"\r\x08", b"\n\n")
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]{0,24}[ -/]?[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)?)")
# srun --label "0: ", torchrun "[rank0]:" "[default0]:", Ray and vLLM "(Name pid=12, ip=…) ",
# mpirun --tag-output "[1,0]<stdout>:"
_PREFIX = re.compile(
    r"[ \t]{0,8}(?:(\d{1,6}): |\[(?:rank|default)?(\d{1,6})\]: ?|"
    r"\([A-Za-z_][\w.]{0,60} pid=(\d{1,10})[^)\n]{0,80}\) |\[\d{1,6},(\d{1,6})\]<std(?:out|err)>: ?)"
)
_BEGINS_PREFIX = frozenset(" \t[(0123456789")
# What `clean` takes away at the begin of a raw line, or more: to tell by one search which lines may begin so.
RAW_PREFIX = (
    rb"(?:[ \t]{0,8}(?:\d{1,6}: |\[(?:rank|default)?\d{1,6}\]: ?|\([A-Za-z_][^\n)]{0,180}\) |"
    rb"\[\d{1,6},\d{1,6}\]<std(?:out|err)>: ?)|"
    rb"\x1b(?:\[[0-9;?]{0,24}[ -/]?[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)?)){0,8}"
)
# What a number that goes on behind the cut may have before it: its digits, and those that it is the total of.
_TEARABLE = b"+,-./:_%" + bytes((*range(48, 58), *range(65, 91), *range(97, 123), *range(128, 256)))
_HALF = MAX_SEGMENT // 2  # a line longer than MAX_SEGMENT covers one aligned block of half its size


class Splitter:
    """Feeds on chunks, gives the whole lines in them in one piece; keeps the begin of the last, cut."""

    def __init__(self) -> None:
        self.kept = b""  # of a line whose end was not fed yet
        self._dropping = False  # inside a line whose begin was left out
        self._at = 0
        self.n_cut = 0

    def feed(self, data: bytes, offset: int) -> tuple[bytes, int]:
        """(lines, each with a line feed, `at`): what ends at index i of them ends at `at` + i in the file.

        A line that began in an earlier piece comes with at most MAX_SEGMENT + 1 bytes of that piece.
        """
        if b"\r" in data or b"\x08" in data:
            data = data.translate(_BREAKS)
        self._at = offset + len(data)
        end = data.rfind(b"\n") + 1
        if end == 0:
            if not self._dropping:
                self.kept = (self.kept + data)[: MAX_SEGMENT + 1]
            return b"", offset
        begin = data.find(b"\n") + 1 if self._dropping else 0
        body, at = self.kept + data[begin:end], offset + begin - len(self.kept)
        self._dropping = False
        self.kept = data[end : end + MAX_SEGMENT + 1]
        self.n_cut += _n_long(body)
        return body, at

    def skipped(self) -> None:
        """Bytes are left out next: what follows begins inside a line, whose rest is dropped."""
        self.kept = b""
        self._dropping = True

    def finish(self) -> tuple[bytes, int]:
        """The last line, if it has no end, cut, and its end's offset. It may be torn inside a number."""
        if self._dropping:
            return b"", self._at
        self.n_cut += len(self.kept) > MAX_SEGMENT
        return self.kept[:MAX_SEGMENT], self._at


def _n_long(body: bytes) -> int:
    """How many of the lines are longer than MAX_SEGMENT."""
    n, end = 0, 0
    for block in range(0, len(body), _HALF):
        if block >= end and body.find(b"\n", block, block + _HALF) < 0:
            begin, end = body.rfind(b"\n", end, block) + 1 or end, body.find(b"\n", block) + 1
            n += end - 1 - begin > MAX_SEGMENT
    return n


def clean(line: bytes) -> tuple[str, str]:
    """(text, rank label): decoded, without terminal sequences and launcher prefixes."""
    text = line.decode("utf-8", "replace")
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if text[:1] not in _BEGINS_PREFIX:  # of most lines
        return text, ""
    rank = ""
    for _ in range(3):  # `0: [rank0]: text` has two; never more than three were seen
        if text[:1] not in _BEGINS_PREFIX:
            break
        match = _PREFIX.match(text)
        if match is None:
            break
        rank = rank or match.group(match.lastindex or 1)
        text = text[match.end() :]
    return text, rank


def first_of(body: bytes, begin: int, end: int) -> bytes:
    """What is looked at of a line: of a long one the begin, blanks for the word that the cut tore."""
    if end - begin <= MAX_SEGMENT:
        return body[begin:end]
    return body[begin : begin + MAX_SEGMENT].rstrip(_TEARABLE).ljust(MAX_SEGMENT)


def whole_words(line: bytes) -> bytes:
    """A line without an end may be torn inside a number: its last word is left out unless it is closed."""
    if line.rstrip()[-1:] in (b"]", b"}", b")", b"|"):
        return line
    return line[: max(line.rfind(b" "), line.rfind(b"\t"), 0)]

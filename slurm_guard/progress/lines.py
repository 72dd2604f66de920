"""Cuts bytes into lines (LF, CR, backspace) with their end offsets, and cleans one line for a parser."""

import re
from collections.abc import Iterator

from slurm_guard.progress.protocol import MAX_SEGMENT

# tqdm redraws with CR, Keras with backspaces: each redraw is a line of its own.
_BREAKS = bytes.maketrans(b"\r\x08", b"\n\n")
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]{0,24}[ -/]?[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)?)")
# srun --label "0: ", torchrun "[rank0]:" "[default0]:", Ray and vLLM "(Name pid=12, ip=…) "
_PREFIX = re.compile(
    r"[ \t]{0,8}(?:(\d{1,6}): |\[(?:rank|default)?(\d{1,6})\]: ?|"
    r"\([A-Za-z_][\w.]{0,60} pid=(\d{1,10})[^)\n]{0,80}\) )"
)


class Splitter:
    """Feeds on chunks, gives (line, end offset); a line longer than MAX_SEGMENT is given cut, once."""

    def __init__(self) -> None:
        self.kept = b""  # of a line whose end was not fed yet
        self._dropping = False  # inside the rest of a line that was already given cut
        self._at = 0
        self.n_cut = 0

    def feed(self, data: bytes, offset: int) -> Iterator[tuple[bytes, int]]:
        """All lines that end in `data`; the rest is kept, at most MAX_SEGMENT bytes of it."""
        pieces = data.translate(_BREAKS).split(b"\n")
        at = offset
        last = len(pieces) - 1
        for index, piece in enumerate(pieces):
            at += len(piece)
            if index == last:
                self._keep(piece)
                break
            at += 1
            if self._dropping:
                self._dropping = False
                continue
            if self.kept:
                piece = self.kept + piece
                self.kept = b""
            if piece:
                if len(piece) > MAX_SEGMENT:
                    self.n_cut += 1
                    piece = piece[:MAX_SEGMENT]
                yield piece, at
        self._at = at

    def _keep(self, piece: bytes) -> None:
        if self._dropping:
            return
        self.kept = (self.kept + piece)[: MAX_SEGMENT + 1]

    def skipped(self) -> None:
        """Bytes are left out next: what follows begins inside a line, whose rest is dropped."""
        self.kept = b""
        self._dropping = True

    def finish(self) -> Iterator[tuple[bytes, int]]:
        """The last line, if it has no end. It may be torn inside a number."""
        if self.kept and not self._dropping:
            yield self.kept[:MAX_SEGMENT], self._at


def clean(line: bytes) -> tuple[str, str]:
    """(text, rank label): decoded, without terminal sequences and launcher prefixes."""
    text = line.decode("utf-8", "replace")
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    rank = ""
    for _ in range(3):  # `0: [rank0]: text` has two; never more than three were seen
        match = _PREFIX.match(text)
        if match is None:
            break
        rank = rank or match.group(1) or match.group(2) or match.group(3)
        text = text[match.end() :]
    return text, rank

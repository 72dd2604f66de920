"""Lines of ours in a file of the site's: between two marks, with what stood there before.

`take_out(put_in(text))` is `text`, byte for byte, whatever its line ends are, or if its last line has none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BEGIN = b"# slurm-guard install: begin (slurm-guard uninstall takes this block out)"
BEGIN_OPEN = BEGIN + b" after a line without an end"
END = b"# slurm-guard install: end"
WAS = b"#was# "
WAS_OPEN = b"#was-open# "  # the file's last line, which had no end


@dataclass(frozen=True, slots=True)
class Edit:
    """`words` for `n_lines` physical lines from `number` on; none: before that line. Number 0: at the end."""

    number: int
    n_lines: int
    words: tuple[str, ...]


class DamagedBlock(ValueError):
    """The marks do not match: somebody edited them. The text says where."""


def put_in(text: bytes, edits: Sequence[Edit], newline: bytes) -> bytes:
    """The text with a block for each edit; those for the end share one. Edits must not overlap."""
    lines = list(_physical(text))
    for edit in sorted(edits, key=lambda one: one.number, reverse=True):
        if edit.number > 0:
            start, end = edit.number - 1, edit.number - 1 + edit.n_lines
            lines[start:end] = [_block(BEGIN, lines[start:end], edit.words, newline)]
    whole = b"".join(lines)
    last = [word for edit in edits if edit.number == 0 for word in edit.words]
    if not last:
        return whole
    if not whole or whole.endswith(b"\n"):
        return whole + _block(BEGIN, [], last, newline)
    return whole + newline + _block(BEGIN_OPEN, [], last, newline)


def take_out(text: bytes) -> bytes:
    """The text without our blocks and with what stood there before. Raises DamagedBlock."""
    out: list[bytes] = []
    newline: bytes | None = None  # of the block that we are in
    for number, line in enumerate(_physical(text), 1):
        bare = line.rstrip(b"\r\n")
        if bare in (BEGIN, BEGIN_OPEN):
            if newline is not None:
                raise DamagedBlock(f"line {number} begins a block within another")
            newline = line[len(bare) :]
            if bare == BEGIN_OPEN and out:
                out[-1] = out[-1].removesuffix(newline)
        elif bare == END:
            if newline is None:
                raise DamagedBlock(f"line {number} ends a block that was not begun")
            newline = None
        elif newline is None:
            out.append(line)
        elif line.startswith(WAS):
            out.append(line[len(WAS) :])
        elif line.startswith(WAS_OPEN):
            out.append(line[len(WAS_OPEN) :].removesuffix(newline))
    if newline is not None:
        raise DamagedBlock("the last block has no end")
    return b"".join(out)


def foreign_lines(text: bytes, ours: bytes) -> list[tuple[int, bytes]]:
    """Lines that stand in a block of `text` and in none of `ours`, which we wrote: number and line.

    An empty line, and one of ours that was made a comment, hold nobody's words.
    """
    known = {line for _, line in _words(ours)}
    return [
        (number, line)
        for number, line in _words(text)
        if line and line not in known and line.lstrip(b"# \t") not in known
    ]


def _words(text: bytes) -> Iterator[tuple[int, bytes]]:
    """What holds in the blocks, without blanks around; what stood there before is left out."""
    inside = False
    for number, line in enumerate(_physical(text), 1):
        bare = line.strip()
        if bare in (BEGIN, BEGIN_OPEN, END):
            inside = bare != END
        elif inside and not line.startswith((WAS, WAS_OPEN)):
            yield number, bare


def has_block(text: bytes) -> bool:
    """Whether any of our marks stands in it."""
    return BEGIN in text or END in text


def _block(begin: bytes, was: Sequence[bytes], words: Sequence[str], newline: bytes) -> bytes:
    parts = [begin + newline]
    parts += [WAS + line if line.endswith(b"\n") else WAS_OPEN + line + newline for line in was]
    parts += [word.encode("utf-8", "surrogateescape") + newline for word in words]
    return b"".join(parts) + END + newline


def _physical(text: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(text):
        end = text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end

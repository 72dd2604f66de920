"""Hurts a valid file as a list of pieces: cut, flipped, doubled, moved, bombed, mixed with what is no text.

An edit is four small whole numbers, which Hypothesis draws and shrinks: what, and three places or choices.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

MOST_B = 3 << 20  # bytes of a file after its edits: more would test the clock, not the reader
MOST_PIECES = 4_000


class Piece(NamedTuple):
    """Some bytes of a file; `whole`: a record as it was written."""

    data: bytes
    whole: bool


Edit = tuple[int, int, int, int]
Plan = list[Edit]

NUMBERS = (
    b"NaN", b"nan", b"-nan", b"Infinity", b"-inf", b"1e400", b"-1e400", b"-1", b"-0", b"0", b"9007199254740991",
    b"9007199254740992", b"18446744073709551616", b"9" * 40, b"9" * 5_000, b"1.5", b"1e3", b"1e308", b"1,234",
    b"1_000", b"1.234,5", b"0x1f", b"012", b"1.", b".5", b"\xd9\xa3", b"\xef\xbc\x91", b"\xc2\xb2", b"1 2",
    b"", b"null", b"true", b"1e-9", b"3000000000000",
)  # fmt: skip
JUNK = (
    b"\0", b"\0" * 70, b"\0" * 9_000, b"\n", b"\r", b"\r\n", b"\x08", b"\x1a", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xed\xa0\x80", b"\xff" * 30, b"\x1b[31m", b"\x1b]0;", b"\x1b[" + b"0;" * 3_000, b"\x1bP", b"\xe2\x80\xae",
    b"{", b"}", b"{}", b"[]", b"[" * 6_000, b'{"a":' * 3_000, b'{"step":[' * 900, b'"', b'"' * 99, b"'", b"\\",
    b"{'", b"'}", b",", b",,,,,,,", b";", b"\t", b" " * 5_000, b" ", b"|", b"#", b"=", b":", b"/", b"%", b"-",
    b"<!--", b"\n" * 3_000, b"\r" * 3_000, b"0: ", b"[rank7]: ", b"(Worker pid=12) ", b"step=7 loss=0.5",
    b'{"step": 7, "loss": 0.5}', b"iteration 7/ 9 | lm loss: 1.0 |", b" 50%|### | 5/10 [00:01<00:01, 1.0it/s]",
    b":::MLLOG ", b"DLLL ", b"Epoch 1/1", b"DAV:   1    -0.3E+02 ", b"Loop time of 1 on 1", b"r,l,t",
    b"Per MPI rank memory allocation (min/avg/max) = 8", b"step,loss", b"epoch", b"PK\x03\x04", b"\x80\x04\x95",
    b"\x1f\x8b\x08\0", b"%PDF-1.5", b"SQLite format 3\0", b"brain.Event:2", b":W&B\xe1\xbe\0",
)  # fmt: skip
LENGTHS = (
    0, 1, 2, 11, 127, 128, 255, 4_096, 32_768, 65_535, 65_536, 65_537, 1 << 20, 1 << 31, (1 << 31) - 1, 1 << 32,
    1 << 40, (1 << 40) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 16,
)  # fmt: skip
_DIGITS = re.compile(rb"\d[\d.]{0,30}")

places = st.integers(0, 65_535)
plans: st.SearchStrategy[Plan] = st.lists(
    st.tuples(st.integers(0, 16), places, places, places), min_size=0, max_size=6
)


def apply(pieces: Sequence[bytes], plan: Plan, others: Sequence[bytes]) -> list[Piece]:
    """The file after the plan. `others`: records of other formats, which are mixed in."""
    out = [Piece(data, True) for data in pieces]
    for kind, *choice in plan:
        if not out:
            break
        at = choice[0] % len(out)
        before = len(out)
        _EDITS[kind % len(_EDITS)](out, at, (choice[1], choice[2]), others)
        if sum(len(piece.data) for piece in out) > MOST_B or len(out) > MOST_PIECES:
            del out[before:]
            break
    return out


def joined(pieces: Sequence[Piece]) -> bytes:
    """The file's bytes."""
    return b"".join(piece.data for piece in pieces)[: 2 * MOST_B]


Two = tuple[int, int]
Others = Sequence[bytes]


def _put(out: list[Piece], at: int, data: bytes) -> None:
    out[at] = Piece(data, out[at].whole and data == out[at].data)


def _flip(out: list[Piece], at: int, two: Two, others: Others) -> None:
    data = bytearray(out[at].data)
    if data:
        data[two[0] % len(data)] ^= 1 << two[1] % 8
        _put(out, at, bytes(data))


def _cut(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """The file ends here, inside a record."""
    _put(out, at, out[at].data[: two[0] % (len(out[at].data) + 1)])
    del out[at + 1 :]


def _remove(out: list[Piece], at: int, two: Two, others: Others) -> None:
    data = out[at].data
    begin = two[0] % (len(data) + 1)
    _put(out, at, data[:begin] + data[begin + 1 + two[1] % 40 :])


def _drop(out: list[Piece], at: int, two: Two, others: Others) -> None:
    del out[at : at + 1 + two[0] % 3]


def _double(out: list[Piece], at: int, two: Two, others: Others) -> None:
    out.insert(at, out[at])


def _flood(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """The same record again and again."""
    n = (2, 9, 70, 700, 3_000)[two[0] % 5]
    out[at:at] = [out[at]] * min(n, MOST_B // (len(out[at].data) + 1))


def _move(out: list[Piece], at: int, two: Two, others: Others) -> None:
    piece = out.pop(at)
    out.insert(two[0] % (len(out) + 1), piece)


def _junk_between(out: list[Piece], at: int, two: Two, others: Others) -> None:
    out.insert(at, Piece(JUNK[two[0] % len(JUNK)] + (b"\n" if two[1] % 2 else b""), False))


def _junk_inside(out: list[Piece], at: int, two: Two, others: Others) -> None:
    data = out[at].data
    where = two[1] % (len(data) + 1)
    _put(out, at, data[:where] + JUNK[two[0] % len(JUNK)] + data[where:])


def _number(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """A number becomes one that is none, or too large, or of another notation."""
    data = out[at].data
    found = list(_DIGITS.finditer(data))
    if found:
        match = found[two[0] % len(found)]
        _put(out, at, data[: match.start()] + NUMBERS[two[1] % len(NUMBERS)] + data[match.end() :])


def _endless(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """One line without an end, of the record's own words."""
    words = out[at].data.replace(b"\n", b" ").replace(b"\r", b" ")
    if words:
        n = (3, 40, 400, 4_000)[two[0] % 4]
        end = b"\n" if two[1] % 2 else b""
        _put(out, at, words * max(2, min(n, 300_000 // len(words))) + end)


def _wide(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """In UTF-16, with or without a mark."""
    codec = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037")[two[0] % 5]
    _put(out, at, out[at].data.decode("utf-8", "replace").encode(codec, "replace"))


def _length(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """Eight, four or two bytes become another length."""
    data = out[at].data
    width = (8, 4, 2, 1)[two[1] % 4]
    where = 0 if two[1] % 3 == 0 else (two[1] // 4) % (len(data) + 1)
    value = LENGTHS[two[0] % len(LENGTHS)] & ((1 << 8 * width) - 1)
    _put(out, at, data[:where] + value.to_bytes(width, "little") + data[where + width :])


def _foreign(out: list[Piece], at: int, two: Two, others: Others) -> None:
    if others:
        out.insert(at, Piece(others[two[0] % len(others)], False))


def _blow(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """A few bytes inside the record many times: fields, quotes, brackets, separators."""
    data = out[at].data
    begin = two[0] % (len(data) + 1)
    few = data[begin : begin + 1 + two[1] % 24]
    n = (5, 60, 500, 6_000)[two[1] // 24 % 4]
    _put(out, at, data[:begin] + few * n + data[begin:])


def _merge(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """Two writers at once: half of another record inside this one."""
    other = out[two[0] % len(out)].data
    data = out[at].data
    where = two[1] % (len(data) + 1)
    _put(out, at, data[:where] + other[: len(other) // 2] + data[where:])


def _carriage(out: list[Piece], at: int, two: Two, others: Others) -> None:
    """Other line ends."""
    ends = (b"\r\n", b"\r", b"\x08", b"\n\n", b"\x0b\n", b"\xc2\x85", b"\xe2\x80\xa8")
    _put(out, at, out[at].data.replace(b"\n", ends[two[0] % len(ends)]))


_EDITS = (
    _flip, _cut, _remove, _drop, _double, _flood, _move, _junk_between, _junk_inside, _number, _endless, _wide,
    _length, _foreign, _blow, _merge, _carriage,
)  # fmt: skip

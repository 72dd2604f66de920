"""SQLite's file format, as much of it as rows of a table need: no library in C is shown a job's file.

Tables are B-trees of pages; a leaf's cells are `payload size, rowid, record`, a record is its columns' types
and then their bytes (sqlite.org/fileformat2). Journals are not read: rows that stand only there are missed.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = b"SQLite format 3\0"
HEADER_B = 100
MAX_COLUMNS = 64  # of a record that is looked at
MAX_TEXT = 16_384  # bytes of a text that is taken; a longer one is null
MAX_ROW = 4 * MAX_TEXT  # bytes of a row that are looked at; columns behind them are null
MAX_DEPTH = 16  # of a tree; SQLite's own limit is 20
MAX_NESTED = 4  # parentheses in a column's definition that are seen through
_NAME = re.compile(r"\s{0,40}[\"`\[]?(\w{1,64})")
_QUOTED = re.compile(r"'[^']{0,400}'")
_NESTED = re.compile(r"\([^()]{0,2000}\)")
_CONSTRAINTS = frozenset(("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"))
_INTERIOR, _LEAF = 5, 13
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)

Value = int | float | str | None


class BrokenError(ValueError):
    """Bytes that are no database."""


class Table(NamedTuple):
    """One table: its root page and its columns' names, in order."""

    root: int
    columns: tuple[str, ...]


class Database:
    """A whole file in memory."""

    def __init__(self, data: bytes) -> None:
        """Raises BrokenError for what is no database."""
        if len(data) < HEADER_B:
            raise BrokenError("header")
        size = int.from_bytes(data[16:18], "big")
        self._page_b = 65_536 if size == 1 else size
        if not data.startswith(MAGIC) or self._page_b < 512 or self._page_b & (self._page_b - 1):
            raise BrokenError("header")
        self._data = data
        self._usable_b = self._page_b - data[20]
        self.journals_ahead = data[18:20] == b"\2\2"  # newest rows may stand in a file of its own
        self.n_broken = 0

    def tables(self) -> dict[str, Table]:
        """By name, from the schema on the first page."""
        found = {}
        for _, row in self.rows(1):
            kind, name, root, sql = (*row[:2], *row[3:5]) if len(row) >= 5 else (None,) * 4
            if kind == "table" and isinstance(name, str) and isinstance(root, int) and isinstance(sql, str):
                found[name] = Table(root, _columns(sql))
        return found

    def rows(self, root: int) -> Iterator[tuple[int, list[Value]]]:
        """(rowid, columns) of every whole row, in the tree's order. Each page is read once."""
        seen: set[int] = set()
        stack = [(root, 0)]
        while stack:
            number, depth = stack.pop()
            begin = (number - 1) * self._page_b
            if number in seen or depth > MAX_DEPTH or not 0 <= begin <= len(self._data) - self._page_b:
                self.n_broken += 1
                continue
            seen.add(number)
            page = self._data[begin : begin + self._page_b]
            at = 100 if number == 1 else 0
            try:
                if page[at] == _LEAF:
                    yield from self._leaf(page, at)
                elif page[at] == _INTERIOR:
                    places = [*_cells(page, at, 12), at + 8]  # the last child stands in the page's head
                    children = [int.from_bytes(page[place : place + 4], "big") for place in places]
                    stack.extend((child, depth + 1) for child in reversed(children))
                else:
                    self.n_broken += 1
            except (IndexError, struct.error, UnicodeDecodeError, BrokenError):
                self.n_broken += 1

    def _leaf(self, page: bytes, at: int) -> Iterator[tuple[int, list[Value]]]:
        for cell in _cells(page, at, 8):
            size, where = _varint(page, cell)
            rowid, where = _varint(page, where)
            payload = self._payload(page, where, size)
            if payload is None:
                self.n_broken += 1
            else:
                yield rowid, _record(payload)

    def _payload(self, page: bytes, at: int, size: int) -> bytes | None:
        """A cell's bytes, with those on pages of their own up to what is looked at; null: broken."""
        most = self._usable_b - 35
        if size <= most:
            return page[at : at + size] if at + size <= len(page) else None
        least = (self._usable_b - 12) * 32 // 255 - 23
        local = least + (size - least) % (self._usable_b - 4)
        local = local if local <= most else least
        payload = page[at : at + local]
        follow = int.from_bytes(page[at + local : at + local + 4], "big")
        while follow and len(payload) < min(size, MAX_ROW):
            begin = (follow - 1) * self._page_b
            if not 0 <= begin <= len(self._data) - self._page_b:
                return None
            payload += self._data[begin + 4 : begin + self._usable_b]
            follow = int.from_bytes(self._data[begin : begin + 4], "big")
        return payload[:size]


def _cells(page: bytes, at: int, header_b: int) -> list[int]:
    """Where the cells of a page begin."""
    (n,) = struct.unpack_from(">H", page, at + 3)
    begin = at + header_b
    if begin + 2 * n > len(page):
        raise BrokenError("cells")
    return list(struct.unpack_from(f">{n}H", page, begin))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, next place): seven bits a byte, the highest first; a ninth byte gives all eight."""
    value = 0
    for nth in range(9):
        byte = data[at + nth]
        if nth == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + nth + 1
    raise BrokenError("varint")


def _record(payload: bytes) -> list[Value]:
    """The columns of a record. Blobs and what was cut off are null."""
    end, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < end and len(kinds) < MAX_COLUMNS:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    at = end
    values: list[Value] = []
    for kind in kinds:
        size = _SIZES[kind] if kind < 10 else (kind - 12) // 2
        raw = payload[at : at + size] if size <= MAX_TEXT else b""
        at += size
        values.append(_value(kind, raw) if len(raw) == size else None)
    return values


def _value(kind: int, raw: bytes) -> Value:
    if kind in (8, 9):
        return kind - 8
    if 1 <= kind <= 6:
        return int.from_bytes(raw, "big", signed=True)
    if kind == 7:
        return float(struct.unpack(">d", raw)[0])
    return raw.decode("utf-8", "replace") if kind >= 13 and kind % 2 else None


def _columns(sql: str) -> tuple[str, ...]:
    """The columns' names in a CREATE TABLE: the first word of each part, up to the table's constraints."""
    text = _QUOTED.sub("''", sql[:MAX_TEXT])
    text = text[text.find("(") + 1 : text.rfind(")")]
    for _ in range(MAX_NESTED):
        text = _NESTED.sub("", text)
    names = [match[1] for part in text.split(",") if (match := _NAME.match(part)) is not None]
    end = next((nth for nth, name in enumerate(names) if name.upper() in _CONSTRAINTS), len(names))
    return tuple(names[:end])

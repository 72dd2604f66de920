"""What a slow and simple reader finds in the same bytes. A point that no oracle can name was invented.

An oracle answers a claim's place in the file with every counter that could be read there; null: it has no
word on this file.
"""

import csv
import io
import json
import math
import re
import sqlite3
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from slurm_guard.progress.protocol import Claim

Oracle = Callable[[bytes, Claim], bool | None]
_NUMBER = re.compile(r"\d[\d,_]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[ -/]?[@-~]")


def numbers_in(text: str) -> set[int]:
    """Every whole number that somebody could read in a text, `1,234` and `1e3` among them."""
    found: set[int] = set()
    for match in _NUMBER.finditer(text):
        word = match[0]
        for part in (word, word.replace(",", "").replace("_", ""), *re.split(r"[,_.eE+-]", word)):
            if len(part) > 32 or not part:
                continue
            try:
                value = float(part) if not part.isdigit() else int(part)
            except ValueError:
                continue
            if math.isfinite(value) and value == int(value):
                found.add(int(value))
    return found


def line_at(data: bytes, end: int) -> bytes:
    """The line that ends at `end`, without its break."""
    last = end - (1 if 0 < end <= len(data) and data[end - 1 : end] in (b"\n", b"\r", b"\x08") else 0)
    begin = max(data.rfind(mark, 0, last) for mark in (b"\n", b"\r", b"\x08")) + 1
    return data[begin:last]


def counters(claim: Claim) -> list[int]:
    """The claim's counters, but nothing beside epochs: those are in millionths, or from a bar before."""
    own = (None, None) if claim.key == "epoch" else (claim.step, claim.total)
    return [count for count in (*own, claim.samples, claim.tokens) if count is not None]


def by_line(data: bytes, claim: Claim) -> bool | None:
    """Every counter stands in the line that ends where the claim does, as a number of its own."""
    text = _ESCAPES.sub(b"", line_at(data, claim.offset)).decode("utf-8", "replace")
    seen = numbers_in(text)
    return all(count in seen for count in counters(claim))


def by_record(data: bytes, claim: Claim) -> bool | None:
    """Every counter stands in what ends where the claim does, as a number of its own: a line may have
    thousands of records, and a record may have line breaks."""
    for near_b in (1_000, 5_000):  # an event has 4,096 at most
        text = data[max(0, claim.offset - near_b) : claim.offset].decode("utf-8", "replace")
        if set(counters(claim)) <= numbers_in(text):
            return True
    return False


def by_line_but_tokens(data: bytes, claim: Claim) -> bool | None:
    """As `by_line`, where tokens are printed in billions; NeMo prints an epoch's last iteration of 0 to n."""
    total = claim.total if claim.epoch is None or claim.total is None else claim.total - 1
    return by_line(data, claim._replace(tokens=None, total=total))


def by_line_but_thousands(data: bytes, claim: Claim) -> bool | None:
    """As `by_line`, where samples are printed in thousands."""
    if claim.samples is None:
        return by_line(data, claim)
    text = _ESCAPES.sub(b"", line_at(data, claim.offset)).decode("utf-8", "replace")
    numbers = (float(word) for word in re.findall(r"[0-9]{1,9}(?:\.[0-9]{1,3})?", text))
    return any(round(1000 * number) == claim.samples for number in numbers)


def by_line_but_prints(data: bytes, claim: Claim) -> bool | None:
    """As `by_line`, where a step may be printed with few digits or in groups: near to what is printed."""
    if by_line(data, claim):
        return True
    text = _ESCAPES.sub(b"", line_at(data, claim.offset)).decode("utf-8", "replace")
    near = any(abs(value - (claim.step or 0)) <= value / 2 for value in _prints_in(text))
    return near and by_line(data, claim._replace(step=None))


def _prints_in(text: str) -> list[float]:
    """Numbers as `1.2e+03`, `1.2k`, `1 200`, `1'200` and `1.200`."""
    short = re.findall(r"(\d{1,4}(?:\.\d{1,3})?)([kKM])", text)
    powers = re.findall(r"\d(?:\.\d{1,18})?[eE]\+?\d{1,2}", text)
    groups = re.findall(r"\d{1,3}(?:[ .'’\u202f\xa0]\d{3})+", text)
    return [
        *(float(number) * (1e6 if unit == "M" else 1e3) for number, unit in short),
        *(float(number) for number in powers),
        *(float("".join(filter(str.isdigit, number))) for number in groups),
    ]


def by_line_but_total(data: bytes, claim: Claim) -> bool | None:
    """As `by_line`, where the total stands in the file's head."""
    return by_line(data, claim._replace(total=None))


def by_cells(data: bytes, claim: Claim) -> bool | None:
    """Every counter is a cell that csv.reader finds, at any of the separators, or stands just before."""
    near = data[max(0, claim.offset - 70_000) : claim.offset].decode("utf-8", "replace")
    wanted = set(counters(claim)) - numbers_in("\n".join(near.split("\n")[-66:]))
    return not wanted or wanted <= _cells(data)


@lru_cache(maxsize=4)
def _cells(data: bytes) -> set[int]:
    """Every number in a cell of the table, read with each separator."""
    text = data.decode("utf-8", "replace").replace("\0", "\ufffd")
    cells: set[int] = set()
    for separator in ",;\t|":
        try:
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
                cells.update(*map(numbers_in, row))
        except csv.Error:
            continue
    return cells


def by_json(data: bytes, claim: Claim) -> bool | None:
    """In a whole document, the history's steps and the state's own; else any number in the file."""
    return claim.step in _state(data)


@lru_cache(maxsize=4)
def _state(data: bytes) -> set[int | None]:
    try:
        body = json.loads(data)
        said = [body["global_step"], *(entry.get("step") for entry in body["log_history"])]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        text = data.decode("ascii", "replace")
        return {*numbers_in(text), *map(_whole, re.findall(r"[-+.\deE]{1,40}", text))}
    # A document that says its step twice is damaged; either is a word of the file.
    said += re.findall(rb'"global_step"\s*:\s*(\d{1,15})', data)
    return {_whole(one.decode() if isinstance(one, bytes) else one) for one in said}


def _whole(value: Any) -> int | None:
    try:
        number = float(str(value).replace(",", "").replace("_", "")) if not isinstance(value, int) else value
    except (ValueError, OverflowError):
        return None
    return (
        int(number) if isinstance(number, int) or (math.isfinite(number) and number == int(number)) else None
    )


def by_wire(data: bytes, claim: Claim) -> bool | None:
    """The record that ends at the claim's place is an Event with this step and at least one value."""
    said = events(data).get(claim.offset)
    return said is not None and said[0] == claim.step and bool(said[1])


def by_sqlite(data: bytes, claim: Claim) -> bool | None:
    """Of a database that SQLite itself calls sound, a row of the metrics; null: it does not."""
    rows = sqlite_rows(data)
    return None if rows is None else claim.step in rows


@lru_cache(maxsize=4)
def sqlite_rows(data: bytes) -> frozenset[int] | None:
    """The steps of all metrics by SQLite; null: it finds a fault, or another schema."""
    if len(data) < 512:
        return None
    base = sqlite3.connect(":memory:")
    base.set_progress_handler(lambda: 1, 1_000_000)
    try:
        base.deserialize(data)
        if base.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            return None
        rows = base.execute("SELECT step, typeof(step), key, typeof(key) FROM metrics").fetchall()
    except (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError):
        return None
    finally:
        base.close()
    if any((kind, of_key) != ("integer", "text") for _, kind, _, of_key in rows):
        return None
    return frozenset(step for step, *_ in rows)


Tagged = tuple[int, list[tuple[bytes, bool]]]  # a step; tags, and whether their value is a plain float


@lru_cache(maxsize=4)
def events(data: bytes) -> dict[int, Tagged]:
    """Offset of each whole record's end -> what it says."""
    out: dict[int, Tagged] = {}
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if length > 1 << 40 or at + 16 + length > len(data):
            break
        said = _event(data[at + 12 : at + 12 + length]) if length <= 65_536 else None
        if said is not None:
            out[at + 16 + length] = said
        at += 16 + length
    return out


def _event(payload: bytes) -> Tagged | None:
    """The step and the tags of an Event that decodes whole; null: it does not, or its step is none."""
    message = decode(payload)
    if message is None:
        return None
    steps = [value for number, kind, value in message if (number, kind) == (2, 0)]
    step = int(steps[-1]) if steps else 0
    tags: list[tuple[bytes, bool]] = []
    for number, kind, summary in message:
        if (number, kind) == (5, 2):
            values = decode(summary)
            if values is None:
                return None
            for inner, wire, value in values:
                if (inner, wire) == (1, 2):
                    scalar = decode(value)
                    if scalar is None:
                        return None
                    names = [text for n, k, text in scalar if (n, k) == (1, 2)]
                    kinds = {(n, k) for n, k, _ in scalar}
                    if names and kinds & {(2, 5), (8, 2)}:
                        tags.append((names[-1][:64], (8, 2) not in kinds))
    return (step, tags) if step < 1 << 53 else None


def decode(payload: bytes) -> list[tuple[int, int, Any]] | None:
    """(number, wire type, value) of every field of a message; null: it is none."""
    out: list[tuple[int, int, Any]] = []
    rest = payload
    while rest:
        tag, rest = _varint(rest)
        if tag is None or tag < 8:
            return None
        kind = tag & 7
        value: Any
        if kind == 0:
            value, rest = _varint(rest)
            if value is None:
                return None
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value, rest, short = rest[:width], rest[width:], len(rest) < width
            if short:
                return None
        elif kind == 2:
            size, rest = _varint(rest)
            if size is None or size > len(rest):
                return None
            value, rest = rest[:size], rest[size:]
        else:
            return None
        out.append((tag >> 3, kind, value))
    return out


def _varint(rest: bytes) -> tuple[int | None, bytes]:
    value = 0
    for index, byte in enumerate(rest[:10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, rest[index + 1 :]
    return None, rest

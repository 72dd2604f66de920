"""Slurm's bracket expressions of host names: `n[001-003,7],gpu[1-2]n[0-1]`."""

import re
from collections.abc import Iterator

MAX_HOSTS = 65_536  # Slurm's own limit on the hosts of one list (MAX_RANGE in src/common/hostlist.c)
MAX_TEXT = 1_048_576  # characters; judgement
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_NAME = re.compile(r"[A-Za-z0-9._-]*")
# What sacct prints for a run that never got a node.
_NONE = {"", "none assigned", "(null)", "unknown", "none"}


def expand(text: str) -> tuple[str, ...]:
    """Every host in order, repeated ones once; empty for `None assigned`.

    Raises ValueError for anything that is no host list or names more than MAX_HOSTS hosts.
    """
    if text.strip().lower() in _NONE:
        return ()
    if len(text) > MAX_TEXT:
        raise ValueError(f"a host list of {len(text)} characters")
    hosts: dict[str, None] = {}
    for part in _split(text.strip()):
        for host in _expand_one(part):
            hosts[host] = None
            if len(hosts) > MAX_HOSTS:
                raise ValueError(f"more than {MAX_HOSTS} hosts")
    return tuple(hosts)


def _split(text: str) -> list[str]:
    """Cut at the commas outside brackets."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
        if depth not in (0, 1):
            raise ValueError("brackets do not match")
    if depth:
        raise ValueError("brackets do not match")
    return [*parts, text[start:]]


def _expand_one(part: str) -> Iterator[str]:
    """One expression with any number of bracketed dimensions, the last one turning fastest."""
    pieces: list[list[str]] = []
    size = 1
    for i, piece in enumerate(re.split(r"[\[\]]", part)):
        inside = i % 2 == 1
        if not inside and not _NAME.fullmatch(piece):
            raise ValueError(f"not a host name: {piece[:64]!r}")
        pieces.append(_numbers(piece) if inside else [piece])
        size *= len(pieces[-1])
        if size > MAX_HOSTS:
            raise ValueError(f"more than {MAX_HOSTS} hosts")
    if not part:
        raise ValueError("an empty host name")
    return _product(pieces)


def _product(pieces: list[list[str]]) -> Iterator[str]:
    heads = [""]
    for piece in pieces:
        heads = [head + tail for head in heads for tail in piece]
    return iter(heads)


def _numbers(text: str) -> list[str]:
    """`001-003,7` to 001 002 003 7; the first number's width holds for its range."""
    found: list[str] = []
    for item in text.split(","):
        match = _RANGE.fullmatch(item.strip())
        if match is None:
            raise ValueError(f"not a range: {item[:64]!r}")
        first, last = match[1], match[2] or match[1]
        low, high = int(first), int(last)
        if high < low or high - low >= MAX_HOSTS or len(found) + high - low >= MAX_HOSTS:
            raise ValueError(f"a range out of bounds: {item[:64]!r}")
        found += [str(number).zfill(len(first)) for number in range(low, high + 1)]
    return found

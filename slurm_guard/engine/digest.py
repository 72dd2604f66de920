"""Digests of values: the same value has the same digest in every process, whatever the order of its sets."""

import hashlib
import platform
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

import slurm_guard


def digest_of(*values: object) -> str:
    """SHA-256 of values of the project: numbers, texts, enums, collections, dataclasses, frames of them.
    Raises TypeError where a value is none of these."""
    return hashlib.sha256(_bytes(values)).hexdigest()


@cache
def code_digest() -> str:
    """Of all that a result depends on beside its values: this package's source, Polars and Python."""
    found = hashlib.sha256(f"{platform.python_version()} {pl.__version__}\n".encode())
    root = Path(slurm_guard.__file__).parent
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return found.hexdigest()


def _bytes(value: Any) -> bytes:
    """Unambiguous: each value says of what kind and how long it is."""
    known = _PLAIN.get(type(value))
    if known is not None:
        return known(value)
    if isinstance(value, Enum):
        return _text(f"{type(value).__qualname__}.{value.name}")
    if is_dataclass(value):
        return _each(b"d" + _text(type(value).__qualname__), (_bytes(v) for v in _values(value)))
    if isinstance(value, (tuple, list)):
        return _each(b"l", map(_bytes, value))
    if isinstance(value, Mapping):
        return _each(b"m", sorted(_bytes(k) + _bytes(v) for k, v in value.items()))
    if isinstance(value, Set):
        return _each(b"e", sorted(map(_bytes, value)))
    if isinstance(value, pl.DataFrame):
        return _each(b"f", [_bytes(str(value.schema)), value.write_csv().encode()])
    if isinstance(value, Path):
        return _text(str(value))
    raise TypeError(f"no digest of a {type(value).__qualname__}")


def _each(kind: bytes, parts: Iterable[bytes]) -> bytes:
    every = list(parts)
    return b"%s%d:%s" % (kind, len(every), b"".join(every))


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"s%d:%s" % (len(raw), raw)


_PLAIN: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"n;",
    bool: lambda v: b"t;" if v else b"u;",
    int: lambda v: b"i%d;" % v,
    float: lambda v: b"r%s;" % repr(v).encode(),
    str: _text,
    bytes: lambda v: b"b%d:%s" % (len(v), v),
}
_NAMES: dict[type, tuple[str, ...]] = {}


def _values(value: Any) -> list[object]:
    names = _NAMES.get(type(value))
    if names is None:
        names = _NAMES[type(value)] = tuple(part.name for part in fields(value))
    return [getattr(value, name) for name in names]

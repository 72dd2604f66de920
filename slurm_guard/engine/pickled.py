"""Pickles of the parts' results.

A night has a hundred thousand small dataclasses, and of frozen ones with slots Python's own way asks for the
fields again at each object: it takes twice the time, both ways. Measured.
"""

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any


def to_bytes(value: object) -> bytes:
    """Raises what `pickle` does."""
    out = io.BytesIO()
    _Pickler(out, pickle.HIGHEST_PROTOCOL).dump(value)
    return out.getvalue()


def from_bytes(content: bytes) -> Any:
    """What was given to `to_bytes`. Whatever stands in it is run: of trusted files alone."""
    return pickle.loads(content)  # noqa: S301


@dataclass(frozen=True, slots=True)
class _Plain:
    """To see what `dataclass` writes."""


# What a class has that says nothing of its own. The former since Python 3.11.
_USUAL = (getattr(object, "__getstate__", None), getattr(_Plain, "__getstate__", None))


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Asked for each object that is no built-in one."""
        kind: type = type(value)
        read = _reader(kind)
        return NotImplemented if read is None else (_made, (kind, *read(value)))


@cache
def _reader(kind: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """Gives the values of a dataclass's fields. Null: it has more than these, or a way of its own."""
    if not is_dataclass(kind) or kind.__dictoffset__:
        return None
    if (kind.__reduce_ex__, kind.__reduce__) != (object.__reduce_ex__, object.__reduce__):
        return None
    if getattr(kind, "__getstate__", None) not in _USUAL:
        return None
    names = [field.name for field in fields(kind)]
    if len(names) < 2:  # of one, attrgetter gives no tuple
        return None
    return attrgetter(*names)


def _made(kind: type, *values: Any) -> Any:
    """As it was: nothing is computed, no default filled in."""
    made: Any = object.__new__(kind)
    for put, value in zip(_writers(kind), values, strict=True):
        put(made, value)
    return made


@cache
def _writers(kind: type) -> tuple[Callable[[Any, Any], None], ...]:
    return tuple(getattr(kind, field.name).__set__ for field in fields(kind))

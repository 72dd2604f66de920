"""What a hook or the sampler cannot afford to import: NamedTuple without `typing`, JSON without `json`.

Measured on CPython 3.11 with `-IS`, where a bare start takes 6 ms: `typing`, `json` and `signal` together
pull in `re`, `enum` and `functools` and cost 11 ms of the hook's 30; `typing` alone costs the sampler 0.5 MB.
Type checkers see the real thing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; importing it would be importing typing
if TYPE_CHECKING:
    from typing import Any, NamedTuple, Protocol, cast
else:
    from collections import namedtuple

    Any = object

    class _Maker(type):
        """Turns an annotated class body into what collections.namedtuple makes of its fields."""

        def __new__(cls, name, bases, body):  # noqa: ANN001, ANN204
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = list(body["__annotations__"])
            defaults = [body[field] for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            made.__doc__ = body.get("__doc__", made.__doc__)
            made.__annotations__ = body["__annotations__"]
            implied = {word: body[word] for word in _IMPLIED if word in body}
            own = {word: part for word, part in body.items() if word not in fields and word not in _IMPLIED}
            return type(name, (made,), {**own, **implied, "__slots__": ()}) if own else made

    _IMPLIED = ("__module__", "__qualname__", "__doc__", "__annotations__")

    class NamedTuple(metaclass=_Maker):
        """Base of a record; its module needs `from __future__ import annotations`."""

    class Protocol:
        """Base of what is only there for the type checker."""

    def cast(kind, value):  # noqa: ANN001, ANN201
        """The value; the type checker believes the kind."""
        return value


try:
    from _json import encode_basestring_ascii as _encode_text
except ImportError:  # an interpreter without CPython's accelerator
    from json.encoder import py_encode_basestring_ascii as _encode_text

__all__ = ["TYPE_CHECKING", "Any", "NamedTuple", "Protocol", "cast", "to_json"]

_INFINITY = float("inf")


def to_json(value: Any) -> str:
    """As `json.dumps(value, separators=(",", ":"), allow_nan=False)`, but named tuples become objects.

    Raises ValueError for NaN and infinities, TypeError for what JSON does not know.
    """
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        return _encode_text(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return _object(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _object(zip(value._fields, value, strict=True))
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([to_json(part) for part in value]) + "]"
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _number(value: float) -> str:
    if value != value or value in (_INFINITY, -_INFINITY):
        raise ValueError("NaN and infinity have no JSON form")
    return float.__repr__(value)


def _object(items: Any) -> str:
    return "{" + ",".join([f"{_encode_text(name)}:{to_json(part)}" for name, part in items]) + "}"

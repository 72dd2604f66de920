"""What a hook or the sampler cannot afford to import: NamedTuple without `typing`, JSON without `json`.

Measured on CPython 3.11 with `-IS`, where a bare start takes 6 ms and 2.4 MB: `typing`, `json` and `signal`
together pull in `re`, `enum`, `functools` and `collections` and cost 11 ms of the hook's 30, and each of the
sampler's processes 1 MB. Type checkers see the real things.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # type checkers know the name; importing it would be importing typing
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from typing import Any, NamedTuple, Protocol, cast
else:
    from _collections import deque
    from _collections_abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    try:
        from _collections import _tuplegetter as _getter
    except ImportError:  # an interpreter without CPython's accelerator

        def _getter(place, doc):  # noqa: ANN001, ANN202
            return property(lambda self: tuple.__getitem__(self, place), doc=doc)

    Any = object

    class _Record(tuple):
        """What all records can do; as those of `collections.namedtuple`."""

        __slots__ = ()
        _fields = ()
        _field_defaults = {}  # noqa: RUF012

        @classmethod
        def _make(cls, values):  # noqa: ANN001, ANN206
            return cls(*values)

        def _replace(self, /, **changes):  # noqa: ANN003, ANN202
            made = type(self)._make(map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"Got unexpected field names: {list(changes)!r}")
            return made

        def _asdict(self):  # noqa: ANN202
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):  # noqa: ANN204
            parts = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({', '.join(parts)})"

        def __getnewargs__(self):  # noqa: ANN204
            return tuple(self)

    class _Maker(type):
        """Turns an annotated class body into a record of its fields."""

        def __new__(cls, name, bases, body):  # noqa: ANN001, ANN204
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body["__annotations__"])
            defaults = {field: body.pop(field) for field in fields if field in body}
            # A function of its own for each, as namedtuple does it: none is called as often.
            text = f"lambda _cls, {', '.join(fields)}: _new(_cls, ({', '.join(fields)},))"
            make = eval(text, {"_new": tuple.__new__, "__builtins__": {}})  # noqa: S307  names of our own fields
            make.__defaults__ = tuple(defaults.values())
            getters = {field: _getter(place, None) for place, field in enumerate(fields)}
            own = {"__slots__": (), "__match_args__": fields, "_fields": fields, "_field_defaults": defaults}
            return type(name, (_Record,), {**body, **getters, **own, "__new__": make})

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

__all__ = [
    "TYPE_CHECKING",
    "Any",
    "Callable",
    "Container",
    "Iterable",
    "Iterator",
    "Mapping",
    "NamedTuple",
    "Protocol",
    "Sequence",
    "cast",
    "deque",
    "from_json",
    "to_json",
    "to_plain_json",
]

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


def to_plain_json(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """As `json.dumps(value, separators=(",", ":"), default=default)`: named tuples become arrays.

    Raises TypeError for what JSON does not know, without a `default`.
    """
    try:
        from _json import make_encoder
    except ImportError:
        import json

        return json.dumps(value, separators=(",", ":"), default=default)
    encode = make_encoder(None, default or _refuse, _encode_text, None, ":", ",", False, False, True)
    return "".join(encode(value, 0))


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} has no JSON form")


# -- reading


class _Decoding:
    """What the scanner asks for: as `json.loads` without words."""

    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int, parse_constant, memo = float, int, float, None


class _BadJson(ValueError):
    """The scanner's complaint, made as `json.JSONDecodeError` is."""

    def __init__(self, text: str, _: str, place: int) -> None:
        super().__init__(f"{text}: char {place}")


class _Complaints:
    """Stands in for `json.decoder`, which the scanner imports for the name of its error, and for `json`."""

    JSONDecodeError = _BadJson


_BLANK = " \t\n\r"
_SCANNED = ("json", "json.decoder")


def from_json(text: str | bytes) -> Any:
    """As `json.loads`, of text or UTF-8. Raises ValueError, RecursionError."""
    try:
        from _json import make_scanner
    except ImportError:
        import json

        return json.loads(text)
    body = (text if isinstance(text, str) else text.decode("utf-8")).strip(_BLANK)
    stood_in = [name for name in _SCANNED if name not in sys.modules]
    for name in stood_in:
        sys.modules[name] = _Complaints  # type: ignore[assignment]
    try:
        value, end = make_scanner(_Decoding)(body, 0)  # type: ignore[arg-type]
    except StopIteration as error:
        raise _BadJson("Expecting value", body, error.value) from None
    finally:
        for name in stood_in:
            del sys.modules[name]
    if end != len(body):
        raise _BadJson("Extra data", body, end)
    return value

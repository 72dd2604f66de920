"""The audit document: model.Audit to JSON and back, with its format number.

Format history
    1  2026-11: everything in model.Audit. Fields with a default came later: where one is missing, the
       default holds (`explained`, `left`, `again`, `p_value`, `burn_in` of a run, `redone` of its progress,
       `analytic` of its cost, `maintenance_s` of a node, `maintenance` of work outside, `site`, `sums`,
       `trend` and `maintenance` of the night).

The same Audit gives the same bytes: keys in field order, one line a run, no clock and no host in it.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any

from slurm_guard import model
from slurm_guard.errors import GuardError
from slurm_guard.garbage import uncollected
from slurm_guard.jsonsteps import DOCUMENT, lift

T = typing.TypeVar("T")
FORMAT = 1
_LIMIT = 1 << 64  # beyond any count, time or amount of ours; 1e999, which JSON reads as infinite, is above
KIND = "slurm-guard audit"


def to_json(audit: model.Audit) -> str:
    """The document as text, newline at the end. NaN and infinity are refused (ValueError)."""
    body = {"kind": KIND, "format": FORMAT, **_fields(audit)}
    return "{\n" + ",\n".join(f"{_dump(key)}:{_lines(part)}" for key, part in body.items()) + "\n}\n"


def _lines(value: Any) -> str:
    """A list with a line for each of its parts, so that a run can be found and cut out with line tools."""
    if not isinstance(value, (list, tuple)) or not value:
        return _dump(value)
    return "[\n" + ",\n".join(map(_dump, value)) + "\n]"


# Compact, and so in C: with an indent the standard library's encoder is twenty times slower.
_ENCODER = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=lambda value: _plain(value)
)


def _dump(value: Any) -> str:
    return _ENCODER.encode(value)


def _plain(value: Any) -> Any:
    """What JSON has no word for; strings, numbers, lists and enums of strings it knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    raise TypeError(f"{type(value).__name__} has no place in an audit document")


def _fields(value: Any) -> dict[str, Any]:
    return {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}


def from_json(text: str, name: str = "the text") -> model.Audit:
    """The Audit in a document; `name` is what errors call it.

    Raises GuardError document-syntax (not our JSON), document-newer (made by a later release),
    document-older (by one whose format is read no more) or document-shape (a field is missing or of the
    wrong type; the sentence names it).
    """
    with uncollected():  # nothing in a document refers back
        return _read(text, name)


def _read(text: str, name: str) -> model.Audit:
    try:
        data = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise GuardError("document-syntax", f"{name} is not an audit document: {error}", _AGAIN) from None
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise GuardError("document-syntax", f"{name} is JSON, but not of kind {KIND!r}", _AGAIN)
    data = _today(data, name)
    try:
        audit: model.Audit = _reader(model.Audit)(data)
    except _WrongShape as error:
        raise GuardError(
            "document-shape", f"{name}: audit{error.where} must be {error.what}", _AGAIN
        ) from None
    for judgement in audit.judgements:
        bounds = judgement.unexplained
        if bounds.lo_gpu_ms > bounds.hi_gpu_ms or min(judgement.ledger_gpu_ms.values(), default=0) < 0:
            what = f"run {judgement.run.id[:80]!a} has a negative amount, or bounds in the wrong order"
            raise GuardError("document-shape", f"{name}: {what}", _AGAIN)
    return audit


def _today(data: dict[str, Any], name: str) -> dict[str, Any]:
    """A document of any format that is read, as one of today's. Raises GuardError document-newer,
    document-older."""
    number = data.get("format")
    if not isinstance(number, int) or isinstance(number, bool):
        raise GuardError(
            "document-shape", f"{name}: format must be a whole number, not {number!a:.40}", _AGAIN
        )
    if number > FORMAT:
        raise GuardError(
            "document-newer",
            f"{name} has format {number!r}, this slurm-guard reads up to {FORMAT}",
            "read it with the release that wrote it, or a later one",
        )
    lifted = lift(data, (number, FORMAT), DOCUMENT)
    if lifted is None:
        raise GuardError("document-older", f"{name} has format {number}, which is read no more", _AGAIN)
    return lifted


def as_record(kind: type[T], data: Any) -> T:
    """What json.loads gave, as a frozen record of ours. Raises ValueError; its text names the field."""
    try:
        return typing.cast(T, _reader(typing.cast(Any, kind))(data))
    except _WrongShape as error:
        raise ValueError(f"{error.where.lstrip('.') or 'it'} must be {error.what}") from None


def _no_number(name: str) -> typing.NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_AGAIN = "write it anew with `slurm-guard audit`"
_Reader = Callable[[Any], Any]


class _WrongShape(Exception):
    """What a place must be; the place is put together on the way up, for it is rarely needed."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(what)
        self.what, self.where = what, where

    def under(self, where: str) -> "_WrongShape":
        """The same, seen from one level up."""
        return _WrongShape(self.what, where + self.where)


@cache
def _reader(kind: Any) -> _Reader:
    """A function that gives its argument as `kind` says, or raises _WrongShape. Built once a kind."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = _reader(next(part for part in args if part is not type(None)))
        return lambda data: None if data is None else inner(data)
    if dataclasses.is_dataclass(kind):
        return _record_reader(typing.cast(type, kind))
    if origin in (list, tuple):
        return _list_reader(typing.cast(type, origin), _reader(args[0]), _plain_types(args[0]))
    if origin is dict:
        return _dict_reader(_reader(args[1]))
    return _scalar_reader(kind)


def _record_reader(kind: type) -> _Reader:
    hints = typing.get_type_hints(kind)
    parts = [(p.name, _reader(hints[p.name]), _is_optional(p)) for p in dataclasses.fields(kind)]

    def read(data: Any) -> Any:
        _expect(isinstance(data, dict), "an object")
        values = {}
        for name, inner, optional in parts:
            if name not in data:
                if optional:
                    continue  # written before there was such a field
                raise _WrongShape(f"an object with {name!r}")
            try:
                values[name] = inner(data[name])
            except _WrongShape as error:
                raise error.under(f".{name}") from None
        try:
            return kind(**values)
        except ValueError as error:  # a finding without evidence
            raise _WrongShape(f"whole: {error}") from None

    return read


def _is_optional(part: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return part.default is not missing or part.default_factory is not missing


def _plain_types(kind: Any) -> frozenset[type]:
    """The exact types that stay as JSON gave them; empty where each part must be looked at."""
    parts = frozenset(typing.get_args(kind) or (kind,))
    return parts if parts <= {int, float, str, bool, type(None)} else frozenset()


def _list_reader(shape: type, inner: _Reader, plain: frozenset[type]) -> _Reader:
    def read(data: Any) -> Any:
        _expect(isinstance(data, list), "a list")
        if plain.issuperset(map(type, data)):  # a timeline has thousands of numbers
            return shape(data)
        try:
            return shape(map(inner, data))
        except _WrongShape:
            for i, part in enumerate(data):
                try:
                    inner(part)
                except _WrongShape as error:
                    raise error.under(f"[{i}]") from None
            raise

    return read


def _dict_reader(inner: _Reader) -> _Reader:
    def read(data: Any) -> Any:
        _expect(isinstance(data, dict), "an object")
        values = {}
        for key, part in data.items():
            try:
                values[key] = inner(part)
            except _WrongShape as error:
                raise error.under(f".{key}") from None
        return values

    return read


def _scalar_reader(kind: Any) -> _Reader:
    if kind is object or kind is Any:
        return lambda data: data
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_reader(kind)
    fits, words = ((int, float), "a number") if kind is float else ((kind,), f"of type {kind.__name__}")

    def read(data: Any) -> Any:
        # Nearly always, and a big night has a million of them.
        if type(data) is kind and (kind is str or kind is bool or -_LIMIT < data < _LIMIT):
            return data
        right = isinstance(data, fits) and (kind is bool or not isinstance(data, bool))
        _expect(right, words)
        if kind is float or kind is int:
            _expect(-_LIMIT < data < _LIMIT, f"{words} that a machine can hold")
        return float(data) if kind is float else data

    return read


def _enum_reader(kind: type[Enum]) -> _Reader:
    known = {part.value: part for part in kind}

    def read(data: Any) -> Any:
        _expect(isinstance(data, str) and data in known, f"one of {list(known)}")
        return known[data]

    return read


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise _WrongShape(what)

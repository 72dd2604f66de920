"""The audit document: model.Audit to JSON and back, with its format number.

Format history
    1  2026-11: everything in model.Audit.

The same Audit gives the same bytes: keys in field order, two-space indent, no clock and no host in it.
"""

import dataclasses
import json
import types
import typing
from enum import Enum
from typing import Any

from slurm_guard import model
from slurm_guard.errors import GuardError

FORMAT = 1
KIND = "slurm-guard audit"


def to_json(audit: model.Audit) -> str:
    """The document as text, newline at the end. NaN and infinity are refused (ValueError)."""
    body = {"kind": KIND, "format": FORMAT, **_plain(audit)}
    return json.dumps(body, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def from_json(text: str) -> model.Audit:
    """The Audit in a document.

    Raises GuardError document-syntax (not our JSON), document-newer (made by a later release) or
    document-shape (a field is missing or of the wrong type; the sentence names it).
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GuardError("document-syntax", f"this is not an audit document: {error}", _AGAIN) from None
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise GuardError("document-syntax", f"this is JSON, but not of kind {KIND!r}", _AGAIN)
    number = data.get("format")
    if not isinstance(number, int) or number > FORMAT:
        raise GuardError(
            "document-newer",
            f"the document has format {number!r}, this slurm-guard reads up to {FORMAT}",
            "read it with the release that wrote it, or a later one",
        )
    audit: model.Audit = _value(model.Audit, data, "audit")
    return audit


_AGAIN = "write it anew with `slurm-guard audit`"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return value


def _value(kind: Any, data: Any, where: str) -> Any:
    """`data` as `kind` says, or document-shape."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if data is None and type(None) in args:
            return None
        return _value(next(part for part in args if part is not type(None)), data, where)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast(type, kind), data, where)
    if origin in (list, tuple):
        _expect(isinstance(data, list), where, "a list")
        values = [_value(args[0], part, f"{where}[{i}]") for i, part in enumerate(data)]
        return values if origin is list else tuple(values)
    if origin is dict:
        _expect(isinstance(data, dict), where, "an object")
        return {key: _value(args[1], part, f"{where}.{key}") for key, part in data.items()}
    return _scalar(kind, data, where)


def _record(kind: type, data: Any, where: str) -> Any:
    _expect(isinstance(data, dict), where, "an object")
    hints = typing.get_type_hints(kind)
    values = {}
    for part in dataclasses.fields(kind):
        _expect(part.name in data, where, f"an object with {part.name!r}")
        values[part.name] = _value(hints[part.name], data[part.name], f"{where}.{part.name}")
    return kind(**values)


def _scalar(kind: Any, data: Any, where: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, Enum):
        _expect(data in [part.value for part in kind], where, f"one of {[part.value for part in kind]}")
        return kind(data)
    if kind is object or kind is Any:
        return data
    if kind is float:
        _expect(isinstance(data, (int, float)) and not isinstance(data, bool), where, "a number")
        return float(data)
    right = isinstance(data, kind) and not (kind is int and isinstance(data, bool))
    _expect(right, where, f"of type {kind.__name__}")
    return data


def _expect(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise GuardError("document-shape", f"{where} must be {what}", _AGAIN)

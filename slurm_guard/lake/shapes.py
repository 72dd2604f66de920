"""Is this JSON object the record that it says it is? Checks are built from wire.py's annotations.

A key that a newer release added is left out; one that an older release lacked is null where null is
allowed. Everything else that does not fit is a BadRecord: nothing is repaired, but for text that is no
Unicode (lone surrogates, from names that are no UTF-8), which becomes U+FFFD: a user must not be able to
have a whole segment refused by naming a file.
"""

import math
import re
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

from slurm_guard import wire

Check = Callable[[Any], Any]
_SURROGATE = re.compile("[\ud800-\udfff]")
_INT64 = 1 << 63
# 2001 to 2100. A clock before or after was never set; audits are asked for nights between.
EARLIEST_AT, LATEST_AT = 1e9, 4_102_444_800.0
# What a log claims is kept as it stands, however odd; bounds hold for what node software measured.
_CLAIMS = {wire.Point: {"at", "step", "samples", "tokens", "total", "loss", "took_s"}}
_COUNTS = re.compile(
    r".*_(ms|mj|mw|mib|b|pct|mhz|s|ns)|n|n_[a-z]+|pid|ppid|size|seq|read|start_ticks|uid|gid|ino"
)
_NO_COUNTS = {"at", "start_mono_s", "opened_mono_s"}


class BadRecord(Exception):
    """Why a file is refused: a slug that stands in docs/formats.md and a sentence."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(f"{slug}: {sentence}")
        self.slug = slug
        self.sentence = sentence


class _Misfit(Exception):
    """A value that does not fit; the path to it grows on the way up."""

    def __init__(self, wanted: str, value: Any) -> None:
        self.wanted = wanted
        self.shown = f"{type(value).__name__} {str(value)[:40]!r}"
        self.path = ""


def check_record(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """The record's fields, all of them, of the annotated types. Raises BadRecord record-shape."""
    try:
        return typing.cast(dict[str, Any], _check_of(wire.KINDS[kind])(body))
    except _Misfit as misfit:
        where = f"{kind}{misfit.path}"
        raise BadRecord("record-shape", f"{where} must be {misfit.wanted}, not {misfit.shown}") from None


@cache
def _check_of(shape: Any) -> Check:
    """The check of a NamedTuple."""
    hints = typing.get_type_hints(shape)
    claims = _CLAIMS.get(shape, set())
    parts = []
    for name in shape._fields:
        optional = type(None) in typing.get_args(hints[name])
        check = _build(hints[name])
        if name not in claims:
            check = _bounded(name, check)
        has_default = name in shape._field_defaults
        parts.append((name, check, optional, shape._field_defaults.get(name), has_default))

    def check_fields(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Misfit("an object", value)
        found: dict[str, Any] = {}
        for name, check, optional, default, has_default in parts:
            part = value.get(name, default)
            if part is None and optional:
                found[name] = None
                continue
            if part is None and name not in value and not has_default:
                raise _Misfit(f"an object with {name}", value)
            try:
                found[name] = check(part)
            except _Misfit as misfit:
                misfit.path = f".{name}{misfit.path}"
                raise
        return found

    return check_fields


def _build(hint: Any) -> Check:
    """The check of one annotation."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (arg for arg in args if arg is not type(None))
        return _nullable(_build(inner))
    if origin is list:
        return _list_of(_build(args[0]))
    if origin is dict:
        return _dict_of(_build(args[1]))
    if hasattr(hint, "_fields"):
        return _check_of(hint)
    raise TypeError(f"wire.py has an annotation that no check is known for: {hint}")


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _Misfit("text", value)
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def _whole(value: Any) -> int:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise _Misfit("a whole number of 64 bits", value)
    return value


def _number(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and -_INT64 <= value < _INT64:
        return float(value)
    raise _Misfit("a finite number", value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise _Misfit("true or false", value)
    return value


def _anything(value: Any) -> Any:
    """Any JSON, with its text made Unicode and its numbers finite; depth is bounded by the line's parser."""
    if type(value) is str:
        return _text(value)
    if type(value) is float:
        return _number(value)
    if type(value) is list:
        return [_anything(part) for part in value]
    if type(value) is dict:
        return {_text(key): _anything(part) for key, part in value.items()}
    return value


_SCALARS: dict[Any, Check] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _flag,
    object: _anything,  # what wire.py's Any is at run time
}


def _nullable(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _list_of(check: Check) -> Check:
    def check_list(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _Misfit("a list", value)
        return [check(part) for part in value]

    return check_list


def _dict_of(check: Check) -> Check:
    def check_dict(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Misfit("an object", value)
        return {_text(key): check(part) for key, part in value.items()}

    return check_dict


def _bounded(name: str, check: Check) -> Check:
    """Instants lie in this century, amounts are not below zero."""
    if name == "at" or name.endswith("_at"):

        def check_at(value: Any) -> Any:
            at = check(value)
            if at is not None and not EARLIEST_AT <= at <= LATEST_AT:
                raise _Misfit("an instant between 2001 and 2100", value)
            return at

        return check_at
    if name in _NO_COUNTS or not _COUNTS.fullmatch(name):
        return check

    def check_count(value: Any) -> Any:
        amount = check(value)
        if type(amount) in (int, float) and amount < 0:
            raise _Misfit("zero or more", value)
        return amount

    return check_count

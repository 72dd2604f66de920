"""The light NamedTuple and JSON writer do what the heavy ones do."""

import hashlib
import json
import math
import pickle
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_guard import digest, light, wire

_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_VALUES = st.recursive(_LEAVES, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=20)


@given(_VALUES)
def test_text_is_what_json_would_write(value: object) -> None:
    assert light.to_json(value) == json.dumps(value, separators=(",", ":"), allow_nan=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan], {"a": {"b": math.inf}}])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        light.to_json(value)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), {"a": b""}])
def test_unknown_type_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        light.to_json(value)


@pytest.mark.parametrize("shape", wire.KINDS.values(), ids=wire.KINDS)
def test_records_are_what_typing_would_have_made(shape: typing.Any) -> None:
    heavy = typing.NamedTuple(shape.__name__, list(shape.__annotations__.items()))  # type: ignore[misc]
    values = list(range(len(shape._fields)))

    record = shape(*values)

    assert shape._fields == heavy._fields
    assert record == tuple(values)
    assert record._asdict() == heavy(*values)._asdict()
    assert pickle.loads(pickle.dumps(record)) == record
    assert type(pickle.loads(pickle.dumps(record))) is shape
    assert typing.get_type_hints(shape).keys() == set(shape._fields)
    assert shape.__doc__


def test_defaults_hold() -> None:
    later = dict.fromkeys(("boot_s", "visible", "sharing"))

    assert wire.Ticket._field_defaults == {"format": wire.FORMAT, **later}


def test_encode_writes_nested_records_as_objects() -> None:
    socket = wire.Socket("tcp", "127.0.0.1:1", "0.0.0.0:0", "LISTEN", 0, None)
    net = wire.NetState(1.5, 1, None, [socket], [], ["lo"], [], [], False, {"routes": "no"})
    end = wire.EndMark(None, 2.0, "n", "c", 1, "b", None, None, None, "é\n", None, None, net, {})

    body = json.loads(wire.encode(end))

    assert body.pop("k") == "end"
    assert body == {**end._asdict(), "net": {**net._asdict(), "listen": [socket._asdict()]}}


class Span(light.NamedTuple):
    """Methods come along, and nothing more."""

    start: int
    end: "int" = 5  # quoted, as all are with `from __future__ import annotations`

    @property
    def long(self) -> int:
        return self.end - self.start

    @staticmethod
    def nothing() -> "Span":
        return Span(0, 0)


def test_records_may_have_methods() -> None:
    span = Span(2)

    assert (span, span.long, Span.nothing()) == ((2, 5), 3, (0, 0))
    assert (Span._fields, Span.__doc__, Span.__module__) == (
        ("start", "end"),
        "Methods come along, and nothing more.",
        __name__,
    )
    assert pickle.loads(pickle.dumps(span)) == span
    assert not hasattr(span, "__dict__")
    assert typing.get_type_hints(Span) == {"start": int, "end": int}


def test_the_light_digest_is_sha256() -> None:
    assert digest.sha256(b"abc").hexdigest() == hashlib.sha256(b"abc").hexdigest()

"""The light NamedTuple and JSON writer do what the heavy ones do."""

import hashlib
import json
import math
import pickle
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_guard import digest, light, wire

ROOT = Path(__file__).resolve().parents[2]
_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_VALUES = st.recursive(_LEAVES, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=20)


@given(_VALUES)
def test_text_is_what_json_would_write(value: object) -> None:
    assert light.to_json(value) == json.dumps(value, separators=(",", ":"), allow_nan=False)


@given(st.recursive(_LEAVES | st.floats(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_plain_text_is_what_json_would_write(value: object) -> None:
    assert light.to_plain_json(value) == json.dumps(value, separators=(",", ":"))


def test_plain_text_has_records_as_arrays_and_asks_for_what_it_does_not_know() -> None:
    body = {"span": Span(2), "seen": {"b", "a"}}

    assert json.loads(light.to_plain_json(body, default=sorted)) == {"span": [2, 5], "seen": ["a", "b"]}
    with pytest.raises(TypeError, match="set"):
        light.to_plain_json(body)


@given(_VALUES, st.sampled_from(["", " \n"]), st.booleans())
def test_what_is_read_is_what_json_would_read(value: object, around: str, ascii_only: bool) -> None:
    text = around + json.dumps(value, ensure_ascii=ascii_only) + around
    said = text if "\\ud" in text or not ascii_only else text.encode("ascii")

    assert light.from_json(said) == json.loads(said)


@given(st.text(alphabet='{}[]",:01e.-+ntrufals\\ \n', max_size=12))
def test_what_json_would_refuse_is_refused(text: str) -> None:
    try:
        expected = repr(json.loads(text))
    except ValueError:
        with pytest.raises(ValueError):
            light.from_json(text)
    else:
        assert repr(light.from_json(text)) == expected


@pytest.mark.parametrize("text", ["{", '{"a" 1}', '"\x01"', "nul", "1 2", "", '{"a":'])
def test_nothing_is_imported_to_refuse_a_text(text: str) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from slurm_guard.light import from_json\n"
        "try: from_json(sys.argv[2])\n"
        "except ValueError as error: print(error, sorted(m for m in sys.modules if m.startswith('json')))\n"
        "import json; json.loads('[1]')"
    )

    done = subprocess.run(
        [sys.executable, "-IS", "-c", program, str(ROOT), text], capture_output=True, text=True, check=True
    )

    assert done.stdout.rstrip().endswith("[]")


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


def test_records_are_changed_and_shown_as_those_of_typing() -> None:
    span = Span(2)

    assert span._replace(end=7) == Span._make([2, 7]) == (2, 7)
    assert repr(span) == "Span(start=2, end=5)"
    assert Span(end=1, start=0).start == 0
    with pytest.raises(ValueError, match="ende"):
        span._replace(ende=7)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Span()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        span.start = 3  # type: ignore[misc]
    match span:
        case Span(start, end):
            assert (start, end) == (2, 5)


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

"""Lines and datagrams stay valid and bounded, whatever a job called itself."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_guard import wire
from slurm_guard.sampler.journald import MOST_LINE, body_of, datagram, message_id, severity, syslog_line

RUN = "c/7/n1/abcdef01/123"
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3000)
VALUES = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(), inner))


def parse(raw: bytes) -> dict[str, bytes]:
    """journald's own rules, written a second time."""
    fields = {}
    while raw:
        end = raw.index(b"\n")
        name, equals, value = raw[:end].partition(b"=")
        raw = raw[end + 1 :]
        if not equals:
            (size,) = struct.unpack("<Q", raw[:8])
            value, raw = raw[8 : 8 + size], raw[8 + size :]
            assert raw[:1] == b"\n"
            raw = raw[1:]
        fields[name.decode("ascii")] = value
    return fields


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=200), VALUES, max_size=30), st.text(max_size=500))
def test_a_line_is_valid_json_within_the_bound_for_any_event(detail: dict[str, Any], name: str) -> None:
    """Law: for all events, the line is one line, at most 1800 bytes, and parses."""
    line = syslog_line(123456, wire.Event(5.0, RUN, name, detail))

    assert len(line) <= MOST_LINE
    assert b"\n" not in line
    assert "event" in json.loads(line.split(b": ", 1)[1])


def test_a_long_value_is_shortened_and_the_short_ones_stay_whole() -> None:
    detail = {"exe": "/" + "x" * 5000, "pid": 17, "gpu": "GPU-1", "holders": [RUN] * 300}

    body = json.loads(body_of("foreign-process", RUN, detail, 1000))

    assert (body["pid"], body["gpu"], body["run"]) == (17, "GPU-1", RUN)
    assert body["exe"].startswith("/xxx")
    assert body["exe"].endswith("~")
    assert body["holders"][-1].endswith(" more")


def test_what_fits_is_not_touched() -> None:
    detail = {"exe": "é" * 100, "list": list(range(100))}

    assert json.loads(body_of("leftover", RUN, detail, MOST_LINE)) == {
        "event": "leftover", "run": RUN, **detail,
    }  # fmt: skip


def test_too_many_keys_are_left_out_and_counted() -> None:
    body = json.loads(body_of("x", None, {f"key{n:03d}": n for n in range(1000)}, 900))

    assert body["left_out"] + len(body) - 1 == 1002
    assert body["event"] == "x"


def test_a_datagram_names_run_node_kind_and_plain_values() -> None:
    event = wire.Event(5.0, RUN, "leftover", {"pid": 17, "gpu": "GPU-1", "holders": ["a"], "none": None})

    fields = parse(datagram(123, "n1", event))

    assert fields["PRIORITY"] == b"4"
    assert fields["SYSLOG_IDENTIFIER"] == b"slurm-guard-sampler"
    assert (fields["SLURM_GUARD_RUN"], fields["SLURM_GUARD_NODE"]) == (RUN.encode(), b"n1")
    assert (fields["SLURM_GUARD_EVENT"], fields["SLURM_GUARD_JOB"]) == (b"leftover", b"7")
    assert (fields["SLURM_GUARD_PID"], fields["SLURM_GUARD_GPU"]) == (b"17", b"GPU-1")
    assert fields["MESSAGE_ID"].decode() == message_id("leftover")
    assert json.loads(fields["MESSAGE"])["pid"] == 17
    assert not {"SLURM_GUARD_HOLDERS", "SLURM_GUARD_NONE"} & set(fields)


@given(st.dictionaries(st.text(max_size=80), st.text(max_size=200) | st.integers(), max_size=10))
def test_no_value_forges_a_field(detail: dict[str, Any]) -> None:
    """Law: what the parser finds are our own names, one entry, our own priority."""
    fields = parse(datagram(1, "n\nPRIORITY=0", wire.Event(5.0, RUN, "leftover", detail)))

    assert fields["PRIORITY"] == b"4"
    assert fields["SLURM_GUARD_NODE"] == b"n\nPRIORITY=0"
    assert fields["SLURM_GUARD_RUN"] == RUN.encode()


def test_a_kind_keeps_its_message_id_in_every_release() -> None:
    assert message_id("foreign-process") == "17646d74d968e7bab519aa7ca3cf884a"


@pytest.mark.parametrize(("reason", "number"), [("SIGTERM", 5), ("idle", 5), ("error: OSError at x:1", 3)])
def test_a_last_word_about_a_fault_is_an_error(reason: str, number: int) -> None:
    assert severity(wire.Event(5.0, None, "sampler-stopped", {"reason": reason})) == number

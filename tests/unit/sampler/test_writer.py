"""Segments chain, rotate and seal; a full disk drops records and says so."""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.sampler.chain import read_chain
from slurm_guard.sampler.writer import Instant, Origin, Stream, prepare

RUN = "c/7/n1/abcdef01/1000"


def _stream(spool: Path, run: str | None = RUN) -> Stream:
    prepare(str(spool))
    return Stream(Origin(str(spool), "n1", "c", "abcdef01-2345", 60.0, 1.0), run)


def _event(n: int) -> wire.Event:
    return wire.Event(float(n), RUN, "test", {"n": n})


def _now(s: float) -> Instant:
    return Instant(1000.0 + s, s)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_segment_is_head_records_and_a_tail_whose_digest_holds(tmp_path: Path) -> None:
    stream = _stream(tmp_path)
    for n in range(3):
        assert stream.write(_event(n), _now(n))

    assert stream.close("rotate", _now(5))

    path = tmp_path / "sealed" / "c_7_n1_abcdef01_1000.000000.jsonl"
    records = _lines(path)
    assert [r["k"] for r in records] == ["head", "event", "event", "event", "tail"]
    before_tail = path.read_bytes().rsplit(b"\n", 2)[0] + b"\n"
    assert records[-1]["sha256"] == hashlib.sha256(before_tail).hexdigest()
    assert (records[-1]["n"], records[-1]["reason"], records[0]["prev_sha256"]) == (3, "rotate", None)
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()
    assert not list((tmp_path / "open").iterdir())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_segments_are_chained_also_across_a_restart(tmp_path: Path) -> None:
    first = _stream(tmp_path)
    first.write(_event(1), _now(1))
    first.close("sampler-stopped", _now(2))
    second = _stream(tmp_path)
    second.write(_event(2), _now(3))
    second.close("run-ended", _now(4))

    assert second.seal("epilog", _now(5))

    heads = [_lines(path)[0] for path in sorted((tmp_path / "sealed").iterdir())]
    tails = [_lines(path)[-1] for path in sorted((tmp_path / "sealed").iterdir())]
    assert [h["seq"] for h in heads] == [0, 1]
    assert heads[1]["prev_sha256"] == tails[0]["sha256"]
    seal = json.loads((tmp_path / "seals" / "c_7_n1_abcdef01_1000.json").read_text())
    assert seal["segments"] == [[0, 1, tails[0]["sha256"]], [1, 1, tails[1]["sha256"]]]
    assert seal["ended_by"] == "epilog"


def test_a_full_disk_drops_whole_records_counts_them_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = _stream(tmp_path)
    stream.write(_event(0), _now(0))
    real = os.write

    def full(fd: int, data: bytes) -> int:
        real(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert not stream.write(_event(1), _now(1))
    assert not stream.write(_event(2), _now(2))
    monkeypatch.setattr(os, "write", real)

    assert stream.write(_event(3), _now(3))

    assert stream.close("rotate", _now(4))
    records = _lines(next((tmp_path / "sealed").iterdir()))
    assert [r.get("detail") for r in records[1:-1]] == [{"n": 0}, {"n": 3}, {"n": 2}]
    assert records[-2]["name"] == "records-dropped"


def test_a_short_write_leaves_no_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _stream(tmp_path)
    stream.write(_event(0), _now(0))
    real = os.write

    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:10]))
    assert not stream.write(_event(1), _now(1))
    monkeypatch.setattr(os, "write", real)

    stream.close("rotate", _now(2))
    assert [r["k"] for r in _lines(next((tmp_path / "sealed").iterdir()))] == [
        "head",
        "event",
        "event",
        "tail",
    ]


def test_a_disk_that_is_full_from_the_start_loses_records_and_never_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = _stream(tmp_path)
    real = os.open

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "open", refuse)
    assert not stream.write(_event(1), _now(1))
    assert not stream.close("rotate", _now(1)), "a dropped record is still to be told"
    assert not stream.seal("epilog", _now(1))
    monkeypatch.setattr(os, "open", real)
    assert stream.write(_event(2), _now(20))


def test_a_record_with_nan_is_dropped_and_not_written(tmp_path: Path) -> None:
    stream = _stream(tmp_path)

    assert not stream.write(wire.Event(float("nan"), None, "x", {}), _now(1))

    assert stream.dropped == 1


def test_the_nodes_own_stream_is_named_by_boot(tmp_path: Path) -> None:
    stream = _stream(tmp_path, None)
    stream.write(_event(1), _now(1))
    stream.close("rotate", _now(2))

    assert [p.name for p in (tmp_path / "sealed").iterdir()] == ["node_abcdef01.000000.jsonl"]
    assert read_chain(str(tmp_path), "node_abcdef01").closed[0].n == 1

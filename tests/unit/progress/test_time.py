"""A file for which the time does not suffice: what was read is told, and how far it came."""

import os
import time
from pathlib import Path

import pytest

from slurm_guard.progress import parser_child
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.protocol import UNREAD
from slurm_guard.progress.unit import Input, Told, read_unit
from tests.unit.progress.event_files import event, scalar, version

LINE = "step={:07d} loss=0.1 {}\n"
N = 40_000  # lines of 128 bytes: 5 MB


def _text(path: Path) -> Path:
    path.write_text("".join(LINE.format(n, "x" * 105) for n in range(N)))
    return path


def _read(path: Path, until_s: float) -> tuple[list[Told], list[Mark]]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_unit([Input(0, fd, str(path), "fd", path.stat().st_size, 64 << 20)], (), until_s)
    finally:
        os.close(fd)


def test_of_a_text_the_end_is_read_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _text(tmp_path / "a.out")
    ticks = iter([0.0, 1.0, 3.0, 4.0, 5.0, 6.0])
    monkeypatch.setattr(
        "slurm_guard.progress.unit.time.monotonic", lambda: next(ticks)
    )  # two pieces are read within 2 s

    (told,), marks = _read(path, 2.0)

    tail = path.stat().st_size - (1 << 20)
    assert told.problems == [f"timeout: bytes {2 << 20} to {tail} were not read"]
    assert marks[0].step == 0
    assert marks[-1].step == N - 1
    assert sum(mark.step is not None for mark in marks) < 30_000
    # the log goes on where it was not read
    assert [m.offset for m in marks if m.phase == UNREAD] == [2 << 20, tail]


def test_a_text_beyond_the_cap_is_not_silent_where_it_is_left_out(tmp_path: Path) -> None:
    path = _text(tmp_path / "a.out")
    fd = os.open(path, os.O_RDONLY)
    try:
        (told,), marks = read_unit([Input(0, fd, str(path), "fd", path.stat().st_size, 3 << 20)], ())
    finally:
        os.close(fd)

    edges = [1 << 20, path.stat().st_size - (2 << 20)]
    assert told.problems == [f"capped: bytes {edges[0]} to {edges[1]} were not read"]
    assert [(m.offset, m.step) for m in marks if m.phase == UNREAD] == [(at, None) for at in edges]
    before, behind = (
        next(i for i, m in enumerate(marks) if (m.phase, m.offset) == (UNREAD, at)) for at in edges
    )
    assert behind == before + 1
    assert (marks[behind + 1].step or 0) > (marks[before - 1].step or 0) + 10_000


def test_of_what_does_not_resynchronise_the_beginning_counts(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(version() + b"".join(event(1.7e9 + n, n, scalar("loss", 1.0)) for n in range(20)))

    (told,), _ = _read(path, time.monotonic() - 1)

    assert "timeout: bytes from 0 on were not read" in told.problems


def test_the_parser_answers_before_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _text(tmp_path / "a.out")
    monkeypatch.setattr(parser_child, "READ_SHARE", 0.0)
    fd = os.open(path, os.O_RDONLY)
    try:
        one = Input(0, fd, str(path), "fd", path.stat().st_size, 64 << 20)
        answer = parser_child.parse([one], "", time.monotonic() + 30)
    finally:
        os.close(fd)

    assert answer.problem is None
    assert answer.truncated
    assert answer.marks[-1].step == N - 1
    assert answer.told[0].problems[0].startswith("timeout: bytes 0 to ")


def test_a_track_of_a_late_file_is_made_of_fewer_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_guard.progress.unit.LATE_CLAIMS", 100)

    _, marks = _read(_text(tmp_path / "a.out"), time.monotonic() - 1)

    assert sum(mark.step is not None for mark in marks) <= 101
    assert marks[-1].step == N - 1

"""A disk that takes its time: syncing open segments costs the sampler nothing."""

import os
import time
from pathlib import Path

import pytest

from slurm_guard.sampler.syncing import Syncing


def _name(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def _wait(syncing: Syncing) -> None:
    until_s = time.monotonic() + 10
    while syncing.busy and time.monotonic() < until_s:
        time.sleep(0.01)
    assert not syncing.busy


def test_a_slow_disk_keeps_nobody_waiting_and_gets_one_question_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment, told = tmp_path / "a.jsonl", tmp_path / "told"
    segment.write_text("x\n")

    def slow(fd: int) -> None:
        with told.open("a") as file:
            file.write(_name(fd) + "\n")
        time.sleep(0.6)

    monkeypatch.setattr(os, "fdatasync", slow)
    syncing = Syncing()
    begun_s = time.monotonic()

    assert syncing.begin([str(segment)])
    assert not syncing.begin([str(segment)])
    assert time.monotonic() - begun_s < 0.4

    _wait(syncing)
    assert told.read_text() == f"{segment}\n"
    assert syncing.begin([str(segment)])
    _wait(syncing)
    assert told.read_text() == 2 * f"{segment}\n"


def test_a_segment_that_was_sealed_meanwhile_and_a_link_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, told = tmp_path / "b.jsonl", tmp_path / "told"
    last.write_text("x\n")
    (tmp_path / "link").symlink_to(last)
    monkeypatch.setattr(os, "fdatasync", lambda fd: told.write_text(_name(fd)))
    syncing = Syncing()

    assert syncing.begin([str(tmp_path / "gone.jsonl"), str(tmp_path / "link"), str(last)])
    _wait(syncing)

    assert told.read_text() == str(last)


def test_without_open_segments_nothing_is_begun() -> None:
    assert not Syncing().begin([])

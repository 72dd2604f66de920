"""The progress reader as the sampler starts it: at most two, a deadline, and a failure is told."""

import errno
import json
import os
import sys
import time
from pathlib import Path

import pytest

from slurm_guard.config import ProgressConfig
from slurm_guard.sampler import reader_child
from slurm_guard.sampler.reader_child import MOST_AT_ONCE, MOST_TRIES, RETRY_S, Failure, Readers


def _poll(readers: Readers, mono_s: float = 0.0) -> list[Failure]:
    failures: list[Failure] = []
    until = time.monotonic() + 15
    while readers.busy and time.monotonic() < until:
        failures += readers.poll(mono_s)
        time.sleep(0.02)
    return failures


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that writes its request beside itself, or sleeps, or fails, as its run says."""
    text = (
        "import json, sys, time, os\n"
        "body = json.load(sys.stdin)\n"
        "time.sleep(60 if body['run'] == 'slow' else 0)\n"
        "open(os.path.join(body['out'], f\"{body['run']}.{body['read']:06d}.jsonl\"), 'w').write(json.dumps("
        "{**body, 'nice': os.nice(0)}))\n"
        "sys.exit(3 if body['run'] == 'bad' else 0)\n"
    )
    monkeypatch.setattr(reader_child, "_PROGRAM", text.replace("{", "{{").replace("}", "}}"))


@pytest.mark.usefixtures("program")
def test_a_reading_gets_its_request_its_limits_and_the_next_number(tmp_path: Path) -> None:
    out = tmp_path / "progress"
    readers = Readers(str(out), ProgressConfig(max_file_mib=5, timeout_s=7.0))

    for _ in range(2):
        assert readers.submit("r", {"run": "r", "files": [{"path": "x" * 200_000}]})
        assert _poll(readers) == []
    again = Readers(str(out), ProgressConfig())
    again.submit("r", {"run": "r"})
    assert _poll(again) == []

    assert sorted(p.name for p in out.iterdir()) == [f"r.{n:06d}.jsonl" for n in range(3)]
    body = json.loads((out / "r.000001.jsonl").read_text())
    assert (body["read"], body["nice"], body["parser_user"]) == (1, 19, "nobody")
    assert body["limits"] == {"file_mib": 5, "run_mib": 256, "timeout_s": 7.0}


@pytest.mark.usefixtures("program")
def test_a_finished_reading_is_named_once_and_a_failed_one_never(tmp_path: Path) -> None:
    readers = Readers(str(tmp_path), ProgressConfig(timeout_s=5.0))
    for run in ("r", "bad"):
        readers.submit(run, {"run": run})
    until = time.monotonic() + 15
    while not (tmp_path / "bad.000000.jsonl").exists() and time.monotonic() < until:
        readers.poll(0.0)
        time.sleep(0.02)
    time.sleep(0.3)
    readers.poll(0.0)

    assert readers.take_done() == [("r", str(tmp_path / "r.000000.jsonl"))]
    assert readers.take_done() == []


@pytest.mark.usefixtures("program")
def test_a_reader_that_fails_or_hangs_is_told_and_ended(tmp_path: Path) -> None:
    readers = Readers(str(tmp_path), ProgressConfig(timeout_s=1.0))
    for run in ("bad", "slow"):
        readers.submit(run, {"run": run})
    failures: list[Failure] = []
    for tries in range(1, MOST_TRIES + 1):
        until = time.monotonic() + 30
        while len(failures) < tries and time.monotonic() < until:
            failures += readers.poll(tries * RETRY_S)
            time.sleep(0.02)

    failures += readers.poll(1000.0)

    assert [(f.run, f.reason) for f in failures] == [
        *[("bad", "exit status 3")] * MOST_TRIES,
        ("slow", "stopped at its deadline"),
    ]
    assert not readers.busy
    for process in [*readers._killed]:  # it may have been collected by now
        process.wait(10)
    readers.poll(1001.0)
    assert readers._killed == []


@pytest.mark.usefixtures("program")
def test_no_more_than_two_readers_live_at_once_and_a_newer_request_replaces_a_waiting_one(
    tmp_path: Path,
) -> None:
    readers = Readers(str(tmp_path), ProgressConfig(timeout_s=1.0))
    for run in ("slow", "slow2", "c", "c"):
        readers.submit(run, {"run": "slow"})

    readers.poll(0.0)

    assert (len(readers._under), len(readers._queue)) == (MOST_AT_ONCE, 1)
    for under in readers._under:
        under.child.kill()
        under.child.wait()
    readers._queue.clear()


@pytest.mark.usefixtures("program")
def test_a_reading_whose_reader_was_killed_is_made_again_under_its_number(tmp_path: Path) -> None:
    readers = Readers(str(tmp_path), ProgressConfig())
    readers.submit("slow", {"run": "slow"})
    readers.poll(0.0)
    (under,) = readers._under
    under.child.kill()
    under.child.wait()
    (failure,) = readers.poll(0.0)
    assert failure.reason == "exit status -9"
    readers._queue[0] = readers._queue[0]._replace(body=readers._queue[0].body.replace(b'"slow"', b'"quick"'))

    readers.poll(RETRY_S - 1)
    assert readers._under == []
    assert _poll(readers, RETRY_S) == []

    assert [p.name for p in tmp_path.iterdir()] == ["quick.000000.jsonl"]


@pytest.mark.usefixtures("program")
def test_a_later_reading_of_the_run_takes_the_place_of_one_that_failed(tmp_path: Path) -> None:
    readers = Readers(str(tmp_path), ProgressConfig())
    readers.submit("slow", {"run": "slow"})
    readers.poll(0.0)
    (under,) = readers._under
    readers.submit("slow", {"run": "quick"})
    under.child.kill()
    under.child.wait()

    assert [f.read for f in _poll(readers)] == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["quick.000001.jsonl"]


def test_a_reader_that_cannot_be_started_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    readers = Readers(str(tmp_path), ProgressConfig())
    readers.submit("r", {"run": "r"})

    failures: list[Failure] = []
    until = time.monotonic() + 15
    while not failures and time.monotonic() < until:
        failures = readers.poll(0.0)

    assert [failure.reason for failure in failures] == ["exit status 127"]


def test_a_reader_that_cannot_be_forked_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    readers = Readers(str(tmp_path), ProgressConfig())
    readers.submit("r", {"run": "r"})

    (failure,) = readers.poll(0.0)

    assert failure.reason == "not started: Resource temporarily unavailable"

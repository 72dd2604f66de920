"""The client of cooperating jobs: one record or nothing, never an exception, never a wait."""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from slurm_guard.progress import client as shipped


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A fresh client whose file is there."""
    path = tmp_path / "progress.jsonl"
    path.touch()
    for name in shipped._RANKS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(shipped.VARIABLE, str(path))
    yield importlib.reload(shipped)
    if shipped._fd >= 0:
        os.close(shipped._fd)
    importlib.reload(shipped)


def written(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]


def test_a_record_holds_what_was_said_and_who_said_it(client: ModuleType, tmp_path: Path) -> None:
    assert client.progress(3, total=9, tokens=4096, loss=2.5, phase="train", run="a")

    (row,) = written(tmp_path)
    assert {**row, "ts": 0} == {
        "v": 1, "ts": 0, "seq": 1, "pid": os.getpid(), "rank": 0, "phase": "train", "step": 3, "total": 9,
        "tokens": 4096, "loss": 2.5, "run": "a",
    }  # fmt: skip
    assert abs(row["ts"] - time.time()) < 5


def test_within_a_second_only_forced_records_are_written(client: ModuleType, tmp_path: Path) -> None:
    said = [client.progress(n) for n in range(5)]
    said.append(client.progress(9, force=True))

    assert said == [True, False, False, False, False, True]
    assert [row["step"] for row in written(tmp_path)] == [0, 9]


class Odd:
    """A value that raises whatever one asks of it."""

    def __float__(self) -> float:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "x", Odd(), [1], {}, object(), b"1" * 9_000])
def test_a_value_that_is_none_is_left_out_and_nothing_is_raised(
    client: ModuleType, tmp_path: Path, value: object
) -> None:
    assert client.progress(1, loss=value, tokens=value, force=True)
    client.progress(value, force=True)
    client.progress(2, phase=Odd(), force=True)

    assert all("loss" not in row and "tokens" not in row for row in written(tmp_path))


def test_a_record_that_is_too_long_is_left_out(client: ModuleType, tmp_path: Path) -> None:
    assert not client.progress(1, **{f"metric{n}": n for n in range(300)})

    assert written(tmp_path) == []


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID"])
def test_other_ranks_say_nothing(
    client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "3")

    assert not client.progress(1, force=True)
    assert written(tmp_path) == []


def test_without_the_variable_nothing_happens(client: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shipped.VARIABLE)

    assert not client.progress(1)
    assert not client.progress(2)


@pytest.mark.parametrize("kind", ["fifo", "folder", "gone", "link"])
def test_whatever_stands_in_the_files_place_it_neither_waits_nor_raises(
    client: ModuleType, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "progress.jsonl"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/dev/full")
    begin_s = time.monotonic()

    assert not any(client.progress(n, force=True) for n in range(50))
    assert time.monotonic() - begin_s < 5.0


def test_a_full_disk_is_no_fault_of_the_training(client: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)

    assert not client.progress(1)


def test_a_program_that_closes_all_descriptors_finds_no_record_in_its_own_files(
    client: ModuleType, tmp_path: Path
) -> None:
    assert client.progress(1, force=True)
    number = client._fd
    os.close(number)
    mine = os.open(tmp_path / "users_file.txt", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        assert mine == number

        assert client.progress(2, force=True)

        assert os.fstat(mine).st_size == 0
    finally:
        os.close(mine)
    assert [row["step"] for row in written(tmp_path)] == [1, 2]


def test_a_program_that_closed_its_descriptors_goes_on_telling(client: ModuleType, tmp_path: Path) -> None:
    assert client.progress(1, force=True)
    os.close(client._fd)

    assert client.progress(2, force=True)
    assert [row["step"] for row in written(tmp_path)] == [1, 2]


def test_a_throttled_call_costs_less_than_a_microsecond(client: ModuleType) -> None:
    """Measured: 0.2 µs; the least of many rounds, because the machine is not ours alone."""
    client.progress(1)
    rounds = []
    for _ in range(30):
        begin_s = time.perf_counter()
        for step in range(1_000):
            client.progress(step, total=9, tokens=4096)
        rounds.append((time.perf_counter() - begin_s) / 1_000)

    assert min(rounds) < 1e-6


def test_the_file_stands_alone(tmp_path: Path) -> None:
    copy = tmp_path / "told.py"
    copy.write_bytes(Path(shipped.__file__).read_bytes())
    out = tmp_path / "progress.jsonl"
    out.touch()
    words = [
        sys.executable,
        "-IS",
        "-c",
        f"import sys; sys.path.append({str(tmp_path)!r}); import told; told.progress(5)",
    ]

    subprocess.run(words, env={shipped.VARIABLE: str(out)}, check=True, timeout=60)

    assert json.loads(out.read_text())["step"] == 5


@pytest.mark.parametrize(
    ("mib", "after_s", "said"),
    [(1, 1.5, True), (9, 1.5, False), (9, 11, True), (13, 11, False), (13, 101, True)],
)
def test_a_long_file_is_written_to_more_rarely(
    client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mib: int, after_s: float, said: bool
) -> None:
    os.truncate(tmp_path / "progress.jsonl", mib << 20)
    now = time.monotonic()
    client.progress(1)
    monkeypatch.setattr(client.time, "monotonic", lambda: now + after_s)

    assert client.progress(2) is said


def test_a_full_file_is_left_alone(client: ModuleType, tmp_path: Path) -> None:
    os.truncate(tmp_path / "progress.jsonl", 16 << 20)

    assert [client.progress(1), client.progress(2, force=True)] == [False, False]
    assert (tmp_path / "progress.jsonl").stat().st_size == 16 << 20

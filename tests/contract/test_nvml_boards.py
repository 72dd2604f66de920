"""The board process believes live owners, survives hostile load files, and pays work out."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rig.gpu.loads import MAX_BYTES, LoadFolder, Refused, parse_wish
from tests.rig.workloads.gpu import Gpu

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"gpus":[0]}',
    b'{"gpus":[9],"kind":"train","demand":1}',
    b'{"gpus":[0,0],"kind":"train","demand":1}',
    b'{"gpus":[true],"kind":"train","demand":1}',
    b'{"gpus":[0],"kind":"train","demand":NaN}',
    b'{"gpus":[0],"kind":"train","demand":1e999}',
    b'{"gpus":[0],"kind":"train","demand":-1}',
    b'{"gpus":[0],"kind":"train","demand":1,"mem_mib":1e400}',
    b'{"gpus":[0],"kind":"mine","demand":1}',
    b'{"gpus":[0],"kind":["train"],"demand":1}',
    b'{"gpus":[0],"kind":"train","demand":1,"else":1}',
    b'{"gpus":[0],"kind":"train","demand":1' + b" " * MAX_BYTES + b"}",
    b'{"gpus":[' + b"1" * 4000 + b'],"kind":"train","demand":1}',
]


@pytest.mark.parametrize("raw", HOSTILE)
def test_a_hostile_load_file_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        parse_wish(raw, 4)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_raise_anything_else(raw: bytes) -> None:
    try:
        parse_wish(raw, 4)
    except Refused:
        pass


def test_only_the_owner_of_a_live_process_is_believed(tmp_path: Path) -> None:
    folder = LoadFolder(tmp_path, 4)
    good = json.dumps({"gpus": [1], "kind": "train", "demand": 1.0})
    (tmp_path / str(os.getpid())).write_text(good)
    (tmp_path / "1").write_text(good)  # init's load from us
    if os.getuid() == 0:
        os.chown(tmp_path / "1", 65534, 65534)
    (tmp_path / "notes").write_text(good)
    (tmp_path / "4194303").symlink_to(tmp_path / "notes")
    (tmp_path / str(os.getppid())).symlink_to(tmp_path / "notes")

    found = folder.clients()

    assert [(client.pid, client.wish.gpus) for client in found] == [(os.getpid(), (1,))]
    folder.close()


def test_a_dead_process_s_load_vanishes(tmp_path: Path) -> None:
    folder = LoadFolder(tmp_path, 4)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    path = tmp_path / str(child.pid)
    path.write_text('{"gpus":[0],"kind":"hash","demand":0.5}')
    before = folder.clients()

    child.kill()
    child.wait()

    assert [client.pid for client in before] == [child.pid]
    assert folder.clients() == []
    assert not path.exists()
    folder.close()


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Path]:
    """A running board process; its folder. Grants go to their owner, so root is not needed for our own."""
    folder = tmp_path / "gpu"
    command = [sys.executable, "-m", "tests.rig.gpu", "--dir", str(folder), "--count", "2", "--seed", "5"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 20
    while not (folder / "ready").exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.02)
    yield folder
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors


def test_work_takes_its_time_and_truth_remembers_it(boards: Path) -> None:
    for raw in HOSTILE[:12]:
        (boards / "loads" / str(os.getppid())).write_bytes(raw)
        time.sleep(0.06)
    gpu = Gpu([0, 1], boards)
    begun = time.monotonic()

    gpu.work(0.6, "train", 0.5)
    took = time.monotonic() - begun
    time.sleep(1.1)
    gpu.release()

    assert 1.1 < took < 4.0  # 0.6 GPU-s at half of the board; slower only where this machine is busy
    truth = [json.loads(line) for line in (boards / "truth.jsonl").read_text().splitlines()]
    mine = [row for row in truth if row["pid"] == os.getpid()]
    for index in (0, 1):
        assert sum(row["granted_ms"] for row in mine if row["gpu"] == index) == pytest.approx(600, abs=30)
    assert {row["kind"] for row in mine} == {"train"}

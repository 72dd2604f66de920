"""Pipes, named pipes and socket pairs that go to and fro between two processes, and pipes that do not."""

import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.sampler.joints import AGAIN_S, Ends, Joints, ends_of, meet
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.unixdiag import peers
from slurm_guard.sampler.writer import Instant

_NO: frozenset[int] = frozenset()


@pytest.fixture
def there() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def _process(pid: int) -> Process:
    stat = Proc().stat(pid)
    assert stat is not None
    process = Process(stat, 0.0, Instant(0.0, 0.0))
    process.run = "r"
    return process


def test_a_process_and_its_filter_are_joined(there: subprocess.Popen[bytes]) -> None:
    proc = Proc()
    assert meet(ends_of(proc, os.getpid()), ends_of(proc, there.pid))


def test_a_pipe_that_goes_one_way_joins_nobody() -> None:
    writer, reader = Ends(frozenset(), frozenset({5})), Ends(frozenset({5}), frozenset())
    other = Ends(frozenset(), frozenset({5}))
    assert not meet(writer, reader)
    assert not meet(writer, other)
    assert meet(Ends(frozenset({6}), frozenset({5})), Ends(frozenset({5}), frozenset({6})))


def test_a_process_that_is_gone_has_none() -> None:
    assert ends_of(Proc(), 2**22 + 5) == Ends(frozenset(), frozenset())


def test_a_pipe_one_way_and_a_named_one_back_join(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "back")
    one = subprocess.Popen(
        ["sh", "-c", "exec cat <back"], stdout=subprocess.PIPE, cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    two = subprocess.Popen(["sh", "-c", "exec cat >back"], stdin=one.stdout, cwd=tmp_path)
    try:
        proc = Proc()
        for _ in range(200):
            ends = ends_of(proc, one.pid), ends_of(proc, two.pid)
            if meet(*ends):
                break
            time.sleep(0.01)
        assert meet(*ends)
    finally:
        for process in (one, two):
            process.kill()
            process.communicate()


def test_a_terminal_joins_its_master_and_not_those_that_share_it() -> None:
    master, terminal = pty.openpty()
    there = [
        subprocess.Popen(["sleep", "60"], stdin=terminal, stdout=terminal, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    os.close(terminal)
    try:
        one, other = (ends_of(Proc(), process.pid) for process in there)
        assert meet(ends_of(Proc(), os.getpid()), one)
        assert meet(other, ends_of(Proc(), os.getpid()))
        assert not meet(one, other)
    finally:
        os.close(master)
        for process in there:
            process.kill()
            process.wait()


def test_a_socket_pair_joins_the_processes_that_hold_its_ends() -> None:
    near, far = socket.socketpair()
    there = subprocess.Popen(["sleep", "60"], stdin=far.fileno())
    far.close()
    try:
        mine, its = _process(os.getpid()), _process(there.pid)
        stranger = _process(os.getppid())
        joints = Joints(Proc())
        assert joints.joined([mine], [its], 1.0) == [(mine, its)]
        assert joints.joined([its], [stranger], 2.0) == []
    finally:
        there.kill()
        there.wait()
        near.close()


def test_both_ends_of_a_pair_are_told() -> None:
    one, other = socket.socketpair()
    found = peers()
    inodes = [os.fstat(end.fileno()).st_ino for end in (one, other)]
    assert [found[inode] for inode in inodes] == inodes[::-1]
    one.close()
    other.close()


def test_a_process_is_read_often_while_it_is_new_and_then_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []
    now = 0.0

    def read(proc: Proc, pid: int) -> Ends:
        asked.append(now)
        return Ends(frozenset(), frozenset())

    monkeypatch.setattr("slurm_guard.sampler.joints.ends_of", read)
    joints, mine, other = Joints(Proc()), _process(os.getpid()), _process(os.getppid())
    for now in (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0 + AGAIN_S):
        joints.joined([mine], [other], now)

    assert asked[::2] == [0.0, 10.0, 20.0, 40.0, 80.0 + AGAIN_S]


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        (Ends(_NO, _NO, frozenset({7})), Ends(_NO, _NO, frozenset({7, 8})), True),
        (Ends(_NO, _NO, frozenset({7})), Ends(_NO, _NO, frozenset({8})), False),
    ],
)
def test_processes_that_hold_the_same_socket_are_joined(one: Ends, other: Ends, joined: bool) -> None:
    assert meet(one, other) is joined


def test_a_named_pipe_in_shared_memory_joins_and_a_device_does_not() -> None:
    path = Path(f"/dev/shm/guard-{os.getpid()}")
    os.mkfifo(path, 0o600)
    opens = (
        f"import os, sys; [os.open(p, os.O_RDWR) for p in ({str(path)!r}, '/dev/null')]; print(1, flush=True)"
    )
    words = [sys.executable, "-c", f"{opens}; sys.stdin.read()"]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=null) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            ends = ends_of(Proc(), child.pid)
            named = {end for end in ends.reads & ends.writes if end < 0}
            assert named == {~abs(hash(str(path)))}
        finally:
            path.unlink()
            child.kill()

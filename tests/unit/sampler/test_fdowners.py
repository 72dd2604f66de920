"""A look for the holders of sockets is bounded, and no descriptor is beyond its reach."""

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.sampler import fdowners as module
from slurm_guard.sampler.fdowners import Owners
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import FakeProc

_HOLD = """
import os, resource, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
at, fd = int(sys.argv[1]), int(sys.argv[2])
filler = os.open("/dev/null", os.O_RDONLY)
while os.dup(filler) < at - 1:
    pass
os.dup2(fd, at)
os.close(fd)
print("ready", flush=True)
sys.stdin.readline()
"""


def _process(pid: int, run: str = "r") -> Process:
    process = Process(Stat(pid, "x", "S", 1, pid, 0, False), 0.0, Instant(0.0, 0.0))
    process.run = run
    return process


@pytest.fixture
def hidden() -> Iterator[tuple[int, int]]:
    """(process, inode of its socket, which it moved to descriptor 5,000 behind 4,999 others)."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 6000:
        pytest.skip("so many descriptors are not allowed here")
    with socket.socket() as one:
        words = [sys.executable, "-c", _HOLD, "5000", str(one.fileno())]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(words, pass_fds=[one.fileno()], text=True, **pipes) as child:  # type: ignore[call-overload]
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child.pid, os.fstat(one.fileno()).st_ino
            child.communicate("\n")


def test_a_socket_behind_thousands_of_descriptors_is_found_at_the_next_look(hidden: tuple[int, int]) -> None:
    pid, inode = hidden
    owners, members = Owners(Proc()), [_process(pid)]

    assert owners.find({inode}, members) == ({}, {"r"})
    assert owners.unread(inode, {"r", "s"}) == {"r"}
    found, unread = owners.find({inode}, members)

    assert {i: process.pid for i, process in found.items()} == {inode: pid}
    assert unread == set()


class _Counting(FakeProc):
    """Counts what is read of each process in a look."""

    def __init__(self, n_fds: dict[int, int]) -> None:
        super().__init__(FakeClock())
        self.asked: dict[int, int] = {}
        for pid, number in n_fds.items():
            self.started[pid] = 0
            self.link_texts.update({f"{pid}/fd/{n}": "/dev/null" for n in range(number)})

    def fds(self, pid: int | str, most: int, at: int = 0) -> tuple[list[tuple[str, str]], int] | None:
        held = super().fds(pid, most, at)
        assert held is not None
        self.asked[int(pid)] = self.asked.get(int(pid), 0) + len(held[0])
        return held


def test_one_with_many_descriptors_keeps_no_other_from_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FDS", 40)
    monkeypatch.setattr(module, "MOST_LINKS", 50)
    proc = _Counting({10: 1000, 11: 30, 12: 30, 13: 30})
    owners, members = Owners(proc), [_process(pid) for pid in (10, 11, 12)] + [_process(13, "s")]
    for _ in range(6):
        before = sum(proc.asked.values())
        owners.find({7}, members)
        assert sum(proc.asked.values()) - before <= module.MOST_LINKS

    assert all(proc.asked[pid] >= 30 for pid in (11, 12, 13))
    assert proc.asked[10] >= 40


def test_all_is_read_when_a_whole_turn_was_made_since_the_socket_was_first_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_FDS", 10)
    owners, members = Owners(_Counting({10: 25, 11: 5})), [_process(10), _process(11)]
    seen = []
    for wanted in ({7}, {7}, {7, 8}, {7, 8}, {7, 8}, {7, 8}, {7, 8}):
        owners.find(wanted, members)
        seen.append((bool(owners.unread(7, {"r"})), bool(owners.unread(8, {"r"}))))

    # three looks a turn: 7 is wanted from the first turn's first one, 8 from the first turn's last one
    assert seen == [(True, False), (True, False), (False, True), (False, True), (False, True), (False, False),
                    (False, False)]  # fmt: skip


def test_what_is_found_begins_the_next_look_anew_and_who_is_gone_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_FDS", 10)
    proc = _Counting({10: 25, 11: 5})
    owners = Owners(proc)
    owners.find({7}, [_process(10), _process(11)])
    owners.find({7}, [_process(11)])
    assert owners.unread(7, {"r"}) == set()
    proc.link_texts["10/fd/3"] = "socket:[7]"
    found, unread = owners.find({7}, [_process(10), _process(11)])
    assert (set(found), unread) == ({7}, set())


def test_a_closed_table_and_a_refused_one_end_the_turn() -> None:
    proc = _Counting({10: 0})
    proc.refused.add(11)
    owners = Owners(FakeProc(FakeClock()))
    assert owners.find({7}, [_process(10), _process(11)]) == ({}, set())

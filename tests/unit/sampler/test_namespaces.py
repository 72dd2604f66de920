"""Connections in network namespaces of a job's own are looked at as the node's are."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.sampler import namespaces as module
from slurm_guard.sampler.flows import Flow, go_on
from slurm_guard.sampler.namespaces import MOST, MOST_LINKS, Namespaces
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import FakeProc

_TALK = """
import socket, subprocess, sys, time
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
door = socket.create_server(("127.0.0.1", 7000))
near = socket.create_connection(("127.0.0.1", 7000))
far, _ = door.accept()
near.sendall(b"x" * 5000)
far.recv(5000)
print("ready", flush=True)
sys.stdin.readline()
near.close()
far.close()
print("closed", flush=True)
sys.stdin.readline()
"""


def nobody(ident: int) -> Sample | None:
    return None


@pytest.fixture
def there() -> Iterator[subprocess.Popen[str]]:
    words = ["unshare", "--net", sys.executable, "-c", _TALK]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def _process(pid: int, key: int = 0) -> Process:
    process = Process(Stat(pid, "x", "S", 1, key or pid, 0, False), 0.0, Instant(0.0, 0.0))
    process.run = "r"
    return process


def _look(spaces: Namespaces, members: list[Process]) -> list[Sample]:
    """Until something is told of, at most for three seconds."""
    for k in range(300):
        spaces.look(members, float(k))
        found, _ = spaces.samples({0}, nobody)
        if any(found):
            return [row for part in found for row in part]
        time.sleep(0.01)
    return []


def _children() -> set[str]:
    """Of this process, that run or wait to be collected."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def _n_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _inode(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


@pytest.mark.root
def test_bytes_ends_and_openers_are_told_of_another_namespace(there: subprocess.Popen[str]) -> None:
    spaces, members = Namespaces(Proc()), [_process(there.pid), _process(os.getpid())]
    rows = _look(spaces, members)
    inode = _inode(there.pid)
    (opened,) = [row for row in rows if row.state == "ESTABLISHED" and row.peer == "127.0.0.1:7000"]

    assert {row.netns for row in rows} == {inode}
    assert (opened.opened, opened.out_b) == (True, 5000)

    assert there.stdin is not None
    assert there.stdout is not None
    there.stdin.write("\n")
    there.stdin.flush()
    there.stdout.readline()
    ended: list[Sample] = []
    for _ in range(100):  # the kernel tells of it a moment later
        ended += spaces.samples({0}, {row.ident: row for row in rows}.get)[1]
        if opened.ident in {row.ident for row in ended}:
            break
        time.sleep(0.03)
    assert opened.ident in {row.ident for row in ended}
    assert {row.netns for row in ended} == {inode}
    spaces.close()


@pytest.mark.root
def test_a_namespace_that_vanished_is_let_go(there: subprocess.Popen[str]) -> None:
    spaces = Namespaces(Proc())
    assert _look(spaces, [_process(there.pid)])
    before = _n_open()

    there.kill()
    there.wait()
    spaces.look([], 1000.0)

    assert spaces.samples({0}, nobody) == ([], [])
    assert _n_open() <= before - 2  # both sockets that kept it alive


@pytest.mark.root
def test_where_nobody_may_go_in_the_text_tables_have_to_do(
    there: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "go_in", lambda pid, back: None)
    rows = _look(Namespaces(Proc()), [_process(there.pid)])
    assert {(row.state, row.out_b) for row in rows} == {("LISTEN", None), ("ESTABLISHED", None)}
    assert {row.netns for row in rows} == {_inode(there.pid)}


@pytest.mark.root
def test_a_namespace_that_refused_once_is_entered_later_and_what_was_followed_goes_on(
    there: subprocess.Popen[str],
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    process, other = _process(there.pid), _process(gone.pid)
    spaces = Namespaces(Proc())
    # it lived there when it was last asked, and is not asked at this look
    spaces._where = {other.key: (3 if other.pid % 6 != 3 else 4, _inode(there.pid))}
    spaces.look([other, process], 0.0)
    time.sleep(0.2)
    spaces.look([process], 10.0)
    (rows,), _ = spaces.samples({0}, nobody)
    by_text = next(row for row in rows if row.state == "ESTABLISHED" and row.peer == "127.0.0.1:7000")
    flow = Flow(by_text, process, "r", Instant(10.0, 10.0), began=False)
    assert by_text.cookie is None

    spaces.look([process], 20.0)
    time.sleep(0.2)
    spaces.look([process], 30.0)
    opened = spaces.opened
    (rows,), _ = spaces.samples({0}, nobody)
    flows = {by_text.ident: flow}
    go_on(flows, {row.ident: row for row in rows}, opened)

    assert opened == {_inode(there.pid)}
    assert list(flows.values()) == [flow]
    (ident,) = flows
    flow.update(next(row for row in rows if row.ident == ident))
    assert (flow.sample.out_b, flow.opened, flow.moved) == (5000, True, (0, 0, 0, 0))
    spaces.look([process], 40.0)
    assert spaces.opened == set()
    spaces.close()


@pytest.mark.root
def test_where_it_is_refused_for_good_a_child_goes_ever_more_rarely(
    there: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[float] = []
    send = module._Door._send

    def _send(door: module._Door, mono_s: float) -> None:
        sent.append(mono_s)
        send(door, mono_s)

    monkeypatch.setattr(module, "_receive", lambda ours, inode: [])
    monkeypatch.setattr(module, "go_in", lambda pid, back: None)
    monkeypatch.setattr(module._Door, "_send", _send)
    spaces, members = Namespaces(Proc()), [_process(there.pid)]
    for k in range(360):
        spaces.look(members, 10.0 * k)
        while spaces._late:  # so that it does not depend on how fast a child ends
            os.waitpid(spaces._late.pop(), 0)
        if k > 1:
            assert any(spaces.samples({0}, nobody)[0])
    assert sent[:4] == [0.0, 20.0, 40.0, 70.0]
    assert len(sent) < 16
    assert max(b - a for a, b in itertools.pairwise(sent)) <= module.MOST_WAIT_S + 20


@pytest.mark.root
def test_nothing_is_said_to_have_ended_where_the_way_in_failed(there: subprocess.Popen[str]) -> None:
    spaces, members = Namespaces(Proc()), [_process(there.pid)]
    assert _look(spaces, members)
    assert spaces.untold == set()
    door = spaces._doors[_inode(there.pid)]
    assert door.diag is not None
    door.diag._asking().__enter__().close()
    assert spaces.samples({0}, nobody) == ([[]], [])
    assert spaces.untold == {_inode(there.pid)}
    assert spaces.cut == set()
    assert _look(spaces, members)
    spaces.close()


@pytest.mark.root
def test_a_child_that_hangs_is_killed_and_the_sampler_never_waits(
    there: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "go_in", lambda pid, back: time.sleep(60))
    before = _children()
    spaces, members = Namespaces(Proc()), [_process(there.pid)]
    began_s = time.monotonic()
    for mono_s in (0.0, 1.0, 2.0):
        spaces.look(members, mono_s)
        assert spaces.samples({0}, nobody) == ([[]], [])
    spaces.look(members, 2.0 + module.DEADLINE_S)
    time.sleep(0.1)
    spaces.look(members, 3.0 + module.DEADLINE_S)
    assert _children() <= before
    assert any(spaces.samples({0}, nobody)[0])
    assert time.monotonic() - began_s < 5


def test_what_a_child_brings_from_elsewhere_is_not_taken() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket() as one:
        ours.setblocking(False)
        assert module._receive(ours, 7) is None
        socket.send_fds(theirs, [module._INODE.pack(8)], [one.fileno()])
        before = _n_open()
        assert module._receive(ours, 7) == []
        assert _n_open() == before
        theirs.close()
        assert module._receive(ours, 7) == []


def test_namespaces_and_questions_are_bounded() -> None:
    proc = FakeProc(FakeClock())
    proc.link_texts["self/ns/net"] = "net:[1]"
    members = []
    for pid in range(10, 10 + 2 * MOST_LINKS):
        proc.link_texts[f"{pid}/ns/net"] = f"net:[{pid}]"
        members.append(_process(pid))
    spaces = Namespaces(proc)

    spaces.look(members, 0.0)

    assert spaces.truncated
    assert len(spaces.samples({0}, nobody)[0]) == MOST


def test_a_process_of_the_nodes_own_namespace_costs_a_link_now_and_then() -> None:
    proc = FakeProc(FakeClock())
    proc.link_texts.update({"self/ns/net": "net:[1]", "20/ns/net": "net:[1]"})
    spaces, asked = Namespaces(proc), []
    for k in range(20):
        proc.link_texts["20/ns/net"] = f"net:[{1 if k < 7 else 5}]"
        spaces.look([_process(20)], float(k))
        asked.append(bool(spaces.samples({0}, nobody)[0]))
    assert asked.index(True) <= 13


def test_a_run_with_many_namespaces_leaves_others_theirs_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Door, "step", lambda *_: None)
    proc = FakeProc(FakeClock())
    members = []
    for pid in range(1, MOST + 11):
        process = _process(pid)
        process.run = "big" if pid <= MOST + 8 else f"small{pid}"
        proc.link_texts[f"{pid}/ns/net"] = f"net:[{1000 + pid}]"
        members.append(process)
    spaces = Namespaces(proc)
    spaces.look(members[: MOST + 8], 0.0)
    before = set(spaces._doors)
    spaces.look(members, 10.0)
    after = {inode: door.runs for inode, door in spaces._doors.items()}

    assert len(before) == len(after) == MOST
    assert spaces.truncated == {"big"}
    assert {1000 + MOST + 9, 1000 + MOST + 10} <= set(after)
    assert sum(runs == {"big"} for runs in after.values()) == MOST - 2

"""Connections of a run's processes are told when first seen and when gone; nobody else's are."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.clock import FakeClock
from slurm_guard.config import NetworkConfig
from slurm_guard.sampler import fdowners as owners
from slurm_guard.sampler import tcptext as module
from slurm_guard.sampler.attribution import RunFacts
from slurm_guard.sampler.doors import Doors
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.processes import ProcessTable
from slurm_guard.sampler.sockets import SocketTable
from slurm_guard.sampler.tcpdiag import TRYING, Passed, Sample, TcpDiag
from slurm_guard.sampler.tcptext import address, read_line
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import NODE, FakeProc

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def _line(local: str, peer: str, state: str, uid: int, inode: int) -> str:
    return (
        f"   0: {local} {peer} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0\n"
    )


def test_addresses_are_read_in_the_kernels_order() -> None:
    assert address(b"0100007F:1F90") == "127.0.0.1:8080"
    assert address(b"00000000000000000000000001000000:0016") == "[::1]:22"


def test_only_living_states_are_kept() -> None:
    living = read_line(_line("0100007F:0016", "00000000:0000", "0A", 0, 5).encode(), "tcp")
    closing = read_line(_line("0100007F:0016", "0100007F:9999", "06", 0, 0).encode(), "tcp")

    assert living is not None
    assert (living.inode, living.uid, closing) == (5, 0, None)


@pytest.mark.parametrize(
    "line", [_HEAD, "garbage\n", "", _line("0100007F", "0", "01", 0, 5), _line("0:1", "0:2", "01", 0, 5)]
)
def test_what_is_no_socket_of_the_kernels_is_passed_over(line: str) -> None:
    assert read_line(line.encode(), "tcp") is None


def test_a_long_table_is_cut_and_every_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LINES", 1)
    clock = FakeClock()
    proc = FakeProc(clock)
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), None)
    lines = [_line("0100007F:0016", f"0100007F:000{port}", "01", 1000, port) for port in (1, 2)]

    proc.files["net/tcp"] = _HEAD + lines[0]
    list(sockets.look(Instant(clock.now_at(), clock.mono_s()), table, {"r"}))
    whole = sockets.truncated
    proc.files["net/tcp"] += lines[1]
    list(sockets.look(Instant(clock.now_at(), clock.mono_s()), table, {"r"}))

    assert (whole, sockets.truncated) == ({}, {"r": None})


def test_a_runs_connection_is_told_once_and_again_when_it_is_gone() -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    run = RunFacts("r", 7, None, 1000, clock.now_at(), None, frozenset())
    proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    proc.start(60, 2000)
    proc.link_texts.update({"50/fd/4": "socket:[11]", "60/fd/4": "socket:[12]"})
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), None)

    def look() -> list[tuple[int | None, str, bool]]:
        now = Instant(clock.now_at(), clock.mono_s())
        table.look(now, [run])
        clock.sleep(10)
        told = sockets.look(now, table, {"r"})
        return sorted((flow.pid, flow.peer, flow.gone) for flow in told if isinstance(flow, wire.FlowSeen))

    proc.files["net/tcp"] = (
        _HEAD
        + _line("0100007F:C350", "0A00000A:0016", "01", 1000, 11)
        + _line("0100007F:C351", "0A00000A:0016", "01", 2000, 12)
    )
    assert look() == [(50, "10.0.0.10:22", False)]
    assert look() == []
    proc.files["net/tcp"] = _HEAD + _line("0100007F:C399", "0B00000A:0016", "01", 1000, 11)
    assert look() == [(50, "10.0.0.10:22", True), (50, "10.0.0.11:22", False)]
    proc.files["net/tcp"] = _HEAD
    assert look() == [(50, "10.0.0.11:22", True)]


def test_a_connection_that_a_process_leaves_to_its_child_is_the_childs() -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    run = RunFacts("r", 7, None, 1000, clock.now_at(), None, frozenset())
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), None)
    job = "0::/system.slice/slurmstepd.scope/job_7/step_0"

    def look() -> list[tuple[int | None, bool]]:
        now = Instant(clock.now_at(), clock.mono_s())
        table.look(now, [run])
        clock.sleep(10)
        told = sockets.look(now, table, {"r"})
        return [(flow.pid, flow.gone) for flow in told if isinstance(flow, wire.FlowSeen)]

    proc.start(50, 1000, job)
    proc.link_texts["50/fd/3"] = "socket:[11]"
    proc.files["net/tcp"] = _HEAD + _line("0100007F:C350", "0A00000A:0016", "01", 1000, 11)
    assert look() == [(50, False)]
    proc.end(50)
    proc.start(51, 1000, job)
    proc.link_texts["51/fd/3"] = "socket:[11]"
    assert look() == [(51, False)]
    assert look() == []


@pytest.mark.parametrize(("elsewhere", "said"), [(False, {"r": 1}), (True, {})])
def test_sockets_in_nobodys_descriptors_are_said_where_their_user_is_in_the_run_alone(
    elsewhere: bool, said: dict[str, int]
) -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    run = RunFacts("r", 7, None, 1000, clock.now_at(), None, frozenset())
    proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    if elsewhere:  # the user's login on the same node
        proc.start(60, 1000, "0::/user.slice")
    proc.files["net/tcp"] = _HEAD + _line("0100007F:C350", "0A00000A:0016", "01", 1000, 11)
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), None)
    seen = []
    for _ in range(3):
        now = Instant(clock.now_at(), clock.mono_s())
        table.look(now, [run])
        assert list(sockets.look(now, table, {"r"})) == []
        clock.sleep(10)
        seen.append(sockets.truncated)

    assert seen == [{}, said, said]


def test_flows_beyond_the_most_are_counted() -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    table = ProcessTable(proc, NODE, 100)
    run = RunFacts("run", 7, None, 1000, clock.now_at(), None, frozenset())
    proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    lines = [_line("0100007F:0016", f"0100007F:{port:04X}", "01", 1000, port) for port in range(1, 601)]
    proc.files["net/tcp"] = _HEAD + "".join(lines)
    for port in range(1, 601):
        proc.link_texts[f"50/fd/{port}"] = f"socket:[{port}]"
    now = Instant(clock.now_at(), clock.mono_s())
    table.look(now, [run])
    sockets = SocketTable(proc, NetworkConfig(), None)

    told = list(sockets.look(now, table, {"run"}))

    assert len(told) == 512
    assert sockets.truncated == {"run": 88}
    assert {flow.mono_s for flow in told} == {now.mono_s}


def test_a_look_for_owners_reads_so_many_links_and_goes_on_in_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owners, "MOST_LINKS", 5)
    clock = FakeClock()
    proc = FakeProc(clock)
    run = RunFacts("r", 7, None, 1000, clock.now_at(), None, frozenset())
    for pid in range(50, 60):
        proc.start(pid, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
        proc.link_texts.update({f"{pid}/fd/{n}": "/dev/null" for n in range(3)})
    proc.link_texts["59/fd/9"] = "socket:[11]"
    proc.files["net/tcp"] = _HEAD + _line("0100007F:C350", "0A00000A:0016", "01", 1000, 11)
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), None)
    found, cut = [], []
    for _ in range(8):
        now = Instant(clock.now_at(), clock.mono_s())
        table.look(now, [run])
        found += [told.pid for told in sockets.look(now, table, {"r"}) if isinstance(told, wire.FlowSeen)]
        cut.append("r" in sockets.truncated)
        clock.sleep(10)

    assert found == [59]
    assert cut[0]
    assert not cut[-1]


def test_a_process_with_more_descriptors_than_are_read_is_not_whole_until_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owners, "MOST_FDS", 3)
    clock = FakeClock()
    proc = FakeProc(clock)
    run = RunFacts("r", 7, None, 1000, clock.now_at(), None, frozenset())
    proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    proc.start(60, 1000, "0::/user.slice")  # so that what lies in no descriptor is nobody's
    proc.link_texts.update({f"50/fd/{n}": "/dev/null" for n in range(3)})
    proc.link_texts["50/fd/9"] = "socket:[11]"
    proc.files["net/tcp"] = _HEAD + _line("0100007F:C350", "0A00000A:0016", "01", 1000, 11)
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), None)
    now = Instant(clock.now_at(), clock.mono_s())
    table.look(now, [run])

    assert list(sockets.look(now, table, {"r"})) == []
    assert sockets.truncated == {"r": None}
    told = list(sockets.look(now, table, {"r"}))
    assert [flow.pid for flow in told if isinstance(flow, wire.FlowSeen)] == [50]
    assert sockets.truncated == {}


def test_many_descriptors_of_one_user_cut_nothing_of_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "MOST_FDS", 3)
    clock = FakeClock()
    proc = FakeProc(clock)
    runs = [RunFacts(f"r{job}", job, None, uid, clock.now_at(), None, frozenset())
            for job, uid in ((7, 1000), (8, 2000))]  # fmt: skip
    proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    proc.start(60, 2000, "0::/system.slice/slurmstepd.scope/job_8/step_0")
    proc.link_texts.update({f"50/fd/{n}": "/dev/null" for n in range(9)})
    # of the second user's run: its socket waits in nobody's descriptors
    proc.files["net/tcp"] = _HEAD + _line("0100007F:C350", "0A00000A:0016", "01", 2000, 11)
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), None)
    now = Instant(clock.now_at(), clock.mono_s())
    table.look(now, runs)
    seen = []
    for _ in range(3):
        assert list(sockets.look(now, table, {"r7", "r8"})) == []
        seen.append(sockets.truncated)

    assert seen == [{}, {"r8": 1}, {"r8": 1}]


def test_nothing_ends_by_missing_from_a_table_that_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    run = RunFacts("r", 7, None, 1000, clock.now_at(), None, frozenset())
    proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    proc.link_texts["50/fd/4"] = "socket:[12]"
    lines = [_line("0100007F:C350", "0A00000A:0016", "01", 1000, inode) for inode in (11, 12)]
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), None)
    gone = []
    for most, text in ((9, lines), (1, lines), (9, lines), (9, lines[:1])):
        monkeypatch.setattr(module, "MOST_LINES", most)
        proc.files["net/tcp"] = _HEAD + "".join(text)
        now = Instant(clock.now_at(), clock.mono_s())
        table.look(now, [run])
        gone.append([t.gone for t in sockets.look(now, table, {"r"}) if isinstance(t, wire.FlowSeen)])
        clock.sleep(10)

    assert gone == [[False], [], [], [True]]


def _door(local: str, run: str) -> Flow:
    now = Instant(0.0, 0.0)
    return Flow(Sample(1, "tcp", local, "0.0.0.0:0", "LISTEN", 0, 1), None, run, now, began=True)


@pytest.mark.parametrize(
    ("place", "run"),
    [("127.0.0.1:8899", "a"), ("[::1]:8899", "b"), ("10.0.0.1:7000", "c"), ("10.0.0.1:8899", None)],
)
def test_a_door_is_its_address_and_port(place: str, run: str | None) -> None:
    listeners = {"127.0.0.1:8899": "a", "[::1]:8899": "b", "0.0.0.0:7000": "c"}
    found = Doors(_door(*listener) for listener in listeners.items()).of(place)
    assert (None if found is None else found.run) == run


def test_a_door_of_two_runs_is_nobodys() -> None:
    assert Doors([_door("0.0.0.0:1", "a"), _door("0.0.0.0:1", "b")]).of("127.0.0.1:1") is None


class _Deaf(TcpDiag):
    def dump(self, *_: object, **__: object) -> tuple[list[Sample], bool]:
        raise OSError(12, "Cannot allocate memory")


def test_a_kernel_that_does_not_answer_costs_a_look_and_after_three_the_bytes() -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), _Deaf())
    told = [list(sockets.look(Instant(0.0, float(k)), table, {"r"})) for k in range(4)]

    assert [[t.name for t in look if isinstance(t, wire.Event)] for look in told] == [
        [],
        [],
        ["sockets-by-text"],
        [],
    ]
    assert sockets.diag is None


class _Told(TcpDiag):
    """A kernel that tells what a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Sample] = []

    def dump(self, *_: object, passed: Mapping[int, Passed] | None = None, **__: object) -> tuple[Any, bool]:
        skipped = passed or {}
        self.there = {row.ident for row in self.rows if row.ident in skipped}
        return [row for row in self.rows if row.ident not in skipped], False


def _row(ident: int, run: str | None = None, state: str = "ESTABLISHED", uid: int = 1000) -> Sample:
    ends = f"10.0.0.1:{ident}", "203.0.113.1:443"
    return Sample(ident, "tcp", *ends, state, uid, ident, ident, None, True, 0, 0, run=run)


def _looks(
    diag: _Told, pids: dict[int, tuple[int, list[int]]]
) -> tuple[SocketTable, Callable[[set[str]], Any]]:
    """`pids`: of each its job and the inodes that it holds; run r<job>."""
    clock = FakeClock()
    proc = FakeProc(clock)
    jobs = sorted({job for job, _ in pids.values()})
    facts = [RunFacts(f"r{job}", job, None, 1000, clock.now_at(), None, frozenset()) for job in jobs]
    for pid, (job, inodes) in pids.items():
        proc.start(pid, 1000, f"0::/system.slice/slurmstepd.scope/job_{job}/step_0")
        proc.link_texts.update({f"{pid}/fd/{inode}": f"socket:[{inode}]" for inode in inodes})
    table, sockets = ProcessTable(proc, NODE, 100), SocketTable(proc, NetworkConfig(), diag)

    def look(runs: set[str]) -> Any:
        now = Instant(clock.now_at(), clock.mono_s())
        table.look(now, facts)
        told = sockets.look(now, table, runs)
        clock.sleep(10)
        flows = [t for t in told if isinstance(t, wire.FlowSeen)]
        return sorted((f.inode or 0, f.run, f.pid, f.how) for f in flows)

    return sockets, look


def test_a_socket_is_its_control_groups_run_whoever_holds_it() -> None:
    diag = _Told()
    _, look = _looks(diag, {50: (7, [11]), 60: (8, [12, 13])})
    diag.rows = [_row(11, "r7"), _row(12, "r7"), _row(13), _row(14, "r7")]

    assert look({"r7", "r8"}) == [(11, "r7", 50, "both"), (12, "r7", 60, "cgroup"), (13, "r8", 60, "inode")]
    assert look({"r7", "r8"}) == [(14, "r7", None, "cgroup")]  # in nobody's descriptors for two looks


def test_beyond_what_is_followed_nothing_is_read_again_and_it_is_said_of_the_run() -> None:
    diag = _Told()
    sockets, look = _looks(diag, {50: (7, list(range(1, 601))), 60: (8, [700])})
    diag.rows = [_row(k) for k in (*range(1, 601), 700)]

    assert len(look({"r7", "r8"})) == 513
    assert (sockets.truncated, len(sockets._passed)) == ({"r7": 88}, 88)
    assert look({"r7", "r8"}) == []
    assert sockets.truncated == {"r7": 88}
    assert len(look({"r8"})) == 512  # the run has ended: the last word on each, and no more of it
    assert sockets.truncated == {}


def test_what_is_not_answered_yet_is_no_flow_and_known_when_it_fails() -> None:
    diag = _Told()
    sockets, look = _looks(diag, {50: (7, [11])})
    diag.rows = [_row(11, None, "SYN_SENT")]

    assert look({"r7"}) == []
    (passed,) = sockets._passed.values()
    assert (passed.run, passed.pid, passed.kind) == ("r7", 50, TRYING)

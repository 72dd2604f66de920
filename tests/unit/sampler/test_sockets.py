"""Connections of a run's processes are told when first seen and when gone; nobody else's are."""

from slurm_guard import wire
from slurm_guard.clock import FakeClock
from slurm_guard.config import NetworkConfig
from slurm_guard.sampler.attribution import RunFacts
from slurm_guard.sampler.processes import ProcessTable
from slurm_guard.sampler.sockets import SocketTable
from slurm_guard.sampler.tcptext import address, parse_table
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import NODE, FakeProc

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def _line(local: str, peer: str, state: str, uid: int, inode: int) -> str:
    return (
        f"   0: {local} {peer} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0\n"
    )


def test_addresses_are_read_in_the_kernels_order() -> None:
    assert address("0100007F:1F90") == "127.0.0.1:8080"
    assert address("00000000000000000000000001000000:0016") == "[::1]:22"


def test_only_living_states_are_kept_and_a_long_table_is_cut() -> None:
    text = (
        _HEAD
        + _line("0100007F:0016", "00000000:0000", "0A", 0, 5)
        + _line("0100007F:0016", "0100007F:9999", "06", 0, 0)
    )

    rows, cut = parse_table(text, "tcp")

    assert ([(row.state, row.inode) for row in rows], cut) == ([("LISTEN", 5)], False)
    assert parse_table(text, "tcp", most=1)[1] is True
    assert parse_table("garbage\nmore garbage\n", "tcp") == ([], False)


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
        return [(flow.pid, flow.peer, flow.gone) for flow in told if isinstance(flow, wire.FlowSeen)]

    proc.files["net/tcp"] = (
        _HEAD
        + _line("0100007F:C350", "0A00000A:0016", "01", 1000, 11)
        + _line("0100007F:C351", "0A00000A:0016", "01", 2000, 12)
    )
    assert look() == [(50, "10.0.0.10:22", False)]
    assert look() == []
    proc.files["net/tcp"] = _HEAD + _line("0100007F:C399", "0B00000A:0016", "01", 1000, 11)
    assert sorted(look()) == [(50, "10.0.0.10:22", True), (50, "10.0.0.11:22", False)]
    proc.files["net/tcp"] = _HEAD
    assert look() == [(50, "10.0.0.11:22", True)]


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

    told = sockets.look(now, table, {"run"})

    assert len(told) == 512
    assert sockets.truncated == {"run": 88}
    assert {flow.mono_s for flow in told} == {now.mono_s}

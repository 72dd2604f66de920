"""Devices that processes carry packets for: found by their descriptors, counted by the kernel's table."""

from pathlib import Path

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.networks import LOOPBACK, OUTSIDE
from slurm_guard.sampler import devices as module
from slurm_guard.sampler.devices import MOST_PROCESSES, Devices
from slurm_guard.sampler.moved import Moved
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.relays import Relays
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import FakeProc

_NETNS = 4026532999
_HEAD = (
    "Inter-|   Receive |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n"
)


def _table(**devices: tuple[int, int, int, int]) -> str:
    rows = [f"{n:>6}: {a} {b} 0 0 0 0 0 0 {c} {d} 0 0 0 0 0 0\n" for n, (a, b, c, d) in devices.items()]
    return _HEAD + "".join(rows)


def _world(pid: int = 50, name: str = "tun0") -> tuple[FakeProc, Process]:
    proc = FakeProc(FakeClock())
    _hold(proc, pid, name)
    return proc, _process(pid)


def _hold(proc: FakeProc, pid: int, name: str) -> None:
    proc.start(pid, 1000)
    proc.link_texts[f"{pid}/fd/7"] = "/dev/net/tun"
    proc.files[f"{pid}/fdinfo/7"] = f"pos:\t0\nflags:\t0100002\niff:\t{name}\n"


def _process(pid: int) -> Process:
    return Process(Stat(pid, "ssh", "S", 1, pid, 0, False), 0.0, Instant(0.0, 0.0))


def test_what_went_through_since_the_last_look_is_told_as_seen_by_the_process() -> None:
    proc, process = _world()
    devices = Devices(proc)
    proc.files["50/net/dev"] = _table(lo=(9, 9, 9, 9), tun0=(1000, 10, 2000, 20))
    assert devices.moved(process, _NETNS, 0.0) == []

    proc.files["50/net/dev"] = _table(lo=(99, 9, 9, 9), tun0=(1500, 13, 2900, 27))
    (moved,) = devices.moved(process, _NETNS, 10.0)

    assert (moved.out_b, moved.in_b, moved.out_n, moved.in_n) == (500, 900, 3, 7)
    assert (moved.near, moved.opened, moved.local) == (LOOPBACK, None, "device tun0")


def test_a_device_that_was_made_anew_counts_from_there() -> None:
    proc, process = _world()
    devices = Devices(proc)
    for k, received in enumerate((1000, 10, 60)):
        proc.files["50/net/dev"] = _table(tun0=(received, 1, 0, 0))
        found = devices.moved(process, _NETNS, 10.0 * k)
    assert [m.out_b for m in found] == [50]


def test_in_the_nodes_own_namespace_a_device_of_that_name_must_be_a_tunnels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rootless network helper names the device in the container after the node's."""
    proc, process = _world(name="eth0")
    devices = Devices(proc)
    monkeypatch.setattr(Devices, "_is_tunnel", lambda _, name: name == "tun9")
    for k in range(3):
        proc.files["50/net/dev"] = _table(eth0=(1000 * k, k, 1000 * k, k))
        assert devices.moved(process, None, 10.0 * k) == []


@pytest.mark.parametrize("table", ["", "tun0: x\n", "tun0\n", "tun0: 1 2 3\n", _HEAD])
def test_a_table_out_of_form_or_gone_says_nothing(table: str) -> None:
    proc, process = _world()
    devices = Devices(proc)
    proc.files["50/net/dev"] = _table(tun0=(1, 1, 1, 1))
    devices.moved(process, _NETNS, 0.0)
    proc.files["50/net/dev"] = table
    assert devices.moved(process, _NETNS, 10.0) == []


def test_processes_are_asked_in_turns_and_forgotten() -> None:
    proc = FakeProc(FakeClock())
    many = [_process(pid) for pid in range(100, 100 + 2 * MOST_PROCESSES)]
    for process in many:
        _hold(proc, process.pid, "tun0")
        proc.files[f"{process.pid}/net/dev"] = _table(tun0=(1, 1, 1, 1))
    devices = Devices(proc)
    seen = []
    for k in range(6):
        for process in many:
            proc.files[f"{process.pid}/net/dev"] = _table(tun0=(10 + k, k, 10 + k, k))
        seen.append(sum(bool(devices.moved(process, _NETNS, 10.0 * k)) for process in many))
    assert seen[0] == 0
    assert seen[1] == MOST_PROCESSES
    assert seen[-1] > MOST_PROCESSES
    devices.forget_gone(set())
    assert devices.moved(many[0], _NETNS, 50.0) == []


def test_packets_that_leave_by_a_connection_outwards_make_a_relay_without_an_opener() -> None:
    relays = Relays()
    for k, (a, b) in enumerate([(3000, 9000), (1200, 4000), (7000, 2000), (500, 900)]):
        outer = Moved(1, OUTSIDE, b + 300, a + 300, 6, 6, True, 22, "10.0.0.1:5", "203.0.113.9:22")
        device = Moved(-9, LOOPBACK, a, b, 6, 6, None, None, "device tun0", "device tun0")
        relays.look(10.0 * k, [outer, device], [], {1})
    pair = relays.best(1)
    assert pair is not None
    assert (pair.opened, pair.face) == (None, ("device tun0", "device tun0"))


def test_this_machines_table_is_in_the_known_form() -> None:
    text = Path("/proc/self/net/dev").read_text()
    assert module._counters(text, ("lo",))[0][0] == "lo"

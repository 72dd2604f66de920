"""A run's files: what is left out is said."""

from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.clock import FakeClock
from slurm_guard.sampler import files as module
from slurm_guard.sampler.files import RunFiles, Watched
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import FakeHelper, FakeProc


def _ticket() -> wire.Ticket:
    nulls: dict[str, Any] = dict.fromkeys(wire.Ticket._fields)
    known = {"run": "r", "job_id": 1, "node": "n1", "uid": 1000, "gid": 1000, "why": {}}
    return wire.Ticket(**{**nulls, **known})


def test_files_left_out_are_told_once_with_their_bounds() -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    proc.start(50, 1000)
    for n in range(9):
        proc.link_texts[f"50/fd/{n}"] = f"/home/a/run{n}.log"
        proc.files[f"50/fdinfo/{n}"] = "pos:\t10\nflags:\t0100001\nmnt_id:\t5\n"
    stat = proc.stat(50)
    assert stat is not None
    now = Instant(clock.now_at(), clock.mono_s())
    process = Process(stat, now.at, now)
    files = RunFiles(_ticket(), proc, FakeHelper(), most=4)
    for _ in range(2):
        files.scan([process], [], now)

    events = [record for record in files.take_told() if isinstance(record, wire.Event)]

    assert [(event.name, event.run, event.detail["most_files"]) for event in events] == [
        ("files-truncated", "r", 4)
    ]
    assert len(files.watched) == 4


def test_what_a_scan_keeps_does_not_grow_with_the_paths_and_the_runs_own_log_is_always_found() -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    proc.start(50, 1000)
    for n in range(1200):
        proc.link_texts[f"50/fd/{n}"] = f"/home/a/{'x' * 3000}{n}.log"
        proc.files[f"50/fdinfo/{n}"] = "pos:\t10\nflags:\t0100001\nmnt_id:\t5\n"
    proc.link_texts["50/fd/1200"] = "/home/a/slurm-1.out"
    proc.files["50/fdinfo/1200"] = proc.files["50/fdinfo/1"]
    stat = proc.stat(50)
    assert stat is not None
    now = Instant(clock.now_at(), clock.mono_s())
    files = RunFiles(_ticket()._replace(stdout="/home/a/slurm-1.out"), proc, FakeHelper(), most=4)
    held: dict[str, Watched] = {}

    files._scan_process(Process(stat, now.at, now), 20_000, held)

    assert len(held) == 1001
    assert "/home/a/slurm-1.out" in held
    assert files.truncated
    assert {type(key) for key in files._pos} == {int}


def test_files_within_the_bounds_are_not_told_as_left_out() -> None:
    clock = FakeClock()
    proc = FakeProc(clock)
    files = RunFiles(_ticket(), proc, FakeHelper(), most=4)

    files.scan([], [], Instant(clock.now_at(), clock.mono_s()))

    assert not files.truncated
    assert files.take_told() == []


class _CountingProc(FakeProc):
    """Whose folders of descriptors were listed, and how many names of each."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.asked: list[tuple[int, int]] = []

    def names(self, pid: int, name: str, most: int = 1 << 20) -> list[str]:
        found = super().names(pid, name, most)
        self.asked.append((pid, len(found)))
        return found


def test_once_a_scan_has_looked_at_enough_descriptors_no_other_folder_is_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """200 processes may share one table of 20,000 descriptors; to list it 200 times takes 8 s."""
    monkeypatch.setattr(module, "MOST_FDS", 50)
    proc = _CountingProc(FakeClock())
    now = Instant(proc.clock.now_at(), proc.clock.mono_s())
    members = []
    for pid in range(50, 60):
        proc.start(pid, 1000)
        proc.link_texts.update({f"{pid}/fd/{n}": f"/home/a/{n}.log" for n in range(30)})
        stat = proc.stat(pid)
        assert stat is not None
        members.append(Process(stat, now.at, now))
    followed = RunFiles(_ticket(), proc, FakeHelper(), most=4)

    followed.scan(members, [], now)

    assert proc.asked == [(50, 30), (51, 20)]
    assert followed.truncated

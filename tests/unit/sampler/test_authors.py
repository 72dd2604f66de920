"""The run's processes by their own numbers."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.sampler import authors as module
from slurm_guard.sampler.authors import Authors
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import FakeProc, Node
from tests.unit.sampler.jobs import cgroup_of


def process(pid: int, inner: int | None = None, at: float = 100.0) -> Process:
    proc = FakeProc(FakeClock())
    proc.start(pid, 1000)
    stat = proc.stat(pid)
    assert stat is not None
    found = Process(stat, at, Instant(at, at))
    found.inner = inner
    return found


def test_who_was_seen_is_told_after_it_has_gone() -> None:
    known = Authors(90.0)
    first, second = process(50, 7), process(51, 51)
    known.note([first, second], 100.0, whole=True)
    first.last_at = 110.0
    known.note([first], 110.0, whole=True)
    known.note([], 120.0, whole=True)

    assert known.request() == {
        "authors": [[50, 7, 100.0, 110.0], [51, 51, 100.0, 100.0]],
        "all_authors": True,
    }


def test_a_time_without_looks_or_a_cut_table_leaves_the_list_incomplete() -> None:
    late, cut = Authors(0.0), Authors(90.0)
    late.note([], 100.0, whole=True)
    cut.note([], 100.0, whole=False)
    cut.note([], 110.0, whole=True)

    assert (late.complete, cut.complete) == (False, False)


def test_more_processes_than_are_kept_leave_the_list_incomplete() -> None:
    known = Authors(90.0)
    known.note([process(pid) for pid in range(1, module.MOST_AUTHORS + 2)], 100.0, whole=True)

    body = known.request()

    assert (len(body["authors"]), body["all_authors"]) == (module.MOST_AUTHORS, False)
    assert len(json.dumps(body)) < 100_000


def test_a_reading_after_the_end_is_told_of_the_containers_process(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, cgroup_of(1))
    node.proc.files["50/status"] += "NStgid:\t50\t7\nNSpid:\t50\t7\nNSpgid:\t50\t7\n"
    node.turn(25)
    node.proc.end(50)
    node.mark_end(run, 1)
    node.turn(10)

    (author,) = node.requests[-1]["authors"]
    assert author[:2] == [50, 7]
    assert node.requests[-1]["all_authors"] is True


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_the_kernel_tells_a_process_in_a_pid_namespace_by_its_own_number() -> None:
    show = "echo ready; read _"
    command = ["unshare", "--pid", "--fork", "sh", "-c", show]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None
        assert outer.stdin is not None
        outer.stdout.readline()
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        inner = [Proc().ids(int(pid)).inner for pid in children]
        alone = Proc().ids(outer.pid).inner
        outer.stdin.write(b"\n")
        outer.stdin.close()

    assert (inner, alone) == ([1], outer.pid)

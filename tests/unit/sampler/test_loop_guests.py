"""Processes on a GPU that are not of the run that holds it: leftovers, strangers, and who is none."""

from pathlib import Path

from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import cgroup_of


def test_a_leftover_is_told_once_and_is_not_held_against_the_newcomer(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    old = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, cgroup_of(1))
    node.gpus.procs["GPU-0"] = [GpuProc(50, 2000, 90.0)]
    node.turn(61)
    node.mark_end(old, 1)
    node.turn(61)
    new = node.ticket(2, 2000, [0])
    node.turn(121)

    (event,) = node.events("leftover")
    assert (event["run"], event["detail"]["pid"], event["detail"]["uid"]) == (old, 50, 1000)
    assert node.events("foreign-process") == []
    between = [w for w in node.records("window", None) if w["procs"]]
    assert {p["run"] for w in between for p in w["procs"]} == {old}
    assert {p["run"] for w in node.records("window", new) for p in w["procs"]} == {old}


def test_a_foreign_process_is_told_once_with_what_clears_the_holder(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(60, 3000, "0::/user.slice/user-3000.slice/session-1.scope")
    node.turn(30)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, cgroup_of(1))
    node.gpus.procs["GPU-0"] = [GpuProc(50, 2000, 50.0), GpuProc(60, 2000, 40.0)]
    node.turn(61)

    (event,) = node.events("foreign-process")
    detail = event["detail"]
    assert (event["run"], detail["uid"], detail["holders"], detail["before_holder"]) == (
        None,
        3000,
        [run],
        True,
    )
    assert detail["map"] == "confirmed"
    assert [p["run"] for p in node.records("process", None) if p["pid"] == 60] == [None]


def test_a_process_seen_on_a_strange_gpu_only_once_is_no_event(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.ticket(1, 1000, [0])
    node.proc.start(60, 3000)
    node.gpus.procs["GPU-0"] = [GpuProc(60, 1, 0.0)]
    node.turn(1)
    node.gpus.procs["GPU-0"] = []
    node.turn(61)

    assert node.events("foreign-process") == []


def test_a_job_whose_gpus_nobody_named_is_unmapped_and_not_foreign(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.ticket(1, 1000, None)
    node.proc.start(50, 1000, cgroup_of(1))
    node.gpus.procs["GPU-0"] = [GpuProc(50, 1, 0.0)]
    node.turn(61)

    assert node.events("foreign-process") == []
    assert len(node.events("gpu-unmapped")) == 1


def test_roots_own_processes_on_a_gpu_are_named_apart(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(60, 0, comm="dcgm")
    node.gpus.procs["GPU-0"] = [GpuProc(60, 1, 0.0)]
    node.turn(61)

    assert (len(node.events("system-process")), node.events("foreign-process")) == (1, [])


def test_a_gpu_process_outside_every_job_is_credited_by_uid_and_time(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    run = node.ticket(1, 1000, [0])
    node.turn(5)
    node.proc.start(70, 1000)
    node.gpus.procs["GPU-0"] = [GpuProc(70, 1, 10.0)]
    node.turn(61)

    seen = node.records("process", run)
    assert [(p["pid"], p["how"]) for p in seen] == [(70, "uid-time")]
    assert node.events("foreign-process") == []

"""Whose a run's processes are, and whether they run: other users, other slurmds, suspended jobs."""

from pathlib import Path

import pytest

from slurm_guard.sampler.freezers import Freezers
from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import alive_runs, begin_job, cgroup_of, end_job, put_ticket, start_slurmstepd

# -- who is whose


def test_another_uid_in_the_jobs_own_cgroup_is_the_runs_with_a_flag(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    start_slurmstepd(node, 40, 1)
    node.proc.start(50, 100_999, cgroup_of(1), ppid=40)
    node.gpus.procs["GPU-0"] = [GpuProc(50, 1, 50.0)]
    node.turn(61)

    assert node.events("foreign-process") == []
    seen = [p for p in node.records("process", run) if p["pid"] == 50]
    assert {(p["how"], p["uid"], tuple(p["flags"])) for p in seen} == {("cgroup", 100_999, ("other-uid",))}


def test_a_job_of_another_slurmd_on_the_host_is_told_softly(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(50, 1000, "0::/system.slice/n2_slurmstepd.scope/job_9/step_0/user/task_0")
    node.gpus.procs["GPU-0"] = [GpuProc(50, 1, 50.0)]
    node.turn(61)

    assert node.events("foreign-process") == []
    assert [e["detail"]["pid"] for e in node.events("other-node-process")] == [50]
    assert {tuple(p["flags"]) for p in node.records("process")} == {("other-node",)}


# -- suspend and resume (no hook fires)


def _stop(node: Node, pid: int, state: str) -> None:
    head, tail = node.proc.files[f"{pid}/stat"].rsplit(") ", 1)
    node.proc.files[f"{pid}/stat"] = f"{head}) {state}{tail[1:]}"


def test_a_suspended_job_is_told_when_it_stops_and_when_it_goes_on(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    begin_job(node)
    node.proc.start(51, 1000, cgroup_of(1), ppid=50)
    node.turn(30)
    _stop(node, 50, "T")
    node.turn(20)
    assert node.events("run-suspended") == []  # one of them still runs
    _stop(node, 51, "T")
    node.turn(20)
    for pid in (50, 51):
        _stop(node, pid, "S")
    node.turn(20)

    names = [e["name"] for e in node.records("event", run) if e["name"].startswith("run-")]
    assert names == ["run-suspended", "run-resumed"]
    flags = [p["flags"] for p in node.records("process", run) if p["pid"] == 50]
    assert flags == [[], ["suspended"], []]
    assert alive_runs(node) == [run]


@pytest.mark.parametrize(
    ("path", "file", "frozen", "thawed"),
    [
        ("6:freezer:/slurm_n1/uid_1000/job_1/step_batch", "freezer/{}/freezer.state", "FROZEN", "THAWED"),
        (f"{cgroup_of(1)}", "{}/cgroup.events", "populated 1\nfrozen 1", "populated 1\nfrozen 0"),
    ],
    ids=["v1", "v2"],
)
def test_a_frozen_job_is_suspended_though_its_state_is_any_sleepers(
    tmp_path: Path, path: str, file: str, frozen: str, thawed: str
) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.loop.tables.processes.freezers = Freezers(f"{tmp_path}/cgroup")
    run = put_ticket(node)
    node.proc.start(50, 1000, path)
    node.turn(30)
    _stop(node, 50, "D")
    node.turn(20)
    assert node.events("run-suspended") == []  # it may wait for a disk
    state = tmp_path / "cgroup" / file.format(path.rpartition(":/")[2])
    state.parent.mkdir(parents=True)
    state.write_text(f"{frozen}\n")
    node.turn(20)
    state.write_text(f"{thawed}\n")
    node.turn(20)

    names = [e["name"] for e in node.records("event", run) if e["name"].startswith("run-")]
    assert names == ["run-suspended", "run-resumed"]


def test_a_suspended_run_whose_processes_die_is_over_and_not_resumed(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    begin_job(node)
    node.turn(30)
    _stop(node, 50, "T")
    node.turn(20)
    end_job(node)
    node.turn(60)

    assert node.seal(run)["ended_by"] == "processes-gone"
    assert node.events("run-resumed") == []

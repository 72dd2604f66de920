"""Who may be on a GPU without being accused, and what stays hard: on a node of fakes."""

from pathlib import Path

import pytest

from slurm_guard.sampler.guests import Memory, Services
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.reading import GpuProc
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import BOOT, Node

SCOPE = "0::/system.slice/slurmstepd.scope"
HARD = ("foreign-process", "leftover")


def _hard(node: Node) -> list[str]:
    return [event["name"] for event in node.records("event") if event["name"] in HARD]


def _on(node: Node, *pids: int, gpu: str = "GPU-0") -> None:
    node.gpus.procs[gpu] = [GpuProc(pid, 100, 50.0) for pid in pids]


def test_a_job_without_a_ticket_is_told_softly_with_its_number(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(50, 1000, f"{SCOPE}/job_5/step_batch/user/task_0")
    _on(node, 50)
    node.turn(61)

    (event,) = node.events("unticketed-process")
    assert (event["detail"]["job"], event["detail"]["job_node"], event["run"]) == (5, None, None)
    assert _hard(node) == []


def test_a_job_without_a_ticket_and_without_cgroups_is_found_by_its_slurmstepd(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(40, 0, ppid=1, cmdline="slurmstepd: [5.batch]", comm="slurmstepd")
    node.proc.start(50, 1000, ppid=40)
    _on(node, 50)
    node.turn(61)

    assert [e["detail"]["job"] for e in node.events("unticketed-process")] == [5]
    assert _hard(node) == []


def test_what_left_its_job_is_not_hard_while_another_process_shows_the_missing_ticket(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(50, 1000, f"{SCOPE}/job_5/step_batch/user/task_0")
    node.proc.start(51, 1000)
    _on(node, 51)
    node.turn(61)

    assert len(node.events("unticketed-process")) == 1
    assert _hard(node) == []


@pytest.mark.parametrize(
    "cgroup",
    ["0::/system.slice/n2_slurmstepd.scope/job_9/step_0/user/task_0", "6:freezer:/slurm_n2/uid_1000/job_9"],
)
def test_another_slurmds_job_on_the_host_is_told_softly(tmp_path: Path, cgroup: str) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, cgroup)
    _on(node, 50)
    node.turn(61)

    (event,) = node.events("other-node-process")
    assert (event["detail"]["job"], event["detail"]["job_node"]) == (9, "n2")
    assert _hard(node) == []
    assert [p["flags"] for p in node.records("process", None)] == [["other-node"]]


def test_another_nodes_job_by_its_slurmstepd_is_told_softly(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(40, 0, ppid=1, cmdline="slurmstepd: [9.batch]", comm="slurmstepd")
    node.proc.link_texts["40/fd/5"] = "socket:[777]"
    node.proc.files["net/unix"] = "Num\n0: 2 0 10000 1 1 777 /var/spool/slurmd/n2/n2_9.4294967291\n"
    node.proc.start(50, 1000, ppid=40)
    _on(node, 50)
    node.turn(61)

    assert len(node.events("other-node-process")) == 1
    assert _hard(node) == []


def test_a_user_with_a_run_elsewhere_on_the_node_is_not_hard_while_the_map_is_unsure(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    node.ticket(1, 1000, [0])
    node.ticket(2, 2000, [1])
    node.proc.start(60, 1000)  # left its job's cgroup
    _on(node, 60, gpu="GPU-1")
    node.turn(61)
    assert _hard(node) == []
    assert [e["detail"]["map"] for e in node.events("gpu-unmapped")] == ["unconfirmed"]

    node.proc.start(51, 2000, f"{SCOPE}/job_2/step_0/user/task_0")
    _on(node, 60, 51, gpu="GPU-1")
    node.turn(61)

    assert _hard(node) == ["foreign-process"]
    assert [e["detail"]["map"] for e in node.events("foreign-process")] == ["confirmed"]


def test_a_user_without_any_run_is_hard_whatever_the_map(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    node.ticket(1, 1000, [0])
    node.proc.start(60, 3000, "0::/user.slice/user-3000.slice/session-1.scope")
    _on(node, 60)
    node.turn(61)

    (event,) = node.events("foreign-process")
    assert (event["detail"]["uid"], event["detail"]["map"]) == (3000, "unconfirmed")


def test_a_ticket_without_a_uid_may_be_anybodys(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    node.ticket(1, None, [0])  # type: ignore[arg-type]
    node.proc.start(60, 3000)
    _on(node, 60)
    node.turn(61)

    assert _hard(node) == []


def test_a_service_of_the_sites_is_told_softly_by_uid(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, services=["4242"])
    node.proc.start(60, 4242, comm="exporter")
    _on(node, 60)
    node.turn(61)

    assert len(node.events("service-process")) == 1
    assert _hard(node) == []


def _process(uid: int, exe: str, cgroup: str = "/system.slice/x.service") -> Process:
    process = Process(Stat(60, "x", "S", 1, 5, 0, kernel=False), 0.0, Instant(0.0, 0.0))
    process.uid, process.exe, process.cgroup = uid, exe, cgroup
    return process


def test_services_are_users_of_the_passwd_file_numbers_names_and_paths(tmp_path: Path) -> None:
    users = tmp_path / "passwd"
    users.write_text("root:x:0:0::/:/bin/sh\ndcgm:x:990:990::/:/bin/false\nbroken\n:::\n")
    services = Services(["dcgm", "77", "/usr/bin/exporter", "nv-hostengine", "absent"], str(users))

    assert services.has(_process(990, "/any"), {})
    assert services.has(_process(77, "/any"), {})
    assert services.has(_process(5, "/usr/bin/exporter"), {})
    assert services.has(_process(5, "/opt/x/nv-hostengine"), {})
    assert not services.has(_process(5, "/usr/bin/other"), {})
    assert not Services([], str(tmp_path / "absent")).has(_process(0, "/any"), {})


def test_a_user_who_names_his_program_like_a_service_is_none(tmp_path: Path) -> None:
    services = Services(["nv-hostengine"], str(tmp_path / "absent"))
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.turn(1)
    facts = {run: node.loop.book.runs[run].facts}

    assert not services.has(_process(1000, "/home/a/nv-hostengine"), facts)
    session = "/user.slice/user-5.slice/session-1.scope"
    assert not services.has(_process(5, "/home/b/nv-hostengine", session), facts)


def test_a_hard_fact_is_told_once_though_the_sampler_starts_again(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(60, 3000)
    node.ticket(1, 1000, [0])
    _on(node, 60)
    node.turn(31)
    node.loop.stop("SIGTERM")
    node.sampler()
    node.turn(31)

    assert len(node.events("foreign-process")) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"boot_id": 5, "told": 7}', "[" * 100_000, '{"told": [[1]]}', "\xff"]
)
def test_a_broken_memory_costs_a_repetition_and_nothing_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "told.json"
    path.write_text(text)
    memory = Memory(str(path), BOOT)
    memory.add((1, 2, "GPU-0", "leftover"))

    assert (1, 2, "GPU-0", "leftover") in Memory(str(path), BOOT)
    assert (1, 2, "GPU-0", "leftover") not in Memory(str(path), "another boot")


def test_the_memory_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    memory = Memory(None, BOOT)
    for pid in range(5000):
        memory.add((pid, 1, "GPU-0", "leftover"))

    assert (4999, 1, "GPU-0", "leftover") in memory
    assert (0, 1, "GPU-0", "leftover") not in memory
    Memory(str(tmp_path / "absent" / "told.json"), BOOT).add((1, 1, "g", "leftover"))  # no folder: no fault


@pytest.mark.slow
def test_a_crowd_hides_no_process_on_a_gpu(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, f"{SCOPE}/job_1/step_0/user/task_0")
    _on(node, 50)
    node.turn(20)
    node.proc.start(60, 3000, "0::/user.slice/user-3000.slice/session-1.scope", comm="miner")
    for pid in range(1000, 1000 + 4097):
        node.proc.start(pid, 3000, comm="sleep")
    _on(node, 50, 60)
    node.turn(120)

    (event,) = node.events("foreign-process")
    assert (event["detail"]["pid"], event["detail"]["uid"]) == (60, 3000)
    (told,) = node.events("processes-truncated")
    assert told["detail"] == {"most": 4096, "n": 3}
    assert [p["comm"] for p in node.records("process", None) if p["pid"] == 60] == ["miner"]
    window = node.records("window", run)[-1]
    assert {share["pid"] for share in window["procs"]} == {50, 60}
    assert "procs" not in window["why"]


def test_a_crowd_hides_no_job_of_a_process_on_a_gpu(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, max_procs=50)
    run = node.ticket(1, 1000, [0])
    node.proc.start(40, 0, ppid=1, cmdline="slurmstepd: [1.batch]", comm="slurmstepd")
    node.proc.start(45, 1000, ppid=40)
    for pid in range(1000, 1100):
        node.proc.start(pid, 3000)
    node.proc.start(50, 1000, ppid=45)
    for pid in range(2000, 2100):
        node.proc.start(pid, 3000)
    _on(node, 50)
    node.turn(61)

    assert [p["gpus"] for p in node.records("process", run) if p["pid"] == 50] == [["GPU-0"]]
    assert _hard(node) == []

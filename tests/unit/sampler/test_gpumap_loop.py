"""The map in the loop: lost boards, late boards, boards that are not what the indices say, MIG, sharing."""

from pathlib import Path

import pytest

from slurm_guard.sampler.reading import GpuProc, GpuReading
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.readings import INFO

HARD = ("foreign-process", "leftover")


def _run(node: Node, job_id: int, gpus: list[int], pid: int, gpu: str | None) -> str:
    """A job of a user of its own with one process on one board."""
    run = node.ticket(job_id, 1000 + job_id, gpus)
    node.proc.start(pid, 1000 + job_id, f"0::/system.slice/slurmstepd.scope/job_{job_id}/step_0/user/task_0")
    if gpu is not None:
        _put(node, pid, gpu)
    return run


def _put(node: Node, pid: int, gpu: str) -> None:
    listed = node.gpus.procs[gpu]
    assert listed is not None
    listed.append(GpuProc(pid, 100, 50.0))


def _hard(node: Node) -> list[str]:
    return [event["name"] for event in node.records("event") if event["name"] in HARD]


def test_a_board_lost_before_the_start_gives_nobody_anothers_windows(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=8)
    node.gpus.infos = [info for info in node.gpus.infos if info.minor != 2]
    one = _run(node, 1, [3], 50, "GPU-3")
    two = _run(node, 2, [4], 51, "GPU-4")

    node.turn(121)

    assert {w["gpu"] for w in node.records("window", one)} == {"GPU-3"}
    assert {w["gpu"] for w in node.records("window", two)} == {"GPU-4"}
    assert _hard(node) == []
    assert [w["map"] for w in node.records("window", one)] == ["confirmed", "confirmed"]


def test_a_run_of_a_lost_board_is_told_once_and_its_other_boards_are_followed(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=4)
    infos = node.gpus.infos
    node.gpus.infos = infos[:2]
    run = _run(node, 1, [1, 3], 50, "GPU-1")
    lone = _run(node, 2, [2], 51, None)
    node.turn(130)

    assert [e["detail"]["n"] for e in node.events("gpu-unresolved")] == [1, 1]
    assert node.loop.book.runs[lone].gpus is None
    assert {w["gpu"] for w in node.records("window", run)} == {"GPU-1"}

    node.gpus.infos = infos
    node.turn(130)

    assert {w["gpu"] for w in node.records("window", run)} == {"GPU-1", "GPU-3"}
    assert {w["gpu"] for w in node.records("window", lone)} == {"GPU-2"}
    assert len(node.events("gpu-unresolved")) == 2
    assert _hard(node) == []


def test_a_process_of_an_unresolved_run_is_unmapped_and_not_foreign(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=8)
    node.gpus.infos = node.gpus.infos[:7]
    _run(node, 1, [7], 50, "GPU-6")

    node.turn(61)

    assert _hard(node) == []
    assert [e["detail"]["map"] for e in node.events("gpu-unmapped")] == ["unconfirmed"]


def test_swapped_boards_accuse_nobody_and_are_told_as_a_contradiction(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=4)
    runs = [
        _run(node, 1, [0], 50, "GPU-1"),
        _run(node, 2, [1], 51, "GPU-0"),
        _run(node, 3, [2, 3], 52, "GPU-2"),
    ]

    node.turn(121)

    (event,) = node.events("gpu-map-contradicted")
    assert event["detail"]["runs"] == runs[:2]
    assert _hard(node) == []
    assert {w["map"] for w in node.records("window") if w["start_at"] > 1_780_000_050 and w["run"]} == {
        "contradicted"
    }


def test_the_sites_list_puts_it_right(tmp_path: Path) -> None:
    files = [str(tmp_path / "dev" / f"nvidia{n}") for n in (1, 0, 2, 3)]
    node = Node(tmp_path, n_gpus=4, gres_devices=files)
    one = _run(node, 1, [0], 50, "GPU-1")
    _run(node, 2, [1], 51, "GPU-0")

    node.turn(121)

    assert node.events("gpu-map-contradicted") == []
    assert {(w["gpu"], w["map"]) for w in node.records("window", one)} == {("GPU-1", "confirmed")}


def test_a_stray_whose_gpu_another_run_lives_on_stays_a_hard_fact(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=4)
    stray = _run(node, 1, [0], 50, "GPU-3")
    victim = _run(node, 2, [3], 51, "GPU-3")

    node.turn(61)

    (event,) = node.events("foreign-process")
    detail = event["detail"]
    assert (event["run"], detail["holders"], detail["map"]) == (stray, [victim], "confirmed")
    assert event["mono_s"] is not None


def test_an_instance_is_found_by_its_uuid_and_never_reported_idle(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    part = "MIG-11111111-2222"
    node.gpus.infos = [
        INFO._replace(uuid=uuid, minor=0, mig="1g.10gb") for uuid in (part, "MIG-33333333-4444")
    ]
    node.gpus.procs = {info.uuid: [] for info in node.gpus.infos}
    whole = node.gpus.read

    def measured(gpu: object) -> GpuReading:
        found = whole(gpu)  # type: ignore[arg-type]
        names = ("util_pct", "energy_mj", "sm_pct")
        why = dict.fromkeys(names, "Not Supported")
        return found._replace(util_pct=None, energy_mj=None, sm_pct=None, why={**found.why, **why})

    node.gpus.read = measured  # type: ignore[method-assign]
    run = node.ticket(1, 1000, [5], visible=part)
    node.turn(61)

    (window,) = node.records("window", run)
    assert (window["gpu"], window["map"], window["mig"]) == (part, "by-uuid", "1g.10gb")
    assert (window["busy_ms"], window["energy_mj"], window["sm_ms"]) == (None, None, None)
    assert window["why"]["busy_ms"] == "Not Supported"
    assert _hard(node) == []


@pytest.mark.parametrize("after_s", [8.0, 8.5, 9.0])
def test_an_instance_that_goes_with_its_run_does_not_keep_the_run_from_its_seal(
    after_s: float, tmp_path: Path
) -> None:
    node = Node(tmp_path, n_gpus=1)
    part = "MIG-11111111-2222"
    rest = INFO._replace(uuid="MIG-33333333-4444", minor=0, mig="1g.10gb")
    node.gpus.infos = [rest._replace(uuid=part), rest]
    node.gpus.procs = {info.uuid: [] for info in node.gpus.infos}
    node.turn(1)
    run = node.ticket(1, 1000, [5], visible=part)
    node.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_1/step_0/user/task_0")
    _put(node, 50, part)
    node.turn(20 + after_s)
    node.proc.end(50)
    node.mark_end(run, 1)
    node.gpus.infos = [rest]  # as an epilog that reconfigures MIG leaves it

    node.turn(30)

    assert (node.events("sampler-error"), node.loop.stop_reason) == ([], None)
    assert node.seal(run)["ended_by"] == "epilog"
    (window,) = node.records("window", run)
    assert window["end_at"] - window["start_at"] == pytest.approx(20 + after_s, abs=1)
    assert set(node.loop.boards) == {rest.uuid}


def test_a_ticket_that_says_others_may_be_there_marks_its_windows_shared(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    shard = node.ticket(1, 1000, [0], sharing=["shard"])
    alone = node.ticket(2, 2000, [1], sharing=["oversubscribe"])  # of CPUs: what earlier tickets say

    node.turn(130)

    assert [w["shared"] for w in node.records("window", shard)] == [True, True]
    assert [w["shared"] for w in node.records("window", alone)] == [False, False]


def test_a_gpu_that_nobody_ever_touched_is_told_at_the_runs_end(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    whole = node.gpus.read
    node.gpus.read = lambda gpu: whole(gpu)._replace(util_pct=0.0)  # type: ignore[method-assign]
    run = _run(node, 1, [0, 1], 50, "GPU-0")
    node.turn(90)
    node.mark_end(run, 1)
    node.turn(10)

    (event,) = node.events("gpu-untouched")
    assert (event["run"], event["detail"]["gpu"], event["detail"]["busy_most_pct"]) == (run, "GPU-1", 0.0)
    assert event["detail"]["held_s"] == 90.0
    assert node.seal(run)["ended_by"] == "epilog"


def test_work_without_a_listed_process_or_a_missing_list_is_not_untouched(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)  # the fake's boards work at 50 %
    whole = node.gpus.read

    def first_idle(gpu: object) -> GpuReading:
        found = whole(gpu)  # type: ignore[arg-type]
        return found._replace(util_pct=0.0) if gpu == node.gpus.infos[0] else found

    node.gpus.read = first_idle  # type: ignore[method-assign]
    run = node.ticket(1, 1000, [0, 1])
    node.turn(30)
    node.gpus.procs["GPU-0"] = None
    node.turn(30)
    node.mark_end(run, 1)
    node.turn(10)

    assert node.events("gpu-untouched") == []


def test_a_job_right_after_a_job_on_the_same_gpu_shares_no_window_and_no_second(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    first = node.ticket(1, 1000, [0])
    node.turn(30)
    node.clock.sleep(0.2)
    node.mark_end(first, 1)
    node.clock.sleep(0.2)
    second = node.ticket(2, 2000, [0])
    node.clock.sleep(0.4)
    node.mark_end(second, 2)
    node.clock.sleep(0.1)
    third = node.ticket(3, 3000, [0])
    node.turn(70)

    windows = [w for w in node.records("window") if w["run"] is not None]
    assert not any(w["shared"] for w in windows)
    covered = {run: sum(w["covered_ms"] for w in node.records("window", run)) for run in (first, second)}
    assert covered == {first: 30_200, second: 400}
    assert node.records("window", third)[0]["start_at"] == node.records("window", second)[0]["end_at"] + 0.1
    assert {node.seal(run)["n_windows"] for run in (first, second)} == {1}

"""Whose windows are written, and what a lost GPU, a stall or a set clock does to them."""

from itertools import pairwise
from pathlib import Path

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import cgroup_of


def test_each_run_gets_the_windows_of_its_gpus_and_the_node_the_rest(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=3)
    one = node.ticket(1, 1000, [0])
    two = node.ticket(2, 2000, [2])

    node.turn(61)
    node.mark_end(one, 1)
    node.mark_end(two, 2)
    node.turn(10)

    for run, gpu in ((one, "GPU-0"), (two, "GPU-2")):
        windows = node.records("window", run)
        assert {w["gpu"] for w in windows} == {gpu}
        assert sum(w["covered_ms"] for w in windows) == 61_000
        assert sum(w["energy_mj"] for w in windows) == 300_000 * 61
        seal = node.seal(run)
        assert (seal["ended_by"], seal["n_windows"]) == ("epilog", len(windows))
    assert {w["gpu"] for w in node.records("window", None)} >= {"GPU-1"}
    assert {r["run"]: r["ended_at"] is not None for r in node.requests} == {one: True, two: True}


def test_a_window_is_never_longer_than_the_longest_and_none_overlap(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.turn(95)
    run = node.ticket(1, 1000, [0])
    node.turn(130)

    windows = sorted(node.records("window"), key=lambda w: w["start_at"])
    assert all(w["end_at"] - w["start_at"] <= 60.001 for w in windows)
    assert all(a["end_at"] <= b["start_at"] + 1e-6 for a, b in pairwise(windows))
    assert {w["run"] for w in windows} == {None, run}


def test_a_gpu_held_by_two_runs_gives_a_window_for_each(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    one = node.ticket(1, 1000, [0])
    node.turn(61)
    two = node.ticket(2, 2000, [0])
    node.proc.start(50, 1000, cgroup_of(1))
    node.turn(121)

    late = [w for w in node.records("window") if w["start_at"] > 1_780_000_100]
    assert {w["run"] for w in late if w["shared"]} == {one, two}
    assert not any(w["shared"] for w in node.records("window", one)[:1])


def test_shares_say_which_run_each_process_belongs_to(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, cgroup_of(1))
    node.gpus.procs["GPU-0"] = [GpuProc(50, 2000, 40.0)]
    node.turn(31)
    node.proc.set_stat(50, 1, "python", cpu_ticks=700)
    node.proc.files["50/io"] = "rchar: 2001\nwchar: 45\nread_bytes: 9\nwrite_bytes: 4099\n"
    node.turn(40)

    (share,) = node.records("window", run)[0]["procs"]
    assert (share["pid"], share["run"], share["mem_mib"]) == (50, run, 2000)
    assert share["sm_ms"] == pytest.approx(0.4 * 60_000, rel=0.02)
    assert share["cpu_ms"] == 7000
    assert (share["read_b"], share["written_b"], share["stored_b"]) == (2000, 40, 4096)
    (seen,) = node.records("process", run)
    assert (seen["how"], seen["gpus"], seen["cmdline"]) == ("cgroup", ["GPU-0"], "python train.py")


def test_a_lost_gpu_is_unobserved_with_nvmls_reason_and_comes_back(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.turn(61)
    node.gpus.lost.add("GPU-0")
    node.gpus.procs["GPU-0"] = None
    node.turn(60)
    node.gpus.lost.clear()
    node.gpus.procs["GPU-0"] = []
    node.turn(60)

    first, second, third = node.records("window", run)[:3]
    assert (first["covered_ms"], third["covered_ms"]) == (60_000, 59_000)
    assert (second["energy_mj"], second["busy_ms"], second["covered_ms"]) == (None, None, 0)
    assert second["why"]["energy_mj"] == "GPU is lost"
    assert second["why"]["procs"] == "NVML gave no process list"


def test_no_gpu_at_the_start_and_nvml_later_gives_windows_from_then_on(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    infos, node.gpus.infos = node.gpus.infos, []
    run = node.ticket(1, 1000, [0])
    node.turn(30)
    assert node.records("window") == []
    node.gpus.infos = infos

    node.turn(70)

    assert sum(w["covered_ms"] for w in node.records("window", run)) == 60_000


def test_a_stall_leaves_a_hole_and_no_window_across_it(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.turn(20)
    node.clock.sleep(300)
    node.turn(61)

    windows = node.records("window", run)
    assert all(w["end_at"] - w["start_at"] <= 61 for w in windows)
    assert sum(w["covered_ms"] for w in windows) <= 81_000
    assert node.events("stalled")[0]["detail"]["stall_s"] == pytest.approx(301, abs=1.5)


def test_a_stepped_wall_clock_moves_no_schedule_and_no_duration(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.turn(30)
    node.clock.step_s(-7200)
    node.turn(91)

    windows = node.records("window", run)
    assert [round(w["end_at"] - w["start_at"], 3) for w in windows] == [60.0, 60.0]
    assert sum(w["covered_ms"] for w in windows) == 120_000


def test_two_samplers_worth_of_clock_never_repeat_a_reading(tmp_path: Path) -> None:
    clock = FakeClock()
    node = Node(tmp_path, n_gpus=1, clock=clock, sample_interval_s=0.25, window_s=5.0, table_interval_s=1.0)

    node.turn(21)

    assert [w["n"] for w in node.records("window")] == [21, 20, 20, 20]


def test_a_kernel_that_counts_no_storage_leaves_its_bytes_null(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, cgroup_of(1))
    node.proc.files["50/io"] = "rchar: 1\nwchar: 5\nsyscr: 1\nsyscw: 1\n"
    node.gpus.procs["GPU-0"] = [GpuProc(50, 2000, 40.0)]
    node.turn(71)

    (share,) = node.records("window", run)[0]["procs"]
    assert (share["read_b"], share["written_b"], share["stored_b"]) == (0, 0, None)


def test_a_count_that_falls_is_not_told(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, cgroup_of(1))
    node.proc.files["50/io"] = "rchar: 900\nwchar: 5\nwrite_bytes: 9\n"
    node.gpus.procs["GPU-0"] = [GpuProc(50, 2000, 40.0)]
    node.turn(31)
    node.proc.files["50/io"] = "rchar: 100\nwchar: 6\nwrite_bytes: 9\n"
    node.turn(40)

    (share,) = node.records("window", run)[0]["procs"]
    assert (share["read_b"], share["written_b"], share["stored_b"]) == (None, 1, 0)

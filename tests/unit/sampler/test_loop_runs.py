"""When a run begins and ends in the loop, and what a new sampler takes up."""

from pathlib import Path

import pytest

from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import cgroup_of, start_slurmstepd


def test_a_batch_job_without_epilog_ends_when_its_processes_are_gone_for_the_grace(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    start_slurmstepd(node, 40, 1)
    node.proc.start(50, 1000, cgroup_of(1))
    node.turn(61)
    node.proc.end(40)
    node.proc.end(50)
    node.turn(25)
    assert node.loop.book.alive()

    node.turn(30)

    assert node.seal(run)["ended_by"] == "processes-gone"


def test_an_allocation_without_steps_is_not_ended_by_silence(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.ticket(1, 1000, [0])
    node.turn(60)
    start_slurmstepd(node, 40, 1, step="0")
    node.turn(30)
    node.proc.end(40)

    node.turn(600)

    assert [run.ticket.job_id for run in node.loop.book.alive()] == [1]


def test_silence_and_a_younger_run_on_the_same_gpu_end_a_run(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    old = node.ticket(1, 1000, [0])
    node.turn(60)
    node.ticket(2, 2000, [0])
    node.proc.start(51, 2000, cgroup_of(2))

    node.turn(90)

    assert node.seal(old)["ended_by"] == "processes-gone"
    assert [run.ticket.job_id for run in node.loop.book.alive()] == [2]


def test_a_process_that_slurm_starts_in_a_job_taken_for_over_is_no_leftover(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.ticket(1, 1000, [0])
    node.turn(60)
    node.ticket(2, 2000, [0])
    node.turn(90)
    node.proc.start(50, 1000, cgroup_of(1, "0"))
    node.gpus.procs["GPU-0"] = [GpuProc(50, 1, 0.0)]
    node.turn(60)

    assert node.events("leftover") == []
    assert len(node.events("late-process")) == 1


def test_a_requeued_job_is_two_runs(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    first = node.ticket(1, 1000, [0])
    node.turn(20)
    second = node.ticket(1, 1000, [0])
    node.turn(20)

    assert first != second
    assert node.seal(first)["ended_by"] == "superseded"
    assert [run.key for run in node.loop.book.alive()] == [second]


def test_an_end_mark_without_a_run_key_ends_the_jobs_newest_run(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(7, 1000, [0])
    node.turn(10)
    node.mark_end(None, 7)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"


def test_a_ticket_of_another_boot_is_sealed_at_once(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0], boot_id="00000000-1111")
    node.turn(10)

    seal = node.seal(run)
    assert (seal["ended_by"], seal["n_windows"]) == ("reboot", 0)


def test_a_restarted_sampler_goes_on_with_the_same_run(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.turn(30)
    node.loop.stop("SIGTERM")
    assert node.gpus.closed
    node.clock.sleep(120)
    node.sampler()
    node.turn(30)
    node.mark_end(run, 1)
    node.turn(10)

    seal = node.seal(run)
    assert [segment[0] for segment in seal["segments"]] == [0, 1]
    windows = node.records("window", run)
    assert seal["n_windows"] == len(windows)
    assert sum(w["covered_ms"] for w in windows) == pytest.approx(60_000, abs=2_000)
    assert sum(w["energy_mj"] for w in windows) == 300 * sum(w["covered_ms"] for w in windows)
    assert [e["detail"]["reason"] for e in node.events("sampler-stopped")] == ["SIGTERM"]


def test_a_run_sealed_before_a_restart_is_not_taken_up_again(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.turn(10)
    node.mark_end(run, 1)
    node.turn(10)
    before = node.seal(run)
    node.loop.stop("SIGTERM")
    node.sampler()
    node.turn(70)

    assert node.seal(run) == before
    assert node.loop.book.runs == {}

"""When a run is over: marks that come twice, late, too early or for somebody else."""

from pathlib import Path

import pytest

from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import (
    alive_runs,
    begin_job,
    cgroup_of,
    end_job,
    put_mark,
    put_ticket,
    start_slurmstepd,
)

# -- end marks (a repeated epilog names the newer run on 22.05)


def test_an_epilog_that_is_run_again_does_not_end_the_next_run_of_its_job(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    first = put_ticket(node)
    begin_job(node)
    node.turn(20)
    end_job(node)
    put_mark(node, first)
    node.turn(5)
    second = put_ticket(node)
    begin_job(node)
    node.turn(15)
    put_mark(node, second)
    node.turn(90)

    assert node.seal(first)["ended_by"] == "epilog"
    assert alive_runs(node) == [second]
    (event,) = node.events("end-doubted")
    assert (event["run"], event["detail"]["slurmstepds"], event["detail"]["n_processes"]) == (second, [40], 1)
    assert node.events("leftover") == []
    node.proc.end(50)
    node.proc.end(40)
    node.turn(60)
    assert node.seal(second)["ended_by"] == "processes-gone"


def test_a_stale_mark_right_after_the_next_start_is_doubted_before_any_look_at_the_tables(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.turn(11)  # the next look comes in nine seconds
    begin_job(node)
    run = put_ticket(node)
    node.clock.sleep(0.1)
    put_mark(node, run)
    node.turn(4)

    assert alive_runs(node) == [run]


def test_a_slurmstepd_that_began_after_the_mark_speaks_for_the_next_run_at_once(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    put_mark(node, run)
    node.clock.sleep(5)
    begin_job(node)
    node.turn(3)

    assert alive_runs(node) == [run]
    assert len(node.events("end-doubted")) == 1


def test_after_a_doubted_mark_the_true_one_still_counts(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    begin_job(node)
    node.turn(15)
    put_mark(node, run)
    node.turn(60)
    assert alive_runs(node) == [run]
    end_job(node)
    ended_at = node.clock.now_at()
    put_mark(node, run)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.requests[-1]["ended_at"] == ended_at


def test_a_mark_while_the_step_is_dying_counts_with_its_own_time(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    begin_job(node)
    node.turn(30)
    marked_at = node.clock.now_at()
    put_mark(node, run)
    node.turn(4)
    assert alive_runs(node) == [run]
    end_job(node)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.requests[-1]["ended_at"] == marked_at
    assert node.events("end-doubted") == []


def test_a_slurmstepd_that_hangs_without_processes_keeps_no_run_open_beyond_the_grace(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, end_grace_s=30.0)
    run = put_ticket(node)
    begin_job(node)
    node.turn(30)
    node.proc.end(50)
    put_mark(node, run)
    node.turn(25)
    assert alive_runs(node) == [run]
    node.turn(15)

    assert node.seal(run)["ended_by"] == "epilog"


def test_a_process_that_outlives_its_slurmstepd_does_not_keep_the_run_open(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    begin_job(node)
    node.turn(30)
    node.proc.end(40)
    put_mark(node, run)
    node.turn(30)

    assert node.seal(run)["ended_by"] == "epilog"
    assert [event["run"] for event in node.events("leftover")] == [run]


@pytest.mark.parametrize("again", [1, 3])
def test_an_epilog_that_is_run_twice_ends_a_run_once(tmp_path: Path, again: int) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    node.turn(30)
    ended_at = node.clock.now_at()
    put_mark(node, run)
    for _ in range(again):
        node.clock.sleep(0.5)
        put_mark(node, run)
        node.turn(1)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.requests[-1]["ended_at"] == pytest.approx(ended_at, abs=0.6)
    assert len(list(Path(node.folders.spool).glob("seals/*"))) == 1


def test_an_epilog_without_a_prolog_changes_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    other = put_ticket(node, job_id=1)
    node.turn(5)
    put_mark(node, None, job_id=2)
    node.turn(10)

    assert alive_runs(node) == [other]
    assert node.events("file-refused") == []


def test_a_mark_of_another_cluster_with_the_same_job_id_ends_nobody(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    node.turn(5)
    put_mark(node, None, cluster="other")
    node.turn(10)

    assert alive_runs(node) == [run]


def test_a_relinquished_node_is_an_ordinary_end_there(tmp_path: Path) -> None:
    """Resize: Slurm kills the job's steps on the node, then runs its epilog; the job goes on elsewhere."""
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    start_slurmstepd(node, 40, 1, "extern")
    node.proc.start(50, 1000, cgroup_of(1, "0"), ppid=40)
    node.turn(30)
    end_job(node)
    put_mark(node, run, exit_code=None)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.events("end-doubted") == []

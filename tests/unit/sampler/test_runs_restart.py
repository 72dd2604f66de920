"""Runs across reboots, restarts and clocks that are set."""

import json
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import BOOT, Node
from tests.unit.sampler.jobs import (
    alive_runs,
    begin_job,
    put_mark,
    put_ticket,
)

# -- a reboot


def test_a_run_cut_by_a_reboot_ends_at_its_last_record(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    ticket_at = node.clock.now_at()
    run = put_ticket(node)
    node.turn(305)
    cut_at = node.clock.now_at()
    for board in node.loop.boards.values():  # a power cut: nothing is closed
        board.emit = lambda _: None
    node.clock.sleep(900)
    _change_boot(node, run)
    node.sampler()
    node.turn(5)

    (request,) = [r for r in node.requests if r["run"] != run]
    assert cut_at - 61 <= request["ended_at"] <= cut_at
    assert request["ended_at"] - ticket_at >= 240
    (seal,) = [json.loads(p.read_text()) for p in Path(node.folders.spool).glob("seals/*")]
    assert seal["ended_by"] == "reboot"


def _change_boot(node: Node, run: str) -> None:
    """As if all of the run's files were of an earlier boot."""
    old = run.replace(BOOT[:8], "00000000")
    for root in (node.folders.run, node.folders.spool):
        for path in sorted(Path(root).rglob("*.json*")):
            text = path.read_text().replace(run, old).replace(BOOT, "00000000" + BOOT[8:])
            path.unlink()
            path.with_name(path.name.replace(BOOT[:8], "00000000")).write_text(text)


def test_a_run_that_a_reboot_cut_before_its_first_record_ends_at_its_ticket(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    at = node.clock.now_at()
    run = node.ticket(1, 1000, [0], boot_id="00000000-1111")
    node.clock.sleep(600)
    node.turn(5)

    assert [r["ended_at"] for r in node.requests] == [at]
    assert node.seal(run)["ended_by"] == "reboot"


# -- set clocks


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_a_newcomer_on_a_held_gpu_stays_one_when_the_clock_is_set(tmp_path: Path, step_s: float) -> None:
    node = Node(tmp_path, n_gpus=1)
    put_ticket(node)
    begin_job(node)
    node.turn(60)
    node.clock.step_s(step_s)
    node.turn(60)
    node.proc.start(60, 3000)
    node.gpus.procs["GPU-0"] = [GpuProc(50, 1, 50.0), GpuProc(60, 1, 50.0)]
    node.turn(31)

    assert [e["detail"]["before_holder"] for e in node.events("foreign-process")] == [False]


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_a_leftover_stays_one_when_the_clock_is_set(tmp_path: Path, step_s: float) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    node.turn(20)
    node.clock.step_s(step_s)
    begin_job(node)
    node.turn(20)
    node.clock.step_s(-step_s)
    node.proc.end(40)
    put_mark(node, run)
    node.turn(60)

    assert [e["name"] for e in node.records("event") if e["name"] in ("leftover", "late-process")] == [
        "leftover"
    ]


def test_a_requeued_run_supersedes_the_one_before_though_the_clock_was_set_back(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    first = put_ticket(node)
    node.turn(20)
    node.clock.step_s(-3600)
    second = put_ticket(node)
    node.turn(20)

    assert node.seal(first)["ended_by"] == "superseded"
    assert alive_runs(node) == [second]


def test_a_run_that_ends_while_no_sampler_lives_has_its_logs_read_all_the_same(tmp_path: Path) -> None:
    node = Node(tmp_path, file_interval_s=10)
    run = node.ticket(1, 1000, [0], stdout="/home/u/out.log")
    node.helper.sizes["/home/u/out.log"] = 40
    node.turn(25)
    before = node.loop
    node.mark_end(run, 1)
    node.clock.sleep(5.0)

    loop = node.sampler()  # the one before was killed: it closed nothing
    assert loop is not before
    node.turn(20)

    (asked,) = [request for request in node.requests if request["run"] == run][-1:]
    (file,) = [file for file in asked["files"] if file["path"] == "/home/u/out.log"]
    assert file["how"] == "stdout"
    assert file["obs"][0][1] == 40
    assert node.seal(run)["ended_by"] == "epilog"


def test_a_restarted_sampler_goes_on_with_files_that_no_ticket_names(tmp_path: Path) -> None:
    node = Node(tmp_path, file_interval_s=10)
    run = node.ticket(1, 1000, [0])
    seen = wire.FileSeen(
        run, node.clock.now_at(), "/home/u/runs/events.1", "fd", 1, 5, 70, 9, 4242, [4242], {}
    )
    node.loop.out(run, seen)
    node.turn(5)
    node.mark_end(run, 1)

    node.sampler()
    node.turn(20)

    (file,) = [f for f in node.requests[-1]["files"] if f["path"] == "/home/u/runs/events.1"]
    assert (file["ino"], file["pids"], [row[1] for row in file["obs"]]) == (5, [4242], [70])

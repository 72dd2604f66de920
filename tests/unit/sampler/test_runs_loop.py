"""Runs end when they end: what hooks leave, in which order and how often, and what the loop makes of it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.sampler.freezers import Freezers
from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import BOOT, NODE, Node

CHANGED = "x" * 64


def _cgroup(job_id: int, step: str = "batch") -> str:
    return f"0::/system.slice/slurmstepd.scope/job_{job_id}/step_{step}/user/task_0"


def _slurmstepd(node: Node, pid: int, job_id: int, step: str = "batch") -> None:
    path = f"0::/system.slice/slurmstepd.scope/job_{job_id}/step_{step}/slurm"
    node.proc.start(pid, 0, path, 1, f"slurmstepd: [{job_id}.{step}]", "slurmstepd")


def _ticket(node: Node, job_id: int = 1, uid: int = 1000, gpus: list[int] | None = None, **more: Any) -> str:
    """A ticket as today's hook writes it, with the boot clock."""
    return node.ticket(job_id, uid, [0] if gpus is None else gpus, boot_s=node.clock.mono_s(), **more)


def _mark(node: Node, run: str | None, job_id: int = 1, **more: Any) -> str:
    """An end mark as today's hook writes it; returns its file's name."""
    at = node.clock.now_at()
    mark = wire.EndMark(run, at, NODE, "c", job_id, BOOT, None, 0, "0:0", None, None, [], None, {})
    name = f"{job_id}_{int(at * 1000)}.json"
    node._put("ends", name, wire.encode(mark._replace(boot_s=node.clock.mono_s(), **more)))
    return name


def _job(node: Node, job_id: int = 1, uid: int = 1000, pid: int = 50) -> None:
    """A batch step with one process on the first GPU."""
    _slurmstepd(node, pid - 10, job_id)
    node.proc.start(pid, uid, _cgroup(job_id), ppid=pid - 10)
    node.gpus.procs["GPU-0"] = [GpuProc(pid, 1, 50.0)]


def _end_job(node: Node, pid: int = 50) -> None:
    node.proc.end(pid)
    node.proc.end(pid - 10)
    node.gpus.procs["GPU-0"] = []


def _alive(node: Node) -> list[str]:
    return [run.key for run in node.loop.book.alive()]


# -- end marks (a repeated epilog names the newer run on 22.05)


def test_an_epilog_that_is_run_again_does_not_end_the_next_run_of_its_job(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    first = _ticket(node)
    _job(node)
    node.turn(20)
    _end_job(node)
    _mark(node, first)
    node.turn(5)
    second = _ticket(node)
    _job(node)
    node.turn(15)
    _mark(node, second)
    node.turn(90)

    assert node.seal(first)["ended_by"] == "epilog"
    assert _alive(node) == [second]
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
    _job(node)
    run = _ticket(node)
    node.clock.sleep(0.1)
    _mark(node, run)
    node.turn(4)

    assert _alive(node) == [run]


def test_a_slurmstepd_that_began_after_the_mark_speaks_for_the_next_run_at_once(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    _mark(node, run)
    node.clock.sleep(5)
    _job(node)
    node.turn(3)

    assert _alive(node) == [run]
    assert len(node.events("end-doubted")) == 1


def test_after_a_doubted_mark_the_true_one_still_counts(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    _job(node)
    node.turn(15)
    _mark(node, run)
    node.turn(60)
    assert _alive(node) == [run]
    _end_job(node)
    ended_at = node.clock.now_at()
    _mark(node, run)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.requests[-1]["ended_at"] == ended_at


def test_a_mark_while_the_step_is_dying_counts_with_its_own_time(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    _job(node)
    node.turn(30)
    marked_at = node.clock.now_at()
    _mark(node, run)
    node.turn(4)
    assert _alive(node) == [run]
    _end_job(node)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.requests[-1]["ended_at"] == marked_at
    assert node.events("end-doubted") == []


def test_a_slurmstepd_that_hangs_without_processes_keeps_no_run_open_beyond_the_grace(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, end_grace_s=30.0)
    run = _ticket(node)
    _job(node)
    node.turn(30)
    node.proc.end(50)
    _mark(node, run)
    node.turn(25)
    assert _alive(node) == [run]
    node.turn(15)

    assert node.seal(run)["ended_by"] == "epilog"


def test_a_process_that_outlives_its_slurmstepd_does_not_keep_the_run_open(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    _job(node)
    node.turn(30)
    node.proc.end(40)
    _mark(node, run)
    node.turn(30)

    assert node.seal(run)["ended_by"] == "epilog"
    assert [event["run"] for event in node.events("leftover")] == [run]


@pytest.mark.parametrize("again", [1, 3])
def test_an_epilog_that_is_run_twice_ends_a_run_once(tmp_path: Path, again: int) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    node.turn(30)
    ended_at = node.clock.now_at()
    _mark(node, run)
    for _ in range(again):
        node.clock.sleep(0.5)
        _mark(node, run)
        node.turn(1)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.requests[-1]["ended_at"] == pytest.approx(ended_at, abs=0.6)
    assert len(list(Path(node.folders.spool).glob("seals/*"))) == 1


def test_an_epilog_without_a_prolog_changes_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    other = _ticket(node, job_id=1)
    node.turn(5)
    _mark(node, None, job_id=2)
    node.turn(10)

    assert _alive(node) == [other]
    assert node.events("file-refused") == []


def test_a_mark_of_another_cluster_with_the_same_job_id_ends_nobody(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    node.turn(5)
    _mark(node, None, cluster="other")
    node.turn(10)

    assert _alive(node) == [run]


def test_a_relinquished_node_is_an_ordinary_end_there(tmp_path: Path) -> None:
    """Resize: Slurm kills the job's steps on the node, then runs its epilog; the job goes on elsewhere."""
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    _slurmstepd(node, 40, 1, "extern")
    node.proc.start(50, 1000, _cgroup(1, "0"), ppid=40)
    node.turn(30)
    _end_job(node)
    _mark(node, run, exit_code=None)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.events("end-doubted") == []


# -- the intent


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [("a" * 64, "b" * 64, "changed"), (None, "b" * 64, "added"), ("a" * 64, None, "gone")],
)
def test_an_intent_that_was_edited_during_the_job_is_told_once(
    tmp_path: Path, before: str | None, after: str | None, how: str
) -> None:
    node = Node(tmp_path, n_gpus=1)
    texts = {hash_: None if hash_ is None else "c" + hash_ for hash_ in (before, after)}
    run = _ticket(node, intent_sha256=before, comment=texts[before])
    node.turn(10)
    _mark(node, run, intent_sha256=after, comment=texts[after])
    node.clock.sleep(0.5)
    _mark(node, run, intent_sha256=after, comment=texts[after])
    node.turn(10)

    assert [(e["run"], e["detail"]["how"]) for e in node.events("intent-edited")] == [(run, how)]


@pytest.mark.parametrize("intent", [None, "a" * 64])
def test_an_intent_that_stands_as_it_was_is_no_event(tmp_path: Path, intent: str | None) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node, intent_sha256=intent)
    node.turn(10)
    _mark(node, run, intent_sha256=intent)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.events("intent-edited") == []


def test_the_mark_of_a_release_without_hashes_is_compared_by_its_texts(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    same = _ticket(node, 1, comment="guard:task=x", intent_sha256="a" * 64)
    edited = _ticket(node, 2, gpus=[1], comment="guard:task=x", intent_sha256="a" * 64)
    node.turn(10)
    _mark(node, same, 1, comment="guard:task=x")
    _mark(node, edited, 2, comment="guard:task=y")
    node.turn(10)

    assert [event["run"] for event in node.events("intent-edited")] == [edited]


# -- folders


@pytest.mark.parametrize("lost", ["run", "spool"])
def test_a_ticket_and_a_mark_that_reached_only_one_folder_are_followed(tmp_path: Path, lost: str) -> None:
    node = Node(tmp_path, n_gpus=1)
    folder = Path(getattr(node.folders, lost))
    node.turn(30)
    run = _ticket(node)
    next(folder.glob("tickets/*")).unlink()
    node.turn(61)
    _mark(node, run)
    next(folder.glob("ends/*")).unlink()
    node.turn(10)

    assert sum(w["covered_ms"] for w in node.records("window", run)) == 61_000
    assert node.seal(run)["ended_by"] == "epilog"


def test_a_half_readable_copy_does_not_hide_the_whole_one(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    next(Path(node.folders.run).glob("tickets/*")).write_bytes(b'{"k":"tick')
    node.turn(10)

    assert _alive(node) == [run]
    assert node.events("file-refused") == []


def test_after_a_day_of_short_jobs_and_a_restart_the_run_folder_is_empty(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, segment_s=600.0)
    for job_id in range(1, 301):
        run = _ticket(node, job_id)
        node.loop.tick()
        node.clock.sleep(1)
        _mark(node, run, job_id)
        node.loop.tick()
        node.clock.sleep(3)
        node.loop.tick()
        if job_id == 150:
            node.loop.stop("SIGTERM")
            node.sampler()
    living = _ticket(node, 999)
    _job(node, 999)
    for _ in range(12):
        node.clock.sleep(600)
        node.loop.tick()

    assert [p.name for p in Path(node.folders.run).glob("tickets/*")] == [f"{wire.stem(living)}.json"]
    assert list(Path(node.folders.run).glob("ends/*")) == []
    assert len(list(Path(node.folders.spool).glob("tickets/*"))) == 301
    assert _alive(node) == [living]


def test_a_late_epilog_still_finds_its_ticket_for_an_hour(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, segment_s=60.0)
    run = _ticket(node)
    node.turn(5)
    _mark(node, run)
    for _ in range(50):
        node.clock.sleep(60)
        node.loop.tick()

    assert len(list(Path(node.folders.run).glob("tickets/*"))) == 1


def test_the_spools_folders_are_listed_only_when_they_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path, n_gpus=1)
    for root in (node.folders.run, node.folders.spool):
        for kind in ("tickets", "ends"):
            os.utime(Path(root) / kind, (1, 1))
    node.turn(3)
    listed: list[str] = []
    real = os.listdir

    def listdir(path: str = ".") -> list[str]:
        listed.append(str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    node.turn(3)
    assert [path for path in listed if path.endswith(("tickets", "ends"))] == []

    run = _ticket(node)
    node.turn(2)

    assert _alive(node) == [run]


# -- a reboot


def test_a_run_cut_by_a_reboot_ends_at_its_last_record(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    ticket_at = node.clock.now_at()
    run = _ticket(node)
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
    _ticket(node)
    _job(node)
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
    run = _ticket(node)
    node.turn(20)
    node.clock.step_s(step_s)
    _job(node)
    node.turn(20)
    node.clock.step_s(-step_s)
    node.proc.end(40)
    _mark(node, run)
    node.turn(60)

    assert [e["name"] for e in node.records("event") if e["name"] in ("leftover", "late-process")] == [
        "leftover"
    ]


def test_a_requeued_run_supersedes_the_one_before_though_the_clock_was_set_back(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    first = _ticket(node)
    node.turn(20)
    node.clock.step_s(-3600)
    second = _ticket(node)
    node.turn(20)

    assert node.seal(first)["ended_by"] == "superseded"
    assert _alive(node) == [second]


# -- who is whose


def test_another_uid_in_the_jobs_own_cgroup_is_the_runs_with_a_flag(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = _ticket(node)
    _slurmstepd(node, 40, 1)
    node.proc.start(50, 100_999, _cgroup(1), ppid=40)
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
    run = _ticket(node)
    _job(node)
    node.proc.start(51, 1000, _cgroup(1), ppid=50)
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
    assert _alive(node) == [run]


@pytest.mark.parametrize(
    ("path", "file", "frozen", "thawed"),
    [
        ("6:freezer:/slurm_n1/uid_1000/job_1/step_batch", "freezer/{}/freezer.state", "FROZEN", "THAWED"),
        (f"{_cgroup(1)}", "{}/cgroup.events", "populated 1\nfrozen 1", "populated 1\nfrozen 0"),
    ],
    ids=["v1", "v2"],
)
def test_a_frozen_job_is_suspended_though_its_state_is_any_sleepers(
    tmp_path: Path, path: str, file: str, frozen: str, thawed: str
) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.loop.tables.processes.freezers = Freezers(f"{tmp_path}/cgroup")
    run = _ticket(node)
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
    run = _ticket(node)
    _job(node)
    node.turn(30)
    _stop(node, 50, "T")
    node.turn(20)
    _end_job(node)
    node.turn(60)

    assert node.seal(run)["ended_by"] == "processes-gone"
    assert node.events("run-resumed") == []


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

"""The loop, end to end on a node of fakes: who gets which window, when runs end, and what is told."""

from itertools import pairwise
from pathlib import Path

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import Node


def _cgroup(job_id: int, step: str = "batch") -> str:
    return f"0::/system.slice/slurmstepd.scope/job_{job_id}/step_{step}/user/task_0"


def _slurmstepd(node: Node, pid: int, job_id: int, step: str = "batch") -> None:
    title = f"slurmstepd: [{job_id}.{step}]"
    node.proc.start(
        pid, 0, f"0::/system.slice/slurmstepd.scope/job_{job_id}/step_{step}/slurm", 1, title, "slurmstepd"
    )


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
    node.proc.start(50, 1000, _cgroup(1))
    node.turn(121)

    late = [w for w in node.records("window") if w["start_at"] > 1_780_000_100]
    assert {w["run"] for w in late if w["shared"]} == {one, two}
    assert not any(w["shared"] for w in node.records("window", one)[:1])


def test_shares_say_which_run_each_process_belongs_to(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, _cgroup(1))
    node.gpus.procs["GPU-0"] = [GpuProc(50, 2000, 40.0)]
    node.turn(31)
    node.proc.set_stat(50, 1, "python", cpu_ticks=700)
    node.turn(40)

    (share,) = node.records("window", run)[0]["procs"]
    assert (share["pid"], share["run"], share["mem_mib"]) == (50, run, 2000)
    assert share["sm_ms"] == pytest.approx(0.4 * 60_000, rel=0.02)
    assert share["cpu_ms"] == 7000
    (seen,) = node.records("process", run)
    assert (seen["how"], seen["gpus"], seen["cmdline"]) == ("cgroup", ["GPU-0"], "python train.py")


def test_a_leftover_is_told_once_and_is_not_held_against_the_newcomer(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    old = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, _cgroup(1))
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
    node.proc.start(50, 1000, _cgroup(1))
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
    node.proc.start(50, 1000, _cgroup(1))
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


def test_a_batch_job_without_epilog_ends_when_its_processes_are_gone_for_the_grace(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    _slurmstepd(node, 40, 1)
    node.proc.start(50, 1000, _cgroup(1))
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
    _slurmstepd(node, 40, 1, step="0")
    node.turn(30)
    node.proc.end(40)

    node.turn(600)

    assert [run.ticket.job_id for run in node.loop.book.alive()] == [1]


def test_silence_and_a_younger_run_on_the_same_gpu_end_a_run(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    old = node.ticket(1, 1000, [0])
    node.turn(60)
    node.ticket(2, 2000, [0])
    node.proc.start(51, 2000, _cgroup(2))

    node.turn(90)

    assert node.seal(old)["ended_by"] == "processes-gone"
    assert [run.ticket.job_id for run in node.loop.book.alive()] == [2]


def test_a_process_that_slurm_starts_in_a_job_taken_for_over_is_no_leftover(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.ticket(1, 1000, [0])
    node.turn(60)
    node.ticket(2, 2000, [0])
    node.turn(90)
    node.proc.start(50, 1000, _cgroup(1, "0"))
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


def test_a_fault_in_a_round_is_told_and_the_sampling_goes_on(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.turn(5)
    node.gpus.fault = RuntimeError("driver said something new")
    node.turn(3)
    node.gpus.fault = None
    node.turn(61)

    assert {e["detail"]["kind"] for e in node.events("sampler-error")} == {"RuntimeError"}
    assert node.loop.stop_reason is None
    assert node.records("window")


def test_a_fault_that_comes_every_time_stops_the_sampler_with_its_reason(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    node.gpus.fault = RuntimeError("x")

    node.turn(30)

    assert node.loop.stop_reason is not None
    assert node.loop.stop_reason.startswith("error: RuntimeError at fakes.py")


def test_the_kill_switch_closes_everything_and_is_told_when_it_goes(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.turn(31)
    (tmp_path / "disabled").touch()
    node.turn(120)
    assert not list((Path(node.folders.spool) / "open").iterdir())
    n_off = len(node.records("window"))
    (tmp_path / "disabled").unlink()
    node.turn(75)

    assert (len(node.events("switched-off")), len(node.events("switched-on"))) == (1, 1)
    windows = node.records("window", run)
    assert n_off == 1
    assert sum(w["covered_ms"] for w in windows) < 110_000
    assert all(w["end_at"] - w["start_at"] <= 60.001 for w in windows)


def test_with_idle_exit_the_sampler_leaves_when_no_run_is_left(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, idle_exit_s=60.0)
    run = node.ticket(1, 1000, [0])
    node.turn(100)
    assert node.loop.stop_reason is None
    node.mark_end(run, 1)

    node.turn(100)

    assert node.loop.stop_reason == "idle"


def test_a_living_runs_segment_is_rotated_and_its_logs_are_read(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, segment_s=100.0)
    run = node.ticket(1, 1000, [0])

    node.turn(250)

    heads = [head for head in node.records("head") if head["run"] == run]
    tails = [tail["reason"] for tail in node.records("tail")]
    assert [head["seq"] for head in heads] == [0, 1, 2][: len(heads)]
    assert len(heads) >= 2
    assert set(tails) == {"rotate"}
    assert [r["ended_at"] for r in node.requests] == [None, None]


def test_a_file_that_is_no_ticket_is_refused_once(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    (Path(node.folders.run) / "tickets" / "evil.json").write_text('{"k":"ticket","run":5}')

    node.turn(5)

    assert [e["detail"]["file"] for e in node.events("file-refused")] == ["evil.json"]


def test_files_of_a_run_are_told_when_they_change_and_handed_to_the_reader(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, file_interval_s=10.0)
    run = node.ticket(1, 1000, [0], stdout="slurm-%j.out", work_dir="/home/a")
    node.proc.start(50, 1000, _cgroup(1))
    node.proc.link_texts["50/fd/3"] = "/home/a/runs/events.out.tfevents.1.n1.50"
    node.proc.files["50/fdinfo/3"] = "pos:\t10\nflags:\t0100001\nmnt_id:\t5\n"
    node.proc.link_texts["50/fd/4"] = "/home/a/data.csv"
    node.proc.files["50/fdinfo/4"] = "pos:\t10\nflags:\t0100000\nmnt_id:\t5\n"
    node.helper.sizes.update({"/home/a/slurm-1.out": 5, "/home/a/runs/events.out.tfevents.1.n1.50": 100})
    node.turn(25)
    node.helper.sizes["/home/a/slurm-1.out"] = 9
    node.turn(20)
    node.mark_end(run, 1)
    node.turn(10)

    seen = [(f["how"], f["path"].rsplit("/", 1)[-1], f["size"]) for f in node.records("file", run)]
    assert seen == [
        ("stdout", "slurm-1.out", 5),
        ("fd", "events.out.tfevents.1.n1.50", 100),
        ("stdout", "slurm-1.out", 9),
    ]
    files = {f["how"]: f for f in node.requests[-1]["files"]}
    assert [row[1] for row in files["stdout"]["obs"]][-1] == 9
    assert files["fd"]["pids"] == [50]


def test_two_samplers_worth_of_clock_never_repeat_a_reading(tmp_path: Path) -> None:
    clock = FakeClock()
    node = Node(tmp_path, n_gpus=1, clock=clock, sample_interval_s=0.25, window_s=5.0, table_interval_s=1.0)

    node.turn(21)

    assert [w["n"] for w in node.records("window")] == [21, 20, 20, 20]

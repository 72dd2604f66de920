"""The loop, end to end on a node of fakes: who gets which window, when runs end, and what is told."""

from pathlib import Path

from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import cgroup_of


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
    node.proc.start(50, 1000, cgroup_of(1))
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

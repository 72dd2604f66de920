"""A job that forks fast fills neither its own evidence nor the disk, nor the sampler's memory."""

import sys
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.clock import FakeClock
from slurm_guard.light import to_json
from slurm_guard.sampler import streams
from slurm_guard.sampler.budget import MOST_RECORDS, PURSE, REFILL
from slurm_guard.sampler.processes import MOST_PROGRAMS
from slurm_guard.sampler.procfs import Moved
from slurm_guard.sampler.reading import GpuProc
from slurm_guard.sampler.texts import CUT, MOST_CMDLINE, MOST_PATH, short, short_path
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import begin_job, cgroup_of, end_job, put_mark, put_ticket

HOSTILE = (
    "\x01" * 4096,
    "\U0001f600" * 1024,
    "\U0001f600" + "y" * 4090,
    "y" * 4000 + "\U0001f600",
    "\udc80" * 4096,
    '"\\' * 2048,
    "é" * 2048,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_bounded_by_its_length_in_the_record(text: str) -> None:
    for limit, end in ((2048, 0), (1024, 256), (128, 0)):
        cut = short(text, limit, end)
        assert cut is not None
        assert CUT in cut
        width = max(1, (sys.getsizeof(cut) - sys.getsizeof("")) // len(cut))
        size = max(len(to_json(cut)) - 2, len(cut) * width)
        assert limit // 4 - 48 <= size <= limit  # a quarter where the wide character was cut off


def test_short_text_is_as_it_was_and_a_cut_path_keeps_its_end() -> None:
    path = short_path("/home/a/" + "x" * 4000 + "/worker (deleted)")

    for text in (None, "", "python train.py é\n"):
        assert short(text, 64) == text
    assert path is not None
    assert path.startswith("/home/a/x")
    assert path.endswith("x/worker (deleted)")
    assert len(path) <= MOST_PATH


@pytest.mark.parametrize("text", HOSTILE)
def test_one_process_record_is_a_few_kilobytes_and_memory_holds_no_more(tmp_path: Path, text: str) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    begin_job(node)
    node.proc.start(51, 1000, cgroup_of(1) + "/" + text, ppid=50, cmdline=text)
    node.proc.link_texts["50/exe"] = node.proc.link_texts["51/exe"] = "/" + text + " (deleted)"
    node.turn(30)

    process = node.loop.tables.processes.by_pid[51]
    assert len(wire.encode(process.record(gone=False))) < 6000
    assert len(process.cmdline or "") <= MOST_CMDLINE
    assert process.exe_flags == ["deleted"]
    (record, *_) = [p for p in node.records("process", run) if p["pid"] == 51]
    assert CUT in record["cmdline"]
    assert record["exe"].endswith(" (deleted)")


def _storm(node: Node, first: int, n: int) -> None:
    """`n` processes come and those of the storm before go."""
    for pid in [pid for pid in node.proc.started if pid >= 1000]:
        node.proc.end(pid)
    for pid in range(first, first + n):
        node.proc.start(pid, 1000, cgroup_of(1), ppid=50)


def test_a_fork_storm_is_told_up_to_a_bound_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, table_interval_s=10.0)
    run = put_ticket(node)
    begin_job(node)
    node.turn(20)
    before = len(node.records("process", run))
    for wave in range(3):
        _storm(node, 1000 + 1000 * wave, 400)
        node.turn(10)

    assert len(node.records("process", run)) - before == 3 * 256
    (event,) = node.events("processes-truncated")
    assert (event["run"], event["detail"]["most"]) == (run, 256)
    assert event["detail"]["n"] > 0

    _storm(node, 9000, 0)
    end_job(node)
    put_mark(node, run)
    node.turn(60)
    told = [e["detail"]["n"] for e in node.events("processes-truncated")]
    assert len(told) == 2
    assert told[1] > told[0]


def test_a_storm_that_lasts_empties_the_runs_purse_and_an_end_tells_no_crowd(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, table_interval_s=10.0)
    run = put_ticket(node)
    begin_job(node)
    node.turn(20)
    for wave in range(12):
        _storm(node, 1000 + 1000 * wave, 600)
        node.turn(10)
    before = len(node.records("process", run))

    end_job(node)
    put_mark(node, run)
    node.turn(8)

    assert PURSE <= before <= PURSE + 14 * REFILL
    assert len(node.records("process", run)) - before <= MOST_RECORDS
    assert [e["detail"]["n"] for e in node.events("processes-truncated")][
        -1
    ] > 12 * 600 - PURSE - 20 * REFILL - 600


def test_a_look_reads_the_command_lines_of_so_many_and_the_others_are_told_later(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, table_interval_s=10.0)
    run = put_ticket(node)
    begin_job(node)
    node.turn(20)
    _storm(node, 1000, 3 * MOST_PROGRAMS)
    node.turn(10)
    read = [p for p in node.loop.tables.processes.by_pid.values() if p.pid >= 1000 and p.cmdline is not None]
    node.turn(60)

    assert len(read) == MOST_PROGRAMS
    told = [p for p in node.records("process", run) if p["pid"] >= 1000]
    assert len({p["pid"] for p in told}) == 3 * MOST_PROGRAMS
    assert all(p["cmdline"] for p in told)
    (event,) = node.events("programs-truncated")  # the second look's are told with those of ten minutes
    assert event["detail"] == {"most": MOST_PROGRAMS, "n": 2 * MOST_PROGRAMS}


def test_no_crowd_hides_a_process_on_a_gpu_and_what_lives_on_is_told_later(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, table_interval_s=10.0)
    run = put_ticket(node)
    begin_job(node)
    node.turn(20)
    _storm(node, 1000, 700)
    node.gpus.procs["GPU-0"] = [GpuProc(50, 1, 50.0), GpuProc(1699, 1, 50.0)]
    node.turn(10)
    first = {p["pid"] for p in node.records("process", run)}
    node.turn(30)

    assert 1699 in first
    assert len(first) == 257  # with the one that was there before
    assert {p["pid"] for p in node.records("process", run)} == {50, *range(1000, 1700)}
    assert node.events("processes-truncated") == []


def test_a_segment_is_sealed_at_its_size_and_the_chain_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_SEGMENT_B", 20_000)
    node = Node(tmp_path, n_gpus=1, clock=FakeClock())
    run = put_ticket(node)
    begin_job(node)
    for wave in range(3):
        _storm(node, 1000 + 1000 * wave, 100)
        node.turn(10)

    paths = sorted((tmp_path / "spool").glob(f"*/sealed/{wire.stem(run)}.*"))
    heads, tails = node.records("head", run), node.records("tail")
    assert len(paths) >= 2
    assert max(path.stat().st_size for path in paths) < 200_000
    assert [head["seq"] for head in heads] == [*range(len(heads))]
    assert {head["prev_sha256"] for head in heads[1:]} <= {tail["sha256"] for tail in tails}
    assert {tail["reason"] for tail in tails} == {"rotate"}


def test_what_a_process_moved_is_read_of_those_on_a_gpu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path, n_gpus=1, table_interval_s=10.0)
    put_ticket(node)
    begin_job(node)
    _storm(node, 1000, 20)
    node.gpus.procs["GPU-0"] = [GpuProc(1003, 1, 50.0)]
    asked: list[int] = []
    read = node.proc.moved

    def moved(pid: int) -> Moved:
        asked.append(pid)
        return read(pid)

    monkeypatch.setattr(node.proc, "moved", moved)
    node.turn(30)

    assert set(asked) == {1003}
    assert node.loop.tables.processes.by_pid[1003].moved == (1, 5, 3)

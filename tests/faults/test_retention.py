"""The spool stays within its bounds; what was not collected is given up last, oldest first, and told."""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slurm_guard import wire
from slurm_guard.clock import FakeClock
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.ingest import collect
from slurm_guard.sampler.retention import Retention
from tests.faults.disk import refusing
from tests.unit.sampler.fakes import BOOT, NODE, Node

DAY_S = 86_400.0


def node_at(root: Path, **more: Any) -> Node:
    """A node whose clock agrees with the files' times."""
    settings = {"sample_interval_s": 10.0, "table_interval_s": 600.0, "window_s": 60.0, **more}
    return Node(root, n_gpus=2, clock=FakeClock(float(int(time.time()))), **settings)


def names(node: Node, kind: str) -> list[str]:
    return sorted(path.name for path in (Path(node.folders.spool) / kind).iterdir())


def size_b(node: Node) -> int:
    return sum(p.stat().st_blocks * 512 for p in Path(node.folders.spool).rglob("*") if p.is_file())


def fill(node: Node, kind: str, name: str, kib: int, days_old: float = 0.0) -> Path:
    path = Path(node.folders.spool) / kind / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b'{"k":"ballast"}' + b" " * ((kib << 10) - 16) + b"\n" if kib else b"")
    at = node.clock.now_at() - days_old * DAY_S
    os.utime(path, (at, at))
    return path


def acknowledge(node: Node, *paths: Path) -> None:
    lines = [f"{path.parent.name}/{path.name} {path.stat().st_size}\n" for path in paths]
    folder = Path(node.folders.spool) / "collected"
    (folder / "collect.list").write_text("".join(lines))


def run_of(job_id: int, at: float) -> str:
    return wire.run_key("c", job_id, NODE, BOOT, at)


def sealed_segment(node: Node, job_id: int, seq: int, kib: int, days_old: float = 0.0) -> Path:
    """A segment of a run that is over and sealed."""
    at = node.clock.now_at() - 40 * DAY_S
    stem = wire.stem(run_of(job_id, at))
    fill(node, "seals", f"{stem}.json", 1)
    return fill(node, "sealed", f"{stem}.{seq:06d}.jsonl", kib, days_old)


def retention(node: Node) -> Retention:
    (part,) = (part for part in node.loop.parts if isinstance(part, Retention))
    return part


def test_within_its_bounds_nothing_is_removed(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1)
    paths = [sealed_segment(node, 7, seq, 100) for seq in range(5)]
    acknowledge(node, *paths)

    node.turn(300)

    assert all(path.exists() for path in paths)


def test_what_was_collected_goes_first_even_if_it_is_younger(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1)
    paths = [sealed_segment(node, 7, seq, 200, 10 - seq) for seq in range(7)]
    acknowledge(node, paths[4], paths[5])

    node.turn(200)

    assert [path.exists() for path in paths] == [True] * 4 + [False] * 2 + [True]
    assert node.records("lost") == node.events("segment-given-up") == []
    assert size_b(node) <= 1 << 20


def test_then_the_oldest_and_each_is_told(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1)
    paths = [sealed_segment(node, 7, seq, 200, 10 - seq) for seq in range(7)]

    node.turn(200)

    assert [path.exists() for path in paths] == [False] * 2 + [True] * 5
    assert [(lost["seq"], lost["reason"]) for lost in node.records("lost")] == [(0, "space"), (1, "space")]
    assert [event["detail"]["seq"] for event in node.events("segment-given-up")] == [0, 1]
    told = retention(node).tell()
    assert (told["removed"], told["given_up"]) == (2, 2)


def test_an_acknowledgement_of_another_size_is_none(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1)
    paths = [sealed_segment(node, 7, seq, 400, 10 - seq) for seq in range(3)]
    acknowledge(node, *paths)
    fill(node, "sealed", paths[1].name, 404, 9)

    node.turn(200)

    assert [path.exists() for path in paths] == [False, True, True]


@pytest.mark.parametrize("plant", ["link", "pipe", "folder", "noise"])
def test_a_list_that_is_none_is_no_acknowledgement_and_holds_nobody_up(tmp_path: Path, plant: str) -> None:
    node = node_at(tmp_path, spool_mib=1)
    paths = [sealed_segment(node, 7, seq, 400, 10 - seq) for seq in range(3)]
    acknowledge(node, paths[2])
    folder = Path(node.folders.spool) / "collected"
    (folder / "collect.list").rename(tmp_path / "elsewhere")
    if plant == "link":
        (folder / "collect.list").symlink_to(tmp_path / "elsewhere")
    elif plant == "pipe":
        os.mkfifo(folder / "collect.list")
    elif plant == "folder":
        (folder / "collect.list").mkdir()
    else:
        (folder / "collect.list").write_bytes(b"\xff\n" + b"sealed/" * 10_000)

    node.turn(200)

    assert [path.exists() for path in paths] == [False, True, True]


def test_a_running_runs_segments_may_go_and_its_seal_says_so(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1, segment_s=600.0)
    run = node.ticket(9, 1000, [0])
    node.turn(1900)
    first = names(node, "sealed")
    stem = wire.stem(run)
    old = [Path(node.folders.spool) / "sealed" / name for name in first if name.startswith(f"{stem}.00000")]
    for path in old[:2]:
        os.utime(path, (1e9, 1e9))
    fill(node, "bad", "ballast", 1000)
    fill(node, "open", "ballast", 1020)

    node.turn(200)
    gone = [path.name for path in old if not path.exists()]
    node.sampler()  # a restart must not give a number twice
    node.turn(700)
    node.mark_end(run, 9)
    node.turn(100)

    seal = node.seal(run)
    assert gone[:2] == [path.name for path in old[:2]]
    assert [part[0] for part in seal["segments"]] == list(range(len(seal["segments"])))
    lost = [part[0] for part in seal["lost"]]
    assert sorted(lost) == sorted(r["seq"] for r in node.records("lost") if r["run"] == run)
    assert {0, 1} <= set(lost)
    listed = {part[0] for part in seal["segments"]} - set(lost)
    there = {int(name[-12:-6]) for name in names(node, "sealed") if name.startswith(stem)}
    assert there == listed


def test_marks_of_runs_that_are_not_sealed_and_open_segments_never_go(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1, spool_days=1.0)
    run = node.ticket(9, 1000, [0])
    node.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_9/step_batch/user/task_0")
    node.turn(60)
    ticket = fill(node, "tickets", f"{wire.stem(run)}.json", 4, 400)
    end = fill(node, "ends", "9_1.json", 4, 400)
    reading = fill(node, "progress", f"{wire.stem(run)}.000003.jsonl", 4, 400)
    older = fill(node, "progress", f"{wire.stem(run)}.000002.jsonl", 4, 400)
    opened = fill(node, "open", "ballast", 3000, 400)
    acknowledge(node, ticket, end, reading, older)

    node.turn(300)
    said = [event["detail"]["most_b"] for event in node.events("spool-over-bounds")]
    node.turn(4200)

    assert all(path.exists() for path in (ticket, end, reading, opened))
    assert not older.exists()
    assert said == [1 << 20]


@pytest.mark.parametrize(
    ("days_old", "acked", "left"), [(2, True, 0), (2, False, 3), (9, False, 0), (0.5, True, 3)]
)
def test_marks_of_sealed_runs_go_by_age_the_seal_last(
    tmp_path: Path, days_old: float, acked: bool, left: int
) -> None:
    node = node_at(tmp_path, spool_days=2.0 - 0.5)
    stem = wire.stem(run_of(7, node.clock.now_at() - 40 * DAY_S))
    seal = fill(node, "seals", f"{stem}.json", 1, days_old)
    marks = [
        fill(node, "tickets", f"{stem}.json", 1, days_old),
        fill(node, "ends", "7_1.json", 1, days_old),
        seal,
    ]
    if acked:
        acknowledge(node, *marks)

    node.turn(4000)

    assert sum(path.exists() for path in marks) == left
    assert len(node.events("mark-given-up")) == (0 if left or acked else 3)


def test_a_seal_stays_while_its_ticket_stands_in_the_run_folder(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_days=1.0)
    stem = wire.stem(run_of(7, node.clock.now_at() - 40 * DAY_S))
    seal = fill(node, "seals", f"{stem}.json", 1, 30)
    ticket = Path(node.folders.run) / "tickets" / f"{stem}.json"
    ticket.write_text("{}")

    for _ in range(40):
        node.turn(100)
        assert seal.exists() or not ticket.exists()  # else the run would be taken up again

    assert not seal.exists()


def test_a_clock_that_is_set_far_ahead_gives_nothing_up_before_it_was_set_right(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_days=2.0)
    paths = [sealed_segment(node, 7, seq, 4) for seq in range(3)]
    node.turn(4000)

    node.clock.step_s(400 * DAY_S)
    node.turn(1800)
    node.clock.step_s(-400 * DAY_S)
    node.turn(4000)

    assert all(path.exists() for path in paths)


def test_a_round_looks_at_a_few_hundred_files_at_a_time(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1)
    for n in range(3000):
        fill(node, "ends", f"{n}_1.json", 0)
    part = retention(node)
    node.turn(20)
    part._round = None
    part._due_s = None
    looked = []
    for _ in range(12):
        before = part._round
        part.tick(node.loop.now())
        looked.append(before is not None)

    assert sum(looked) >= 3000 // 512, "a round of 3,000 files takes several ticks"


def test_a_disk_too_full_for_the_word_gets_it_later_and_gives_up_no_more_meanwhile(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1)
    paths = [sealed_segment(node, 7, seq, 40, 100 - seq) for seq in range(90)]
    spool = node.folders.spool

    with refusing(spool, lambda n, name: errno.ENOSPC if name in ("write", "open") else None):
        node.turn(300)
        left = sum(path.exists() for path in paths)
    node.turn(400)

    assert 90 - 32 <= left < 90
    gone = {int(path.name[-12:-6]) for path in paths if not path.exists()}
    assert {r["seq"] for r in node.records("lost")} == gone
    assert size_b(node) <= 1 << 20


def test_a_collector_that_was_away_for_half_a_day_gets_all_but_the_told_losses(tmp_path: Path) -> None:
    def live(name: str, spool_mib: int, collects: bool) -> tuple[Node, Path]:
        settings = {"sample_interval_s": 30.0, "table_interval_s": 1800.0, "segment_s": 1800.0}
        node = node_at(tmp_path / name, spool_mib=spool_mib, **settings)
        lake = tmp_path / name / "lake"
        for hour in range(12):
            if hour % 3 == 0:
                runs.append((node.ticket(hour + 1, 1000, [0]), hour + 1))
            node.turn(3600)
            if hour % 3 == 2:
                node.mark_end(*runs[-1])
            if collects:
                collect([tmp_path / name / "spool"], lake)
        node.turn(120)
        collect([tmp_path / name / "spool"], lake)
        return node, lake

    runs: list[tuple[str, int]] = []
    at = time.time()
    clock = FakeClock(float(int(at)))
    connected, here = live("connected", 1, True)
    away, there = live("away", 1, False)
    span = (clock.now_at() - DAY_S, clock.now_at() + 3 * DAY_S)

    whole, skips = read_frames(here, "", *span)
    rest, said = read_frames(there, "", *span)

    assert connected.records("lost") == []
    assert skips == ()
    lost = {(r["run"], r["seq"]) for r in away.records("lost")} | {
        (seal["run"], part[0]) for seal in _seals(away) for part in seal["lost"] or []
    }
    assert len(lost) > 3
    assert {skip.reason for skip in said} == {"segment-given-up"}
    shift_s = whole["windows"]["start_at"].min() - float(int(at))  # type: ignore[operator]
    assert shift_s < 600
    n_lost = whole["windows"].height - rest["windows"].height
    told = sum(r["n"] for r in away.records("lost"))
    assert 0 < n_lost <= told
    kept = rest["windows"].select("gpu", "start_mono_s")
    assert kept.join(
        whole["windows"].select("gpu", "start_mono_s"), on=["gpu", "start_mono_s"]
    ).height == len(kept)
    assert rest["tickets"].height == whole["tickets"].height == 4
    assert rest["seals"].height == whole["seals"].height


def _seals(node: Node) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in (Path(node.folders.spool) / "seals").iterdir()]


def test_the_lakes_frames_of_losses_are_typed(tmp_path: Path) -> None:
    node = node_at(tmp_path, spool_mib=1)
    for seq in range(7):
        sealed_segment(node, 7, seq, 200, 10 - seq)
    node.turn(200)
    node.loop.stop("test")
    collect([tmp_path / "spool"], tmp_path / "lake")

    frames, _ = read_frames(tmp_path / "lake", "", node.clock.now_at() - DAY_S, node.clock.now_at() + DAY_S)

    assert frames["lost"]["seq"].to_list() == [0, 1]
    assert frames["lost"].schema["seq"] == pl.Int64

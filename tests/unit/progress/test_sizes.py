"""What stands behind the names of checkpoints, and what looking at them may cost."""

import os
import resource
import time
from pathlib import Path

import pytest

from slurm_guard.progress import checkpoints, child, opener, sizes
from slurm_guard.progress import walk as walking
from slurm_guard.progress.bracket import Frame
from slurm_guard.progress.checkpoints import Saved, settle, spread
from slurm_guard.progress.request import Limits, Request
from slurm_guard.progress.walk import Walked, walk

MODEL = b"x" * 50_000


def look(tmp_path: Path) -> Walked:
    now = time.time()
    return walk(str(tmp_path), now - 60, now + 60)


def told(found: Walked) -> list[int]:
    """Steps that are believed."""
    now = time.time()
    return [
        point.step or 0
        for saved in found.saved.values()
        for point in settle((0, "checkpoint:w~1"), saved, [], Frame(now - 60, now + 60, None))[0]
    ]


def test_names_of_one_inode_are_one_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "fresh.bin").write_bytes(MODEL)
    for step in range(100, 3000, 100):
        os.link(tmp_path / "fresh.bin", tmp_path / f"step_{step}.pt")

    found = look(tmp_path)

    assert told(found) == [100]
    assert found.problems == ["same-checkpoint: 28 more names of files told already"]


def test_a_link_to_what_was_there_already_weighs_nothing(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.bin", tmp_path / "fresh.bin"
    for file in (old, fresh):
        file.write_bytes(MODEL)
    os.utime(old, (1e9, 1e9))
    for step in (100, 200, 300, 400):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        os.link(old, folder / "model.pt")
        os.link(fresh, folder / "optimizer.pt")

    assert len(told(look(tmp_path))) == 1


def test_honest_checkpoints_weigh_what_was_written(tmp_path: Path) -> None:
    for step in (100, 200, 300):
        (tmp_path / f"checkpoint-{step}" / "shards").mkdir(parents=True)
        (tmp_path / f"checkpoint-{step}" / "model.pt").write_bytes(MODEL)
        (tmp_path / f"checkpoint-{step}" / "shards" / "0.distcp").write_bytes(MODEL)

    found = look(tmp_path)

    assert told(found) == [100, 200, 300]
    assert all(one.size_b >= 2 * len(MODEL) for one in found.saved[str(tmp_path)])
    assert found.problems == []


def test_shards_of_checkpoints_do_not_hide_the_logs_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "MAX_ENTRIES", 40)
    for step in range(10):
        folder = tmp_path / "checkpoints" / f"iter_{step:07d}"
        folder.mkdir(parents=True)
        for shard in range(8):
            (folder / f"__{shard}_0.distcp").write_bytes(MODEL)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "metrics.jsonl").write_text("{}\n")

    found = look(tmp_path)

    assert [hit.path for hit in found.hits] == [str(tmp_path / "runs" / "metrics.jsonl")]
    assert told(found) == list(range(10))
    assert found.problems == [walking.CAPPED]  # not every shard was looked at


def test_more_checkpoints_than_are_kept_are_told_and_thinned_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "MOST", 5)
    now_ns = time.time_ns()
    for step in range(9):
        (tmp_path / f"step_{step}.pt").write_bytes(MODEL)
        while (tmp_path / f"step_{step}.pt").stat().st_ctime_ns <= now_ns:
            (tmp_path / f"step_{step}.pt").write_bytes(MODEL)
        now_ns = (tmp_path / f"step_{step}.pt").stat().st_ctime_ns

    found = look(tmp_path)

    assert told(found) == [0, 2, 4, 6, 8]
    assert found.problems == ["many-checkpoints: 9 were found; 5 of them, evenly, are kept"]


def test_what_earlier_readings_knew_is_thinned_evenly_too() -> None:
    saved = [Saved(step, False, 2e9 + step, None, 100_000) for step in range(2 * checkpoints.MOST)]

    points, problems = settle((0, "checkpoint:w~1"), saved, [], Frame(2e9 - 9, 2e9 + 9999, None))

    assert (len(points), points[0].step, points[-1].step) == (512, 0, 1023)
    assert problems == ["many-checkpoints: 1024 are known; 512 of them, evenly, are told"]
    assert spread(range(3), 5) == [0, 1, 2]


def test_checkpoints_that_are_not_measured_in_time_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "MAX_S", -1.0)
    (tmp_path / "step_5.pt").write_bytes(MODEL)

    found = look(tmp_path)

    assert found.saved == {}
    assert found.problems == ["walk-capped: 1 checkpoints were not measured in time"]


def test_a_folder_of_any_size_is_listed_to_the_limit_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "MAX_AT_ONCE", 20)
    monkeypatch.setattr(walking, "MAX_LISTED", 50)
    for nth in range(100):
        (tmp_path / f"{nth}.bin").touch()
    look_state = walking._Look(str(tmp_path), tmp_path.stat().st_dev, (0.0, time.time() + 60))

    told_of = [walking._entries(str(tmp_path), begin, look_state) for begin in (0, 20, 40, 60)]

    assert [(len(entries), left) for entries, left in told_of] == [
        (20, True), (20, True), (11, True), (0, True),
    ]  # fmt: skip
    assert look(tmp_path).problems == [
        "walk-capped: 1 folders with more than 20 entries were looked at in part"
    ]


def test_a_folder_is_not_listed_on_when_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "MAX_S", -1.0)
    for nth in range(600):
        (tmp_path / f"{nth}.bin").touch()
    look_state = walking._Look(str(tmp_path), tmp_path.stat().st_dev, (0.0, time.time() + 60))

    assert len(walking._entries(str(tmp_path), 0, look_state)[0]) == 256


def test_the_walk_has_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(*_: object) -> Walked:
        return Walked([], [f"limit: {resource.getrlimit(resource.RLIMIT_AS)[0]}"], {}, {})

    monkeypatch.setattr(opener, "walk", tell)
    now = time.time()
    request = Request(
        "c/1/n1/ab/1", "n1", "c", os.geteuid() or 65_534, None, 0, Frame(now - 9, now, None), str(tmp_path),
        str(tmp_path), "nobody", Limits(1 << 20, 1 << 20, 60.0), (), False, [],
    )  # fmt: skip

    (row,) = opener.open_files(request, time.monotonic() + 30)

    assert row.problem == f"limit: {child.MEMORY_B}"

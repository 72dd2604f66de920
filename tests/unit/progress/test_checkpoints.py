"""Checkpoints by name: which names tell a step, whose they are, and what an earlier reading saw."""

import json
import os
import time
from pathlib import Path

import pytest

from slurm_guard.progress.bracket import Frame
from slurm_guard.progress.checkpoints import Kept, Saved, counter_of, parse_kept, parse_saved, settle
from slurm_guard.progress.node import Result, read_run
from slurm_guard.progress.opener import open_own
from slurm_guard.progress.request import parse_request

FOLDERS = {
    "checkpoint-500": 500, "global_step100": 100, "iter_0000500": 500, "step-500": 500, "step1000": 1000,
    "step1000-unsharded": 1000, "global_step_100": 100, "checkpoint_1000": 1000,
    "step1-unsharded": 1, "step5-tokens20B": 5, "step5-hf": 5, "step_2_ema": 2,
}  # fmt: skip
FILES = {
    "step_1000.pt": 1000, "epoch=3-step=900.ckpt": 900, "ep0-ba500-rank0.pt": 500, "ckpt_1000.pt": 1000,
    "checkpoint_3_5000.pt": 5000, "model.ckpt-1000.index": 1000, "rl_model_10000_steps.zip": 10_000,
    "model-step=1000-val_loss=2.34.ckpt": 1000,
    "megatron_gpt--val_loss=2.34-step=1000-consumed_samples=256000.0.ckpt": 1000,
    "state_iter_20000.pth": 20_000, "epoch_3_step_900.pt": 900, "rank_0_step_100.pt": 100,
    "mp_rank_00_step_200.pt": 200, "hidden_128_step_50000.pt": 50_000, "epoch_2_steps_1000.pt": 1000,
    "epoch=3-batch=500.ckpt": 500, "step_20240101000.pt": 20_240_101_000, "step_20240000.pt": 20_240_000,
}  # fmt: skip
EPOCHS = {"epoch_10.pth": 10, "model_epoch5.pth": 5, "checkpoint12.pt": 12, "checkpoint-12.pth.tar": 12}
NONE = ("last.ckpt", "model.pt", "resnet50.pth", "best.pt", "model-00001-of-00004.safetensors", "step_10.txt",
        "llama-3.1-8b.safetensors", "step_1.5.pt", "frame_0001.png", "optimizer.pt",
        "model_step1e5.pt", "checkpoint_2024-11-26.pt", "ckpt_20241126.pt", "checkpoint-20241126_101500.pt",
        "batch-1000.tar", "batch_0001.npz", "epoch_2024_11_26.pt")  # fmt: skip


@pytest.mark.parametrize(("name", "step"), FOLDERS.items())
def test_a_folders_name_tells_its_step(name: str, step: int) -> None:
    assert counter_of(name, "/w/out", is_folder=True) == (step, False)


@pytest.mark.parametrize(("name", "step"), FILES.items())
def test_a_files_name_tells_its_step(name: str, step: int) -> None:
    assert counter_of(name, "/w/out", is_folder=False) == (step, False)


@pytest.mark.parametrize(("name", "epoch"), EPOCHS.items())
def test_a_name_with_an_epoch_alone_counts_epochs(name: str, epoch: int) -> None:
    assert counter_of(name, "/w/out", is_folder=False) == (epoch * 1_000_000, True)


@pytest.mark.parametrize("name", NONE)
def test_other_names_tell_none(name: str) -> None:
    assert counter_of(name, "/w/out", is_folder=False) is None


@pytest.mark.parametrize("name", ["exp_batch64", "step1_preprocess", "ppo_3_steps_per_update", "20240101",
                                  "checkpoint_2024-11-26", "20241126101500",
                                  "step1-sharded_data", "step2_hf_export", "step3-tokens"])  # fmt: skip
def test_other_folders_tell_none(name: str) -> None:
    assert counter_of(name, "/w/checkpoints", is_folder=True) is None


@pytest.mark.parametrize("name", ["tmp-checkpoint-500", "checkpoint-500.tmp", "1000.orbax-checkpoint-tmp-7"])
def test_a_save_under_way_is_none_yet(name: str) -> None:
    assert counter_of(name, "/w/checkpoints", is_folder=True) is None


def test_a_bare_number_counts_in_a_folder_for_checkpoints_only() -> None:
    assert counter_of("1000", "/w/checkpoints", is_folder=True) == (1000, False)
    assert counter_of("1000", "/w/images", is_folder=True) is None


FRAME = Frame(2e9 - 7200, 2e9, None)
MIB = 1 << 20


def saved(step: int, ago_s: float, size_b: int = 100 * MIB, born_s: float | None = 30) -> Saved:
    at = 2e9 - ago_s
    return Saved(step, False, at, None if born_s is None else at - born_s, size_b)


def test_its_time_lies_between_birth_and_last_change() -> None:
    points, problems = settle((3, "checkpoint:out~1"), [saved(200, 600), saved(100, 1200)], [], FRAME)

    assert [(p.step, p.obs_lo_at, p.obs_hi_at) for p in points] == [
        (100, 2e9 - 1232, 2e9 - 1200), (200, 2e9 - 632, 2e9 - 600),
    ]  # fmt: skip
    assert {tuple(p.flags) for p in points} == {("weak",)}
    assert all(p.at is None for p in points)
    assert problems == []


def test_names_without_content_are_none() -> None:
    points, problems = settle((0, "checkpoint:o~1"), [saved(1, 90), saved(2, 60), saved(3, 30, 0)], [], FRAME)

    assert [p.step for p in points] == [1, 2]
    assert problems == ["empty-checkpoint: 1 names with little or nothing on disk"]


def test_what_was_made_before_the_run_is_not_its_own_though_it_was_changed() -> None:
    points, problems = settle((0, "checkpoint:o~1"), [saved(1, 90, born_s=9000), saved(2, 60)], [], FRAME)

    assert [p.step for p in points] == [2]
    assert problems == ["before-run: 1 checkpoints are older than the run"]


def test_one_that_was_deleted_since_an_earlier_reading_still_counts() -> None:
    kept = [Kept("/w", 100, False, 2e9 - 4000, 2e9 - 3990), Kept("/w", 200, False, None, 2e9 - 2000)]

    points, _ = settle((0, "checkpoint:w~1"), [saved(200, 100), saved(300, 50)], kept, FRAME)

    assert [(p.step, p.obs_hi_at) for p in points] == [(100, 2e9 - 3990), (200, 2e9 - 2000), (300, 2e9 - 50)]


def test_a_step_below_the_one_before_opens_a_segment() -> None:
    points, _ = settle((0, "checkpoint:w~1"), [saved(500, 300), saved(200, 200), saved(300, 100)], [], FRAME)

    assert [(p.step, p.segment, p.flags) for p in points] == [
        (500, 0, ["weak"]), (200, 1, ["step-back", "weak"]), (300, 1, ["weak"]),
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [None, 7, [[1]], [[-1, False, 2e9, None, 1]], [[1, 0, 2e9, None, 1]],
                                 [[1, False, 1e400, None, 1]], [[1, False, 2e9, "x", 1]]])  # fmt: skip
def test_what_is_no_checkpoint_in_a_message_is_left_out(bad: object) -> None:
    assert parse_saved(bad) == ()
    assert parse_kept(bad) == []


def run_in(tmp_path: Path, **more: object) -> Result:
    now = time.time()
    asked = {
        "run": "c/1/n1/ab/1", "node": "n1", "cluster": "c", "uid": os.getuid(), "gid": os.getgid(), "read": 0,
        "at": now + 1, "ticket_at": now - 600, "ended_at": None, "work_dir": str(tmp_path / "w"),
        "out": str(tmp_path), "limits": {"timeout_s": 240}, "files": [], **more,
    }  # fmt: skip
    return read_run(parse_request(json.dumps(asked).encode()), open_own)


def test_a_reading_holds_a_row_for_the_folder_and_its_checkpoints(tmp_path: Path) -> None:
    for step in (100, 200):
        folder = tmp_path / "w" / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "pytorch_model.bin").write_bytes(b"x" * 50_000)
        (folder / f"shard_step_{step}.pt").write_bytes(b"x")  # inside: no checkpoint of its own
    (tmp_path / "w" / "out" / "checkpoint-300").mkdir()
    kept = [[str(tmp_path / "w" / "out"), 50, False, None, time.time() - 60]]

    result = run_in(tmp_path, checkpoints=kept)

    (log,) = result.logs
    assert (log.source, log.how, log.n, log.bind_conf) == ("checkpoint", "walk", 3, 0.5)
    assert log.ino == (tmp_path / "w" / "out").stat().st_ino
    assert log.problems == ["empty-checkpoint: 1 names with little or nothing on disk"]
    assert [p.step for p in result.points] == [50, 100, 200]


def test_links_and_old_checkpoints_are_not_seen(tmp_path: Path) -> None:
    work = tmp_path / "w"
    work.mkdir()
    (tmp_path / "checkpoint-100").mkdir()
    (work / "checkpoint-100").symlink_to(tmp_path / "checkpoint-100")
    (work / "step_5.pt").write_bytes(b"x" * 50_000)
    os.utime(work / "step_5.pt", (1e9, 1e9))

    assert run_in(tmp_path).logs == []

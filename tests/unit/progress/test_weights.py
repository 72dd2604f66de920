"""Which files are the newest checkpoint's model, and what a reading says of its size."""

import json
import os
import time
from pathlib import Path

import pytest

from slurm_guard.progress import weights
from slurm_guard.progress.node import read_run
from slurm_guard.progress.opener import open_own
from slurm_guard.progress.request import parse_request
from slurm_guard.progress.safetensors import parse_models
from slurm_guard.wire import LogFile
from tests.unit.progress.weight_files import BLOCK, block, save


def read(tmp_path: Path, **more: object) -> list[LogFile]:
    now = time.time()
    asked = {
        "run": "c/1/n1/ab/1", "node": "n1", "cluster": "c", "uid": os.getuid(), "gid": os.getgid(), "read": 0,
        "at": now + 1, "ticket_at": now - 600, "ended_at": None, "work_dir": str(tmp_path),
        "out": str(tmp_path), "limits": {"timeout_s": 240}, "pids": [], "files": [], **more,
    }  # fmt: skip
    return read_run(parse_request(json.dumps(asked).encode()), open_own).logs


def told(tmp_path: Path) -> tuple[int | None, int | None, str | None, list[str]]:
    """Of the one folder with checkpoints."""
    (log,) = [log for log in read(tmp_path) if log.source == "checkpoint"]
    return log.params, log.dense, log.params_from, log.problems


def sharded(folder: Path, n: int, first: int = 1) -> None:
    for nth in range(n):
        save(folder / f"model-{first + nth:05d}-of-{n:05d}.safetensors", block(nth))


@pytest.mark.parametrize("first", [0, 1])
def test_the_shards_of_the_newest_checkpoint_are_added_up(tmp_path: Path, first: int) -> None:
    sharded(tmp_path / "out" / "checkpoint-100", 2)
    (tmp_path / "out" / "checkpoint-100" / "optimizer.safetensors").write_bytes(b"x" * 9000)
    time.sleep(0.02)
    sharded(tmp_path / "out" / "checkpoint-200", 3, first)

    assert told(tmp_path) == (3 * BLOCK, 3 * BLOCK, "header", [])


def test_a_single_file_and_diffusers_folders_are_models(tmp_path: Path) -> None:
    save(tmp_path / "a" / "step_100.safetensors", block(0))
    save(tmp_path / "b" / "checkpoint-7" / "unet" / "diffusion_pytorch_model.safetensors", block(0))
    save(tmp_path / "b" / "checkpoint-7" / "unet_ema" / "diffusion_pytorch_model.safetensors", block(0))

    assert [log.params for log in read(tmp_path)] == [BLOCK, BLOCK]


def test_without_the_newest_whole_the_one_before_it_tells(tmp_path: Path) -> None:
    sharded(tmp_path / "checkpoint-100", 2)
    time.sleep(0.02)
    sharded(tmp_path / "checkpoint-200", 2)
    half = tmp_path / "checkpoint-200" / "model-00002-of-00002.safetensors"
    half.write_bytes(half.read_bytes()[:-1])
    assert told(tmp_path)[0] == 2 * BLOCK

    half.unlink()
    assert told(tmp_path)[0] == 2 * BLOCK


def test_a_missing_shard_is_told_and_gives_no_figure(tmp_path: Path) -> None:
    sharded(tmp_path / "checkpoint-100", 3)
    (tmp_path / "checkpoint-100" / "model-00002-of-00003.safetensors").unlink()

    missing = "few-shards: 2 of 3 files of the model are in the checkpoint"
    assert told(tmp_path) == (None, None, None, [missing])


def test_two_models_in_a_checkpoint_are_not_added(tmp_path: Path) -> None:
    for name in ("model", "model_1"):
        save(tmp_path / "checkpoint-100" / f"{name}.safetensors", block(0))

    assert told(tmp_path) == (None, None, None, ["several-models: 2 models are in the checkpoint"])


def test_an_adapter_and_a_checkpoint_without_safetensors_say_nothing(tmp_path: Path) -> None:
    save(tmp_path / "checkpoint-100" / "adapter_model.safetensors", block(0))
    save(tmp_path / "checkpoint-200" / "pytorch_lora_weights.safetensors", block(0))
    (tmp_path / "checkpoint-300").mkdir()
    (tmp_path / "checkpoint-300" / "pytorch_model.bin").write_bytes(b"x" * 50_000)

    assert told(tmp_path) == (None, None, None, [])


def test_a_model_that_was_there_before_the_run_is_not_the_runs(tmp_path: Path) -> None:
    old = save(tmp_path / "checkpoint-100" / "model.safetensors", block(0))
    os.utime(old, (1e9, 1e9))
    (tmp_path / "checkpoint-100" / "optimizer.pt").write_bytes(b"x" * 50_000)

    old_weights = "old-weights: files of the model were there before the run"
    assert told(tmp_path) == (None, None, None, [old_weights])


def test_no_link_pipe_or_folder_is_opened_as_a_models_file(tmp_path: Path) -> None:
    outside = save(tmp_path / "elsewhere.bin", block(0))
    for nth in range(3):
        folder = tmp_path / f"w{nth}" / "checkpoint-100"
        folder.mkdir(parents=True)
        (folder / "optimizer.pt").write_bytes(b"x" * 50_000)
    (tmp_path / "w0" / "checkpoint-100" / "model.safetensors").symlink_to(outside)
    os.mkfifo(tmp_path / "w1" / "checkpoint-100" / "model.safetensors")
    (tmp_path / "w2" / "checkpoint-100" / "model.safetensors").mkdir()

    logs = read(tmp_path)

    assert [log.params for log in logs] == [None, None, None]
    assert [log.problems for log in logs] == [
        ["symlink: a symbolic link is not followed"], ["not-regular: a FIFO, device, socket or folder"], [],
    ]  # fmt: skip


def test_files_and_folders_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MAX_FOLDERS", 2)
    monkeypatch.setattr(weights, "MAX_SHARDS", 3)
    for name, n in (("a", 2), ("b", 2), ("c", 1)):
        sharded(tmp_path / name / "checkpoint-100", n)
        time.sleep(0.02)

    logs = read(tmp_path)

    assert [(Path(log.path).name, log.params) for log in logs] == [
        ("a", None),
        ("b", 2 * BLOCK),
        ("c", BLOCK),
    ]
    assert logs[0].problems == ["weights-unread: other folders' checkpoints came first"]


def test_what_an_earlier_reading_told_stays_when_the_checkpoint_is_gone(tmp_path: Path) -> None:
    folder = str(tmp_path)
    kept = {"checkpoints": [[folder, 50, False, None, time.time() - 60]], "models": [[folder, 900, 700]]}

    (gone,) = read(tmp_path, **kept)
    save(tmp_path / "checkpoint-100" / "model.safetensors", block(0))
    (there,) = read(tmp_path, **kept)

    assert (gone.params, gone.dense, gone.params_from) == (900, 700, "header")
    assert (there.params, there.dense) == (BLOCK, BLOCK)


@pytest.mark.parametrize(
    "bad",
    [
        None, 7, [7], [["/w", 0, None]], [["/w", 5, 6]], [["/w", 1e3, None]], [[1, 5, 5]],
        [["/w", 10**15, None]], [["/w", True, None]],
    ],
)  # fmt: skip
def test_what_is_no_model_in_a_request_is_left_out(bad: object) -> None:
    assert parse_models(bad) == []


def test_weights_that_the_job_has_open_are_still_counted(tmp_path: Path) -> None:
    path = save(tmp_path / "checkpoint-100" / "model.safetensors", block(0))

    logs = read(tmp_path, files=[{"path": str(path), "how": "fd", "pids": [7], "obs": []}])

    assert [(log.how, log.params) for log in logs] == [("fd", None), ("walk", BLOCK)]

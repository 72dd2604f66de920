"""MLflow's file store: one file a key, several keys a run."""

import os
from pathlib import Path

import pytest

from slurm_guard.progress.registry import choose
from slurm_guard.progress.unit import Input, read_unit
from slurm_guard.progress.walk import MAX_KEYS, is_known, walk

LINES = b"".join(b"%d %r %d\n" % (1_795_474_227_384 + n, 1 / (n + 1), n) for n in range(5))


def read(tmp_path: Path, files: dict[str, bytes]) -> list[tuple[str, str | None, list[int | None]]]:
    """(key, source, steps) of every file of one run, read as one unit."""
    inputs = []
    for file, (name, data) in enumerate(files.items()):
        path = tmp_path / "mlruns" / "0" / "abc" / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        inputs.append(Input(file, os.open(path, os.O_RDONLY), str(path), "walk", len(data), 1 << 20))
    told, marks = read_unit(inputs)
    for one in inputs:
        os.close(one.fd)
    steps = [[mark.step for mark in marks if mark.file == row.file] for row in told]
    return [(name, row.source, said) for name, row, said in zip(files, told, steps, strict=True)]


def test_the_longest_key_speaks_and_an_evaluations_only_where_nothing_else_does(tmp_path: Path) -> None:
    found = read(tmp_path, {"loss": LINES, "lr": LINES[:60], "val_loss": LINES * 2})

    assert [steps for _, _, steps in found] == [[0, 1, 2, 3, 4], [], []]


def test_a_record_has_its_time_and_the_step_may_repeat(tmp_path: Path) -> None:
    assert read(tmp_path, {"loss": LINES + LINES})[0] == ("loss", "mlflow", [0, 1, 2, 3, 4])


def test_a_torn_last_line_is_not_believed(tmp_path: Path) -> None:
    assert read(tmp_path, {"loss": LINES + b"1795474227400 0.1 1"})[0][2] == [0, 1, 2, 3, 4]


def test_a_value_that_is_no_number_costs_no_step(tmp_path: Path) -> None:
    assert read(tmp_path, {"loss": b"1795474227384 nan 3\n1795474227385 1.0 4\n"})[0][2] == [3, 4]


@pytest.mark.parametrize(
    ("head", "path", "name"),
    [
        (LINES, "/w/mlruns/0/abc/metrics/loss", "mlflow"),
        (LINES[:26], "/w/mlruns/0/abc/metrics/loss", "mlflow"),
        (LINES, "/w/copy.txt", "mlflow"),
        (LINES[:26], "/w/two-numbers.txt", "text"),
        (LINES, "/w/mlruns/0/abc/metrics/system/cpu", "text"),
        (b"1795474227384 1.0\n" * 5, "/w/mlruns/0/abc/metrics/loss", "text"),
        (b"1795474227384 1.0 5\nand words\n", "/w/mlruns/0/abc/metrics/loss", "text"),
        (b"1795474227384 1.0 5\n1795474227384 1.0 4\n" * 3, "/w/table.txt", "text"),
    ],
)
def test_a_file_of_a_key_is_known_by_all_of_its_lines(head: bytes, path: str, name: str) -> None:
    source = choose(head, path, "walk")

    assert source is not None
    assert source.name == name


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/w/mlruns/0/abc/metrics/loss", True),
        ("/w/mlruns/0/abc/metrics/train/loss", True),
        ("/w/mlruns/0/abc/metrics/system/cpu", False),
        ("/w/mlruns/0/abc/params/lr", False),
        ("/w/metrics/loss", False),
        ("/w/wandb/run-x/run-x.wandb", True),
        ("/w/out/checkpoint-500/trainer_state.json", True),
        ("/w/out/checkpoint-500/config.json", False),
    ],
)
def test_the_walk_knows_the_names(path: str, known: bool) -> None:
    assert is_known(path) is known


def test_the_walk_finds_a_key_in_parts_and_not_every_key_of_a_run(tmp_path: Path) -> None:
    for name in ("train/loss", "system/cpu", *(f"acc_{n}" for n in range(40))):
        path = tmp_path / "mlruns" / "0" / "abc" / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LINES)

    hits, problems, *_ = walk(str(tmp_path), 0.0, 4e9)

    assert (len(hits), problems) == (MAX_KEYS, [])
    assert not any("system" in hit.path for hit in hits)

"""Names under which progress is found by the walk and ranked by the sampler."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.progress import walk as walking
from slurm_guard.progress.walk import is_known, walk
from slurm_guard.sampler.paths import KNOWN, rank

NAMES = (
    "metrics.csv", "progress.csv", "measurements.csv", "results.csv", "train_log.csv", "monitor.csv",
    "0.monitor.csv", "md.log", "log.lammps", "OSZICAR", "rsl.out.0000", "rsl.error.0000",
    "trainer_log.jsonl", "logging.jsonl", "scalars.json",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_names_of_tables_logs_and_simulations_are_known_to_both_halves(name: str) -> None:
    assert is_known(name)
    assert rank(f"/w/run/{name}") == KNOWN


@pytest.mark.parametrize(
    "name", ["train.csv", "data.csv", "rsl.out.0001x", "POSCAR", "log.lammps.bak", "x.log"]
)
def test_names_of_data_are_not_looked_into(name: str) -> None:
    assert not is_known(name)


def test_the_walk_finds_them_where_they_were_changed_in_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "lightning_logs" / "version_0"
    folder.mkdir(parents=True)
    for path in (folder / "metrics.csv", tmp_path / "md.log", tmp_path / "train.csv"):
        path.write_text("step,loss\n1,2\n")
    now = time.time()

    hits, problems, *_ = walk(str(tmp_path), now - 60, now + 60)

    assert sorted(os.path.basename(hit.path) for hit in hits) == ["md.log", "metrics.csv"]  # noqa: PTH119
    assert problems == []


def many(folder: Path, n: int) -> None:
    """So many empty files."""
    folder.mkdir(parents=True)
    for nth in range(n):
        os.mknod(folder / f"{nth:06d}.png")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: many files are made in seconds."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Path(folder)


@pytest.mark.parametrize("n", [6_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_huge_folder_leaves_the_others_their_turn(memory: Path, n: int) -> None:
    many(memory / "a_frames", n)
    runs = memory / "runs" / "1"
    runs.mkdir(parents=True)
    (runs / "metrics.jsonl").write_text("{}\n")
    now = time.time()

    hits, problems, *_ = walk(str(memory), now - 600, now + 60)

    assert [hit.path for hit in hits] == [str(runs / "metrics.jsonl")]
    assert problems == ["walk-capped: 1 folders with more than 1000 entries were looked at in part"]


def test_in_a_full_folder_folders_and_known_names_come_first(memory: Path) -> None:
    many(memory / "w", 3_000)
    (memory / "w" / "zz").mkdir()
    for path in (memory / "w" / "zz" / "md.log", memory / "w" / "train.log"):
        path.write_text("step=1\n")
    now = time.time()

    hits, problems, *_ = walk(str(memory / "w"), now - 60, now + 60)

    assert sorted(os.path.basename(hit.path) for hit in hits) == ["md.log", "train.log"]  # noqa: PTH119
    assert problems == []  # what is left of 5,000 entries goes to its rest


def test_a_name_that_is_shown_twice_is_one_hit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may grow between two listings of it."""
    monkeypatch.setattr(walking, "MAX_AT_ONCE", 1)
    (tmp_path / "train.log").write_text("step=1\n")
    (tmp_path / "x").mkdir()
    with os.scandir(tmp_path) as listing:
        (entry,) = (entry for entry in listing if entry.name == "train.log")
    shown = iter([([entry], True), ([entry], False)])
    monkeypatch.setattr(walking, "_entries", lambda *_: next(shown))
    now = time.time()

    hits, problems, *_ = walk(str(tmp_path), now - 60, now + 60)

    assert [hit.path for hit in hits] == [str(tmp_path / "train.log")]
    assert problems == []

"""Names under which progress is found by the walk and ranked by the sampler."""

import os
import time
from pathlib import Path

import pytest

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

    hits, problems, _ = walk(str(tmp_path), now - 60, now + 60)

    assert sorted(os.path.basename(hit.path) for hit in hits) == ["md.log", "metrics.csv"]  # noqa: PTH119
    assert problems == []

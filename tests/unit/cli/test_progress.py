"""`slurm-guard progress step=…` in a job script: a record or nothing, and no exit status that ends it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "from slurm_guard.cli.app import main; main()"


def _tell(path: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    if path is not None:
        env["SLURM_GUARD_PROGRESS"] = str(path)
    return subprocess.run(
        [sys.executable, "-c", MAIN, "progress", *words], env=env, capture_output=True, text=True, check=False
    )


def test_pairs_become_a_record(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.touch()

    for step in (5, 6):
        done = _tell(path, f"step={step}", "tokens=40960", "loss=2.5", "phase=eval", "run=a=b")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [5, 6]
    assert {(row["tokens"], row["loss"], row["phase"], row["run"]) for row in rows} == {
        (40960, 2.5, "eval", "a=b")
    }


@pytest.mark.parametrize("words", [("step=x",), ("step=1", "nonsense"), ("step=1", "force=0"), ("tokens=9",)])
def test_a_slip_ends_no_script(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "p"
    path.touch()

    assert _tell(path, *words).returncode == 0
    assert len(path.read_text().splitlines()) == 1


def test_outside_of_a_job_nothing_happens() -> None:
    done = _tell(None, "step=5")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

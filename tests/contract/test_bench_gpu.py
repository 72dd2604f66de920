"""The script for a real GPU runs, as far as it can, on the simulated library."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu.figures import spread
from bench.sampler import boards

ROOT = Path(__file__).resolve().parents[2]


def _run(out: Path, library: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.gpu", "measure", "--out", str(out), "--poll", "1"]
    env = {**os.environ, "LD_LIBRARY_PATH": str(library)}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc: the rig's NVML cannot be built")
def test_what_needs_no_training_is_measured_and_the_rest_says_why_it_is_missing(tmp_path: Path) -> None:
    with boards(tmp_path, 2):
        run = _run(tmp_path / "out", tmp_path / "gpu")

    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "out" / "measured.json").read_text())
    assert len(found["facts"]) == 2
    assert "energy_mj" in found["facts"][0]["answers"]
    cost = {row["call"]: row for row in found["calls"]}
    # The library takes its time as a driver does (tests/rig/nvml/knobs.h): a process list 4.5 ms.
    assert cost["compute processes"]["p50_us"] > 4000 > cost["energy"]["p50_us"] > 0
    assert [row["counter"] for row in found["counters"]] == ["energy, mJ", "power, mW"]
    assert found["counters"][0]["changes"] >= 2
    assert found["without_training"] in run.stdout


def test_without_nvml_it_says_so_and_measures_nothing(tmp_path: Path) -> None:
    run = _run(tmp_path / "out", tmp_path / "no-library")

    if "names no GPU" not in run.stderr:
        pytest.skip("this machine has a GPU")
    assert run.returncode == 1


def test_a_spread_of_one_value_is_that_value() -> None:
    assert spread([4.0], "ms") == {"p50_ms": 4.0, "p99_ms": 4.0, "worst_ms": 4.0}
    assert spread([], "ms") == {"p50_ms": None, "p99_ms": None, "worst_ms": None}

"""`slurm-guard doctor`: options, exit codes, and a machine on which hardly anything can be looked at."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slurm_guard.config import Config, to_toml
from slurm_guard.doctor.registry import CHECKS


def _run(tmp_path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    code = "from slurm_guard.cli.app import main; main()"
    env = {**os.environ, "SLURM_CONF": str(tmp_path / "slurm.conf"), "COLUMNS": "200", "PATH": str(tmp_path)}
    argv = [sys.executable, "-c", code, "doctor", *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)


def _config(tmp_path: Path, text: str = "") -> list[str]:
    """A guard.toml whose folders are all below tmp_path."""
    whole = to_toml(Config()).replace('"/', f'"{tmp_path}/')
    path = tmp_path / "guard.toml"
    path.write_text(text or whole)
    path.chmod(0o600)
    return ["--config", str(path)]


def test_the_list_names_every_check_and_looks_at_nothing(tmp_path: Path) -> None:
    done = _run(tmp_path, "--list", "--config", "/nowhere")

    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [check.id for check in CHECKS]


def test_an_unknown_check_is_a_matter_of_usage(tmp_path: Path) -> None:
    done = _run(tmp_path, "--check", "sampeler")

    assert done.returncode == 2
    assert (
        done.stderr
        == "slurm-guard: doctor-check: doctor has no check 'sampeler'\nhint: did you mean sampler?\n"
    )


def test_a_wrong_guard_toml_is_a_finding_and_no_error(tmp_path: Path) -> None:
    done = _run(tmp_path, *_config(tmp_path, "[lake\n"), "--check", "guard-toml", "--role", "head")

    assert (done.returncode, done.stderr) == (10, "")
    assert "config-syntax" in done.stdout


@pytest.mark.slow
def test_without_slurm_everything_is_said_and_nothing_raised(tmp_path: Path) -> None:
    done = _run(tmp_path, *_config(tmp_path), "--format", "json", "--role", "all", "--timeout", "2")

    data = json.loads(done.stdout)
    levels = {finding["check"]: finding["level"] for finding in data["findings"]}
    assert done.returncode == 10
    assert levels["slurmctld"] == "problem"
    assert levels["prolog-flags"] == levels["prolog-hook"] == "could not look"
    assert set(levels) == {check.id for check in CHECKS}
    assert not [f["sentence"] for f in data["findings"] if "fault of ours" in f["sentence"]]


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--strict"], 10)])
def test_what_could_not_be_looked_at_counts_only_if_asked(
    tmp_path: Path, words: list[str], code: int
) -> None:
    done = _run(tmp_path, *_config(tmp_path), "--role", "node", "--check", "prolog-flags", *words)

    assert done.returncode == code
    assert done.stdout.startswith("could not look")


@pytest.mark.slow
def test_a_pipe_for_slurm_conf_and_a_silent_scontrol_keep_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slurm.conf")
    for name in ("scontrol", "sinfo", "sacct", "sacctmgr"):
        (tmp_path / name).write_text("#!/bin/sh\nexec /bin/sleep 60\n")
        (tmp_path / name).chmod(0o755)
    began_s = time.monotonic()

    done = _run(tmp_path, *_config(tmp_path), "--role", "all", "--timeout", "1", "--verbose")

    assert done.returncode == 10
    assert "did not answer within 1 s" in done.stdout
    assert "no regular file" in done.stdout
    assert time.monotonic() - began_s < 30

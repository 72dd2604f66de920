"""slurmctld's own configuration: every shape of its lines, and a scontrol that fails, hangs or raves."""

import time
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.slurm.running import load_running, parse_running, parse_version, scontrol_beside

# `scontrol show config` on the rig, its folder's name shortened
RECORDED = (Path(__file__).parents[2] / "fixtures/slurm/22.05/config.txt").read_text()


def test_the_recorded_answer_of_22_05_is_read() -> None:
    running = parse_running(RECORDED)

    assert (running.release, running.version) == ("22.05.8", (22, 5))
    assert running.first("Prolog") == "/rig/libexec/slurm-guard-prolog"
    assert running.words("AccountingStorageTRES")[-2:] == ("gres/gpu:a100", "gres/gpu:h100")
    assert running.seconds("PrologEpilogTimeout") == 30
    assert running.first("PrologSlurmctld") == running.first("PrivateData") == ""
    assert running.stale is False
    assert running.first("CgroupPlugin") == "cgroup/v1"


def test_lists_of_24_05_keep_their_order() -> None:
    running = parse_running("Prolog[0] = /a/*\nProlog[1] = /b\nEpilog[0] = (null)\nSLURM_VERSION = 24.05.1\n")

    assert running.all("prolog") == ("/a/*", "/b")
    assert running.all("Epilog") == ()


def test_of_a_key_that_comes_twice_slurmctlds_holds() -> None:
    assert parse_running("SlurmdTimeout = 300 sec\nSlurmdTimeout = 1\n").seconds("SlurmdTimeout") == 300


@pytest.mark.parametrize("text", ["65534", "65535", "UNLIMITED", "(null)", ""])
def test_a_time_that_was_never_set_is_none(text: str) -> None:
    assert parse_running(f"PrologEpilogTimeout = {text}").seconds("PrologEpilogTimeout") is None


@pytest.mark.parametrize(
    ("line", "stale"),
    [("HASH_VAL = Match", False), ("HASH_VAL = Different Ours=0x1 Slurmctld=0x2", True), ("", None)],
)
def test_whether_the_file_is_what_runs_is_slurms_own_word(line: str, stale: bool | None) -> None:
    assert parse_running(f"{line}\n").stale is stale


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("22.05.8", (22, 5)),
        ("slurm 24.11.5", (24, 11)),
        ("slurm-wlm 25.05.0-0rc1", (25, 5)),
        ("26.05", (26, 5)),
        ("", None),
        ("twenty", None),
        ("1.2.3", None),
    ],
)
def test_versions(text: str, version: tuple[int, int] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    "text", ["\x00\x1b[31m", "=\n= =\n", "a" * 100_000, "K = " + "v" * 100_000, "\u2028=1"]
)
def test_odd_text_is_bounded_and_raises_nothing(text: str) -> None:
    assert all(len(value) <= 4096 for each in parse_running(text).values.values() for value in each)


def _scontrol(folder: Path, body: str) -> str:
    path = folder / "scontrol"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return scontrol_beside(str(folder / "sacct"))


def test_scontrol_beside_sacct_is_asked(tmp_path: Path) -> None:
    program = _scontrol(tmp_path, f'printf "%s" "$*" >{tmp_path}/asked; echo "SLURM_VERSION = 23.02.1"')

    assert load_running(program).version == (23, 2)
    assert (tmp_path / "asked").read_text() == "show config"
    assert scontrol_beside("sacct") == "scontrol"


@pytest.mark.parametrize(
    "body", ["echo >&2 'slurm_load_ctl_conf error: refused'; exit 1", "exit 0", "sleep 20", None]
)
def test_what_fails_is_said_in_time(body: str | None, tmp_path: Path) -> None:
    program = _scontrol(tmp_path, body) if body is not None else str(tmp_path / "scontrol")
    began_s = time.monotonic()

    with pytest.raises(GuardError, match="slurmctld-unknown"):
        load_running(program, 0.3)

    assert time.monotonic() - began_s < 10

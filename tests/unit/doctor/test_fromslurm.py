"""What Slurm's files and commands say, and that each is asked in bounded time."""

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.config import Config, SlurmConfig
from slurm_guard.doctor import fromslurm
from slurm_guard.doctor.finding import NotSeenError
from tests.unit.doctor import builders as b


def _commands(folder: Path, **bodies: str) -> Config:
    for name, body in bodies.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    return replace(Config(), slurm=SlurmConfig(sacct=str(folder / "sacct"), timeout_s=5.0))


def test_device_files_are_written_as_host_lists_are() -> None:
    (line,) = b.gres('NodeName=n1 Name=gpu File="/dev/nvidia[0-2,5],/dev/null" # boards\n').lines or ()

    assert line.files == ("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2", "/dev/nvidia5", "/dev/null")
    assert "/dev/null" not in line.missing + line.plain
    assert line.number == 1


def test_a_gres_conf_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert fromslurm.load_gres(tmp_path / "slurm.conf").lines is None


def test_nodes_come_once_with_anybodys_words_last() -> None:
    found = fromslurm.parse_nodes("n1|gpu:4(S:0)|idle|none\nn1|gpu:4|idle|x\nn2|(null)|DRAINED|a | b\nodd\n")

    assert [(n.name, n.has_gpus, n.state, n.reason) for n in found] == [
        ("n1", True, "idle", "none"),
        ("n2", False, "drained", "a | b"),
    ]


def test_the_database_says_clusters_tres_and_rights(tmp_path: Path) -> None:
    body = (
        'case "$*" in *cluster*) echo rig;; *tres*) printf "cpu|\\ngres|gpu\\ngres|gpu:h100\\n";; '
        '*user*) echo "sgaudit|Operator";; esac'
    )

    found = fromslurm.load_database(_commands(tmp_path, sacctmgr=body), "sgaudit", 5.0)

    assert (found.clusters, found.tres, found.admin) == (
        ("rig",),
        ("cpu", "gres/gpu", "gres/gpu:h100"),
        "operator",
    )


@pytest.mark.parametrize("body", ["sleep 30", "echo no >&2; exit 1"])
def test_a_command_that_hangs_or_fails_is_a_fact_not_seen(body: str, tmp_path: Path) -> None:
    began_s = time.monotonic()

    with pytest.raises(NotSeenError):
        fromslurm.load_nodes(_commands(tmp_path, sinfo=body), 0.3)

    assert time.monotonic() - began_s < 5


def test_a_missing_command_is_a_fact_not_seen(tmp_path: Path) -> None:
    with pytest.raises(NotSeenError, match="No such file"):
        fromslurm.load_nodes(_commands(tmp_path), 1.0)


def test_a_day_of_accounting_is_read_as_the_audit_reads_it(tmp_path: Path) -> None:
    recorded = Path(__file__).parents[2] / "fixtures/slurm/22.05/sacct.txt"
    head = recorded.read_text().splitlines()[0]
    fields = [name for name in head.replace("\x1f", " ").split() if not name.isdigit()]
    body = f'if [ "$1" = --helpformat ]; then echo "{" ".join(fields)}"; else cat {recorded}; fi'

    now_at = max(float(word) for word in re.findall(r"\b1[789]\d{8}\b", recorded.read_text()))

    found = fromslurm.load_accounting(_commands(tmp_path, sacct=body), now_at, 5.0)

    assert found.n_bad_rows == 0
    assert 0 < found.n_runs == sum(map(len, found.starts.values()))
    began = {at for times in found.starts.values() for at in times}
    assert found.gpu_starts
    assert {at for times in found.gpu_starts.values() for at in times} <= began


def test_the_named_slurm_conf_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", "/from/environment")

    assert fromslurm.find_slurm_conf(Path("/given")) == Path("/given")
    assert fromslurm.find_slurm_conf(None) == Path("/from/environment")
    monkeypatch.delenv("SLURM_CONF")
    monkeypatch.setattr(fromslurm, "_PLACES", ())
    monkeypatch.setattr(fromslurm, "_CACHED", os.devnull + "/x")
    with pytest.raises(NotSeenError, match="--slurm-conf"):
        fromslurm.find_slurm_conf(None)


@pytest.mark.root
def test_a_file_that_slurm_conf_includes_is_looked_at_too(tmp_path: Path) -> None:
    conf, other = tmp_path / "slurm.conf", tmp_path / "hooks.conf"
    conf.write_text("ClusterName=x\nInclude hooks.conf\n")
    other.write_text("Prolog=/x\n")
    conf.chmod(0o644)
    other.chmod(0o666)

    assert [unsafe.path for unsafe in fromslurm.judge_conf(conf)] == [str(other)]

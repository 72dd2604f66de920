"""PySlurm beside sacct: the same runs, and where they cannot be, it is said.

The child is the real one; in it PySlurm itself where this interpreter has it and Slurm answers, else a
stand-in that leaves out what its source leaves out. Real PySlurm needs Slurm 25.11, which no Debian has.
"""

import importlib.util
import json
import os
import pwd
import time
from pathlib import Path

import pytest

from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError
from slurm_guard.model import Run
from slurm_guard.slurm.accounting import LoadedRuns
from slurm_guard.slurm.pyslurm_db import PyslurmDb
from slurm_guard.slurm.rows import FIELDS, format_rows, parse_rows
from slurm_guard.slurm.sacct import Sacct, SacctFile

HERE = Path(__file__).parent
RECORDED = sorted((HERE.parent / "fixtures" / "slurm").glob("*/sacct.txt"))
DELIMITER = "\x1f000000000000000001\x1f"  # as the live query has it: no user can know it
WINDOW = (1_779_000_000.0, 1_781_000_000.0)


def _rows(path: Path) -> list[dict[str, str]]:
    """A recorded night in words of this machine: its users are root here, whom every machine knows."""
    rows, problems = parse_rows(path.read_text("utf-8"))
    assert problems == []
    return [{name: row.get(name, "") for name in FIELDS} | {"UID": "0", "User": "root"} for row in rows]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in's rows are read from."""
    found = [str(HERE / "fake_pyslurm"), str(HERE.parents[1])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(found))
    monkeypatch.setenv("FAKE_PYSLURM_ROWS", str(tmp_path / "rows.json"))
    return tmp_path / "rows.json"


def _both(rows: list[dict[str, str]], place: Path, cluster: str = "") -> tuple[LoadedRuns, LoadedRuns]:
    place.write_text(json.dumps(rows), "utf-8")
    text = place.with_suffix(".txt")
    text.write_text(format_rows(rows, FIELDS, DELIMITER), "utf-8")
    return SacctFile(text, cluster).load_runs(*WINDOW), PyslurmDb(30.0, cluster).load_runs(*WINDOW)


def _last_of_each(runs: tuple[Run, ...]) -> list[Run]:
    """What is left where a job id has one run."""
    return sorted({run.job_id: run for run in runs}.values(), key=lambda run: (run.start_at, run.job_id))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_a_recorded_night_has_the_same_runs_but_for_those_before_a_requeue(
    path: Path, stand_in: Path
) -> None:
    rows = _rows(path)

    ours, theirs = _both(rows, stand_in)

    assert list(theirs.runs) == _last_of_each(ours.runs)
    assert theirs.backend == "pyslurm"
    said = [skip for skip in theirs.skips if skip.reason == "no-duplicates"]
    assert len(said) == 1
    assert "runs before a requeue are missing" in said[0].detail


ROW = dict.fromkeys(FIELDS, "") | {
    "JobIDRaw": "7", "JobID": "7", "Cluster": "alpha", "State": "COMPLETED", "Submit": "1780000000",
    "Start": "1780000100", "End": "1780000200", "ElapsedRaw": "100", "Suspended": "00:00:00", "NNodes": "1",
    "AllocTRES": "billing=1,cpu=1,gres/gpu:h100=2,gres/gpu=2,node=1", "NodeList": "n1", "User": "root",
    "UID": "0",
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"JobID": "5_0"},
        {"JobID": "5_12"},
        {"JobID": "7+0"},
        {"JobID": "6+1"},
        {"State": "RUNNING", "End": "Unknown", "ElapsedRaw": "50", "Suspended": "00:00:20"},
        {"ElapsedRaw": "40"},
        {"Start": "1780000200", "ElapsedRaw": "0"},
        {"AllocTRES": "cpu=1,gres/shard=4,gres/gpu=0"},
        {"AllocTRES": "cpu=1,odd/thing=3,gres/gpu=1"},
        {"Comment": "guard:kind=sft\n7|8\x1f9", "JobName": "\x1b[31mä\u2028", "Extra": "slurm-guard-rows:[]"},
        {"State": "CANCELLED by 1000", "NodeList": "n[1-3]", "NNodes": "3"},
    ],
)
def test_a_row_of_each_kind_is_the_same_run(changes: dict[str, str], stand_in: Path) -> None:
    ours, theirs = _both([{**ROW, **changes}], stand_in)

    assert theirs.runs == ours.runs
    assert len(ours.runs) == 1
    parts = {skip for skip in ours.skips if skip.reason == "shared-gpu-tres"}
    assert parts <= set(theirs.skips)


def test_what_a_requeue_hid_is_counted(stand_in: Path) -> None:
    first = {**ROW, "State": "REQUEUED"}
    again = {**ROW, "Start": "1780000300", "End": "1780000400", "Restarts": "1"}

    ours, theirs = _both([first, again], stand_in)

    assert (len(ours.runs), len(theirs.runs)) == (2, 1)
    assert "1 of 1 requeued jobs at least" in theirs.skips[-1].detail


def test_a_night_without_a_gpu_is_told(stand_in: Path) -> None:
    _, theirs = _both([{**ROW, "AllocTRES": "cpu=1"}], stand_in)

    assert [skip.reason for skip in theirs.skips] == ["no-duplicates", "no-gpu-tres"]


def test_one_cluster_of_several_is_asked_for(stand_in: Path) -> None:
    _, theirs = _both([ROW, {**ROW, "JobIDRaw": "9", "JobID": "9", "Cluster": "beta"}], stand_in, "beta")

    assert [run.job_id for run in theirs.runs] == [9]


def test_a_fatal_of_libslurm_ends_the_child_alone(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_PYSLURM_FATAL", "1")

    with pytest.raises(GuardError) as caught:
        PyslurmDb(30.0).load_runs(*WINDOW)

    assert (caught.value.slug, caught.value.exit_code) == ("no-accounting", EXIT_NOTHING_TO_AUDIT)
    assert "Unable to process configuration file" in caught.value.sentence


def test_a_child_that_hangs_is_ended(stand_in: Path) -> None:
    os.mkfifo(stand_in)

    with pytest.raises(GuardError) as caught:
        PyslurmDb(1.5).load_runs(*WINDOW)

    assert caught.value.slug == "accounting-timeout"


def test_nothing_is_imported_from_where_the_audit_was_started(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyslurm.py").write_text("raise SystemExit('a module of somebody else')", "utf-8")
    (tmp_path / "json.py").write_text("raise SystemExit('a module of somebody else')", "utf-8")
    stand_in.write_text(json.dumps([ROW]), "utf-8")
    monkeypatch.chdir(tmp_path)

    assert [run.job_id for run in PyslurmDb(30.0).load_runs(*WINDOW).runs] == [7]


@pytest.mark.skipif(
    importlib.util.find_spec("pyslurm") is None, reason="PySlurm is not installed: its stand-in alone"
)
def test_the_real_one_and_the_real_sacct_agree_on_the_last_day() -> None:
    until_at = float(int(time.time()) - 60)
    try:
        ours = Sacct(timeout_s=60.0).load_runs(until_at - 86_400, until_at)
    except GuardError as error:
        pytest.skip(f"no accounting here: {error.sentence}")
    theirs = PyslurmDb(60.0).load_runs(until_at - 86_400, until_at)

    known = {entry.pw_name for entry in pwd.getpwall()}
    assert [run for run in theirs.runs if run.user in known] == [
        run for run in _last_of_each(ours.runs) if run.user in known
    ]

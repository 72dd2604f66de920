"""The sacct backend, against a program that stands in for sacct."""

import re
import stat
import time
from pathlib import Path

import pytest

from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.slurm.accounting import Accounting, LoadedRuns
from slurm_guard.slurm.rows import FIELDS, format_rows
from slurm_guard.slurm.sacct import Sacct, SacctFile

DAY = 1_780_000_000
WINDOW = (float(DAY), DAY + 86_400.0)
ROW = {
    "JobIDRaw": "7",
    "JobID": "7",
    "Cluster": "alpha",
    "State": "COMPLETED",
    "Start": str(DAY + 100),
    "End": str(DAY + 200),
    "ElapsedRaw": "100",
    "AllocTRES": "cpu=1,gres/gpu=2",
    "NodeList": "n1",
    "User": "ada",
    "UID": "1001",
}


def program(folder: Path, name: str, body: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def stand_in(folder: Path, rows: list[dict[str, str]], known: tuple[str, ...] = FIELDS) -> Sacct:
    """A sacct that knows `known` fields, writes down how it was called and prints `rows`."""
    (folder / "fields").write_text(" ".join(known))
    (folder / "rows").write_text(format_rows(rows, [name for name in FIELDS if name in known], "@@"))
    body = f"""if [ "$1" = --helpformat ]; then cat {folder}/fields; exit 0; fi
printf '%s\\n' "$@" > {folder}/called; env > {folder}/env
for arg in "$@"; do case "$arg" in --delimiter=*) d="${{arg#--delimiter=}}";; esac; done
sed "s/@@/$d/g" {folder}/rows"""
    return Sacct(program(folder, "sacct", body), 10.0)


def load(source: Accounting) -> LoadedRuns:
    return source.load_runs(*WINDOW)


def refused(source: Accounting) -> GuardError:
    with pytest.raises(GuardError) as caught:
        load(source)
    return caught.value


def test_one_query_asks_for_all_users_duplicates_and_no_steps(tmp_path: Path) -> None:
    loaded = load(stand_in(tmp_path, [ROW]))

    called = (tmp_path / "called").read_text().split("\n")
    assert {"-a", "-D", "-X", "-P"} <= set(called)
    assert called[called.index("-S") + 1] == "2026-05-28T20:26:40"
    assert called[called.index("-E") + 1] == "2026-05-29T20:26:40"
    env = (tmp_path / "env").read_text().split("\n")
    assert {"TZ=UTC", "LC_ALL=C", "SLURM_TIME_FORMAT=%s"} <= set(env)
    assert ([run.id for run in loaded.runs], loaded.cluster, loaded.backend) == (
        [f"alpha/7/{DAY + 100}"],
        "alpha",
        "sacct",
    )


def test_the_delimiter_is_another_one_each_time(tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        load(stand_in(tmp_path, [ROW]))
        seen.add(re.findall(r"--delimiter=(\x1f\d{18}\x1f)", (tmp_path / "called").read_text())[0])
    assert len(seen) == 3


def test_fields_that_this_sacct_lacks_are_not_asked_for(tmp_path: Path) -> None:
    known = tuple(name for name in FIELDS if name not in {"SLUID", "Extra", "StdOut"})

    loaded = load(stand_in(tmp_path, [ROW], known))

    assert "SLUID" not in (tmp_path / "called").read_text()
    assert [(run.extra, run.stdout) for run in loaded.runs] == [(None, None)]


def test_requeued_runs_stand_each_on_their_own_in_order(tmp_path: Path) -> None:
    first = ROW | {"State": "REQUEUED"}
    second = ROW | {"Start": str(DAY + 300), "End": str(DAY + 400)}

    loaded = load(stand_in(tmp_path, [second, first]))

    assert [(run.start_at, run.state) for run in loaded.runs] == [
        (DAY + 100, "REQUEUED"),
        (DAY + 300, "COMPLETED"),
    ]


def test_a_missing_sacct_is_no_accounting(tmp_path: Path) -> None:
    error = refused(Sacct(str(tmp_path / "sacct")))

    assert (error.slug, error.exit_code) == ("no-accounting", EXIT_NOTHING_TO_AUDIT)
    assert error.hint


@pytest.mark.parametrize(
    "said",
    [
        "Slurm accounting storage is disabled",
        "sacct: error: Problem talking to the database: Connection refused",
        "sacct: fatal: Could not establish a configuration source",
    ],
)
def test_an_unreachable_database_is_no_accounting(tmp_path: Path, said: str) -> None:
    error = refused(Sacct(program(tmp_path, "sacct", f"echo '{said}' >&2; exit 1")))

    assert (error.slug, error.exit_code) == ("no-accounting", EXIT_NOTHING_TO_AUDIT)
    assert said in error.sentence


def test_any_other_failure_keeps_what_sacct_said(tmp_path: Path) -> None:
    error = refused(Sacct(program(tmp_path, "sacct", "echo 'sacct: error: Invalid user' >&2; exit 1")))

    assert error.slug == "sacct-failed"
    assert "Invalid user" in error.sentence


def test_a_sacct_that_hangs_is_left(tmp_path: Path) -> None:
    assert refused(Sacct(program(tmp_path, "sacct", "exec sleep 60"), 0.2)).slug == "accounting-timeout"


@pytest.mark.slow
def test_what_a_wrapper_started_ends_with_it(tmp_path: Path) -> None:
    body = f"sleep 600 & echo $! > {tmp_path}/pid.part; mv {tmp_path}/pid.part {tmp_path}/pid; wait"
    source = Sacct(program(tmp_path, "sacct", body), 2.0)

    assert refused(source).slug == "accounting-timeout"

    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 60
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_gpus_that_are_not_accounted_are_said_and_never_zero_in_silence(tmp_path: Path) -> None:
    source = stand_in(tmp_path, [ROW | {"AllocTRES": "cpu=1,node=1"}])
    program(tmp_path, "sacctmgr", "printf 'cpu|\\nmem|\\ngres|license\\n'")

    loaded = load(source)

    assert [skip.reason for skip in loaded.skips] == ["no-gpu-tres"]
    assert "AccountingStorageTRES" in loaded.skips[0].detail


def test_a_night_without_gpu_jobs_on_a_cluster_that_accounts_them_is_no_skip(tmp_path: Path) -> None:
    source = stand_in(tmp_path, [ROW | {"AllocTRES": "cpu=1,node=1"}])
    program(tmp_path, "sacctmgr", "printf 'cpu|\\ngres|gpu\\ngres|gpu:h100\\n'")

    assert load(source).skips == ()


def test_doubt_whether_gpus_are_accounted_is_said(tmp_path: Path) -> None:
    loaded = load(stand_in(tmp_path, [ROW | {"AllocTRES": "cpu=1,node=1"}]))

    assert [skip.reason for skip in loaded.skips] == ["no-gpu-tres"]


def test_a_file_of_sacct_text_gives_the_same_runs(tmp_path: Path) -> None:
    path = tmp_path / "sacct.txt"
    path.write_text(format_rows([ROW]))

    assert load(SacctFile(path)).runs == load(stand_in(tmp_path, [ROW])).runs


def test_a_missing_file_is_no_accounting(tmp_path: Path) -> None:
    assert refused(SacctFile(tmp_path / "none")).slug == "no-accounting"


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sacct.txt"
    path.write_bytes(format_rows([ROW | {"JobName": "caf@"}]).encode().replace(b"caf@", b"caf\xe9"))

    assert [run.name for run in load(SacctFile(path)).runs] == ["caf\ufffd"]


def test_bad_rows_are_skips_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sacct.txt"
    path.write_text(format_rows([ROW | {"JobID": "8", "Start": "yesterday"}, ROW]) + "rubbish\n9\x1f\n")

    loaded = load(SacctFile(path))

    assert [run.job_id for run in loaded.runs] == [7]
    assert [(skip.subject, skip.reason) for skip in loaded.skips] == [
        ("accounting", "bad-accounting-row"),
        ("alpha/8", "bad-accounting-row"),
    ]


def test_two_clusters_in_one_text_ask_for_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "sacct.txt"
    path.write_text(format_rows([ROW, ROW | {"Cluster": "beta"}]))

    assert refused(SacctFile(path)).exit_code == EXIT_USAGE
    assert [run.cluster for run in load(SacctFile(path, "beta")).runs] == ["beta"]


def test_two_rows_of_one_run_are_one_run_and_said(tmp_path: Path) -> None:
    path = tmp_path / "sacct.txt"
    path.write_text(format_rows([ROW, ROW | {"End": str(DAY + 150), "ElapsedRaw": "50"}, ROW]))

    loaded = load(SacctFile(path))

    assert [run.until_at for run in loaded.runs] == [DAY + 200]
    assert [skip.reason for skip in loaded.skips] == ["double-accounting-row"]

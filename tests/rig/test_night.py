"""One night on a real cluster: every verdict as the committed table says, and nothing left behind."""

import email
import email.policy
import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig import cluster, engine, procs, services
from tests.rig.jobs import drained_nodes, read_charges, wait_for_jobs
from tests.rig.layout import USERS, Rig, RigError, load_rig
from tests.rig.night import Plan, Result, run_night
from tests.rig.scenarios import load_expected
from tests.rig.submit import submit

pytestmark = [
    pytest.mark.rig,
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="the rig needs root"),
    pytest.mark.skipif(bool(services.missing_packages()), reason=f"missing: {services.missing_packages()}"),
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short folder that ordinary users can enter; the rig in it is ended whatever happens."""
    path = Path(tempfile.mkdtemp(prefix="rig-", dir="/var/tmp"))
    try:
        yield path / "r"
    finally:
        cluster.down(path / "r")
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def rig(folder: Path) -> Rig:
    """A running rig."""
    folder.parent.chmod(0o755)
    return cluster.up(folder, seed=11)


@pytest.fixture(scope="module")
def night(rig: Rig) -> tuple[Result, Path]:
    """One night on it; the rig is still up after it."""
    out = rig.path.parent / "out"
    return run_night(rig.path, out, Plan(seed=11, share=0.4)), out


def test_every_verdict_is_as_the_committed_table_says(night: tuple[Result, Path]) -> None:
    result, _ = night

    assert result.faults == []


def test_every_scenario_of_the_table_ran_in_the_night(night: tuple[Result, Path]) -> None:
    result, _ = night

    missing = set(load_expected()) - {case.scenario.name for case in result.cases}
    assert missing == {"cotenant-small"}
    assert {case.node for case in result.cases} == {"n1", "n2"}


def test_a_night_takes_less_than_four_minutes(night: tuple[Result, Path]) -> None:
    result, _ = night

    assert result.wall_s < 240


def test_the_letter_went_through_a_real_server_as_text_and_html(night: tuple[Result, Path]) -> None:
    _, out = night

    letter = email.message_from_bytes((out / "mail.eml").read_bytes(), policy=email.policy.default)

    kinds = [part.get_content_type() for part in letter.walk()]
    assert "text/plain" in kinds
    assert "text/html" in kinds


def test_page_and_document_are_of_the_same_night(night: tuple[Result, Path]) -> None:
    result, out = night

    document = json.loads((out / "audit.json").read_text("utf-8"))
    page = (out / "report.html").read_text("utf-8")

    assert len(document["judgements"]) == len(result.cases)
    assert all(str(case.job) in page for case in result.cases)


def test_the_hooks_left_no_node_drained_and_every_run_has_ticket_end_and_seal(
    rig: Rig, night: tuple[Result, Path]
) -> None:
    result, _ = night

    assert drained_nodes(rig) == []
    for case in result.cases:
        spool = rig.path / "spool" / case.node
        for pattern in (f"tickets/*_{case.job}_*", f"ends/{case.job}_*", f"seals/*_{case.job}_*"):
            assert list(spool.glob(pattern)), pattern


def test_jobs_run_as_ordinary_users_with_the_progress_file_of_their_own(rig: Rig) -> None:
    script = rig.path / "probe.sbatch"
    script.write_text(
        '#!/bin/sh\n#SBATCH --gres=gpu:1\nid -u\nsleep 4\ncat "$SLURM_GUARD_PROGRESS" && echo mine\n', "utf-8"
    )
    script.chmod(0o755)

    job = submit(rig, str(script), USERS[1])
    wait_for_jobs(rig, [job], 60.0)

    said = (rig.home(USERS[1]) / f"slurm-{job}.out").read_text("utf-8").split()
    assert said == [str(pwd.getpwnam(USERS[1]).pw_uid), "mine"]
    assert read_charges(rig, [job])[job].n_gpus == 1


def test_jobs_that_oversubscribe_a_node_never_share_its_gpus(rig: Rig) -> None:
    wide = ["--nodelist=n1", "--ntasks=16"]  # all CPUs of the node
    for how in ("YES:2", "FORCE:2"):
        procs.call(rig, ["scontrol", "update", "partition=gpu", f"oversubscribe={how}"])

        first = submit(rig, "idle", USERS[0], ["60"], options=["--gres=gpu:4", "--oversubscribe", *wide])
        states = _states_beside(
            rig,
            first,
            [["--gres=gpu:4", "--oversubscribe", *wide], ["--gres=none", "--oversubscribe", *wide]],
        )

        assert states == ["PENDING", "RUNNING"], how
    procs.call(rig, ["scontrol", "update", "partition=gpu", "oversubscribe=NO"])


def test_a_suspended_job_keeps_its_gpus(rig: Rig) -> None:
    wide = ["--nodelist=n1", "--ntasks=16"]

    first = submit(rig, "idle", USERS[0], ["60"], options=["--gres=gpu:4", *wide])
    _wait_until_running(rig, first)
    procs.call(rig, ["scontrol", "suspend", str(first)])
    states = _states_beside(rig, first, [["--gres=gpu:4", *wide], ["--gres=none", *wide]])

    assert states == ["PENDING", "RUNNING"]


def _states_beside(rig: Rig, first: int, others: list[list[str]]) -> list[str]:
    """What becomes of other jobs beside a first one, the last of which must run; all are cancelled."""
    jobs = [submit(rig, "idle", USERS[1], ["60"], options=options) for options in others]
    _wait_until_running(rig, jobs[-1])
    text = procs.call(rig, ["squeue", "-h", "-t", "all", "-o", "%i %T"])
    states = dict(line.split() for line in text.splitlines())
    procs.call(rig, ["scancel", *map(str, [first, *jobs])])
    procs.wait_for("jobs to end", lambda: not procs.call(rig, ["squeue", "-h"]).strip(), 60.0, 0.5)
    return [states[str(job)] for job in jobs]


def _wait_until_running(rig: Rig, job: int) -> None:
    ask = ["squeue", "-h", "-j", str(job), "-o", "%T"]
    procs.wait_for(f"job {job} to run", lambda: "RUNNING" in procs.call(rig, ask), 60.0, 0.5)


def test_a_night_by_job_arrays_is_as_in_one_look_though_tasks_are_killed(rig: Rig) -> None:
    night = engine.make_night(rig)
    whole = engine.audit_night(rig, night, [])

    by_arrays = [
        engine.audit_night(rig, night, ["--engine", "slurm", "--shards", n], hurt)
        for n, hurt in (("1", None), ("4", engine.cancel_one), ("16", engine.kill_one))
    ]

    assert by_arrays == [whole, whole, whole]
    ended = engine.states(rig)
    assert len(ended) >= 3 * (1 + 4 + 16) + 2  # what was killed was submitted again
    assert sorted(state for state in ended if state != "COMPLETED") == ["CANCELLED", "FAILED"]
    assert list(night.glob("parts-*/*/run-*")) == []


def test_up_twice_is_the_same_rig(rig: Rig) -> None:
    before = {
        path.name: path.read_text("ascii") for path in (rig.path / "pid").iterdir() if path.suffix != ".own"
    }

    again = cluster.up(rig.path)

    after = {
        path.name: path.read_text("ascii") for path in (rig.path / "pid").iterdir() if path.suffix != ".own"
    }
    assert again == rig
    assert before == after


def test_down_after_a_crash_leaves_no_process_no_user_and_no_folder(rig: Rig) -> None:
    submit(rig, "idle", USERS[0], ["600"])
    procs.wait_for("the job to run", lambda: "R" in procs.call(rig, ["squeue", "-h", "-o", "%t"]), 30.0)
    procs.kill(rig, "slurmctld")
    procs.kill(rig, "slurmd.n2")

    cluster.down(rig.path)
    cluster.down(rig.path)

    assert procs.sweep(rig) == []
    assert not rig.path.exists()
    assert cluster.job_groups(rig) == []


def test_a_rig_without_its_folder_says_how_to_start_one() -> None:
    with pytest.raises(RigError, match=r"tests\.rig up"):
        load_rig(Path("/nonexistent/rig"))

"""Intent at submit time in a real slurmctld, whose job_submit.lua has code of the site beside ours."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.intent import parse_intent
from tests.install.warden import guarded
from tests.rig import cluster, procs, services, users
from tests.rig.jobs import wait_for_jobs
from tests.rig.layout import CHECKOUT, USERS, Rig
from tests.rig.submit import job_env

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="the rig needs root"),
    pytest.mark.skipif(bool(services.missing_packages()), reason=f"missing: {services.missing_packages()}"),
]

SITE = """
package.path = package.path .. ";%s/packaging/lua/?.lua"
local found, guard = pcall(require, "slurm_guard_submit")
local site = { require = { strict = { "kind", "target" } }, help = "See https://hpc.example.org/intent" }

function slurm_job_submit(job_desc, part_list, submit_uid)
  if job_desc.name == "forbidden" then -- the site's own
    slurm.log_user("the site says no")
    return slurm.ERROR
  end
  job_desc.admin_comment = "seen by the site"
  return guard.job_submit(job_desc, part_list, site)
end

function slurm_job_modify(job_desc, job_rec, part_list, modify_uid)
  return guard.job_modify(job_desc, job_rec, modify_uid, site)
end

return slurm.SUCCESS
"""
FILTER = """
package.path = package.path .. ";%s/packaging/lua/?.lua"
local guard = require("slurm_guard_submit")

function slurm_cli_setup_defaults(options, early_pass) return slurm.SUCCESS end

function slurm_cli_pre_submit(options, pack_offset)
  return guard.cli_pre_submit(options, { require = { filtered = { "kind" } } })
end

function slurm_cli_post_submit(pack_offset, job_id, step_id) return slurm.SUCCESS end
"""
HEAD = "#!/bin/sh\n#SBATCH --gres=gpu:1\n"
DECLARED = HEAD + "#GUARD kind=pretrain\n#GUARD target=steps:20k\n"


def put_site(rig: Rig, text: str, plugins: str) -> None:
    """A slurmctld that begins anew with this job_submit.lua, and a partition that asks."""
    (rig.path / "etc" / "job_submit.lua").write_text(text, "utf-8")
    (rig.path / "etc" / "cli_filter.lua").write_text(FILTER % CHECKOUT, "utf-8")
    kept = [line for line in rig.conf.read_text("utf-8").splitlines() if "strict" not in line]
    kept = [line for line in kept if not line.startswith("JobSubmitPlugins=")]
    kept = [line for line in kept if not line.startswith(("CliFilterPlugins=", "PartitionName=filtered"))]
    lua = ["CliFilterPlugins=lua", "PartitionName=filtered Nodes=n1,n2 State=UP"]
    lines = [*kept, *([f"JobSubmitPlugins={plugins}", *lua] if plugins else [])]
    rig.conf.write_text("\n".join([*lines, "PartitionName=strict Nodes=n1,n2 State=UP", ""]), "utf-8")
    procs.stop(rig, "slurmctld")
    procs.start(rig, "slurmctld", ["slurmctld", "-D"])
    procs.wait_for("slurmctld", lambda: "strict" in _said(rig, ["sinfo", "-h", "-o", "%P"]).stdout, 30.0)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A rig of its own whose slurmctld has a site's job_submit.lua and a partition that asks."""
    folder = Path(tempfile.mkdtemp(prefix="rig-", dir="/var/tmp"))
    folder.chmod(0o755)
    with guarded(folder):
        rig = cluster.up(folder / "r", seed=12)
        put_site(rig, SITE % CHECKOUT, "lua")
        yield rig


def _said(rig: Rig, argv: list[str], user: str | None = None) -> subprocess.CompletedProcess[str]:
    env = procs.base_env(rig) if user is None else job_env(rig, user)
    as_whom = [] if user is None else users.as_user(user)
    return subprocess.run(
        [*as_whom, *argv], env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )


def _sbatch(rig: Rig, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = rig.path / "job.sbatch"
    path.write_text(script, "utf-8")
    argv = [
        "sbatch",
        "--parsable",
        f"--chdir={rig.home(USERS[0])}",
        "--output=/dev/null",
        *options,
        str(path),
    ]
    return _said(rig, argv, USERS[0])


def _comment(rig: Rig, job: str) -> str:
    return _said(rig, ["squeue", "-h", "-t", "all", "-j", job, "-o", "%k"]).stdout.strip()


def _held(rig: Rig, script: str, *options: str) -> tuple[str, str]:
    """(job, what its owner was told) of a job that waits."""
    done = _sbatch(rig, script, "--hold", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_the_lines_of_a_script_are_what_prolog_and_accounting_see(rig: Rig) -> None:
    done = _sbatch(rig, DECLARED + "sleep 1\n", "--comment=my own note")
    job = done.stdout.strip()
    wait_for_jobs(rig, [int(job)], 60.0)

    expected = "my own note guard:kind=pretrain;target=steps:20k"
    (ticket,) = (rig.path / "spool").glob(f"*/tickets/*_{job}_*")
    assert expected in json.dumps(json.loads(ticket.read_text("utf-8").splitlines()[0]))
    said = ""
    for _ in range(40):
        said = _said(rig, ["sacct", "-nPX", "-j", job, "-o", "Comment,AdminComment"]).stdout.strip()
        if said.count("|") and said[0] != "|":
            break
        time.sleep(0.25)
    assert said == f"{expected}|seen by the site"
    assert parse_intent(expected, None).target == ("steps", 20_000.0)


def test_a_partition_that_asks_refuses_in_words_that_say_what_to_do(rig: Rig) -> None:
    refused = _sbatch(rig, HEAD + "#GUARD kind=sft\ntrue\n", "--partition=strict")
    taken, _ = _held(rig, DECLARED, "--partition=strict")

    assert refused.returncode != 0
    for words in ("partition strict asks what a job is for; missing: target", "#GUARD target=steps:20000"):
        assert words in refused.stderr
    assert "See https://hpc.example.org/intent" in refused.stderr
    assert _comment(rig, taken) == "guard:kind=pretrain;target=steps:20k"


def test_the_sites_own_code_still_holds(rig: Rig) -> None:
    refused = _sbatch(rig, DECLARED, "--job-name=forbidden")

    assert refused.returncode != 0
    assert "the site says no" in refused.stderr


def test_a_line_that_is_not_understood_is_told_and_stops_nobody(rig: Rig) -> None:
    job, told = _held(rig, HEAD + "#GUARD target=furlongs:3\n#GUARD kind=sft\n")

    assert "not understood: line 3: target: must be steps:N" in told
    assert _comment(rig, job) == "guard:kind=sft"


def test_what_declare_prints_can_be_pasted(rig: Rig) -> None:
    command = [sys.executable, "-c", "from slurm_guard.cli.app import main; main()", "declare"]
    done = subprocess.run(
        [*command, "--kind", "sft", "--progress", 'it\'s; "my" log'],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("#SBATCH")]

    job, _ = _held(rig, f"{HEAD}{line}\ntrue\n")

    assert parse_intent(_comment(rig, job), None).progress == 'it\'s; "my" log'


@pytest.mark.parametrize(
    "lines",
    [
        "#GUARD kind=$(reboot)\n#GUARD progress=`id`;x\n",
        "#GUARD " + "=" * 5000 + "\n",
        "#GUARD kind=%s%n%d\n#GUARD \x1b[31m=\x07\n",
        "#GUARD progress=" + "é" * 500 + "\n" + "#GUARD kind=a\n" * 3000,
        "#" + "x" * 200_000 + "\n#GUARD kind=a\n",
    ],
)
def test_hostile_lines_do_no_harm(rig: Rig, lines: str) -> None:
    job, told = _held(rig, HEAD + lines, "--comment=mine")

    assert _comment(rig, job).startswith("mine")
    assert "\x1b" not in told
    assert "error" not in (rig.path / "log" / "slurmctld.log").read_text("utf-8").partition("slurm_guard:")[2]


def test_an_owner_can_change_what_is_declared_and_not_blank_it(rig: Rig) -> None:
    job, _ = _held(rig, DECLARED, "--comment=note")

    blanked = _said(rig, ["scontrol", "update", f"job={job}", "comment="], USERS[0])
    after_blank = _comment(rig, job)
    _said(rig, ["scontrol", "update", f"job={job}", "comment=another note"], USERS[0])
    after_note = _comment(rig, job)
    _said(rig, ["scontrol", "update", f"job={job}", "comment=guard:kind=inference"], USERS[0])

    assert blanked.returncode == 0
    assert after_blank == "guard:kind=pretrain;target=steps:20k"
    assert after_note == "another note guard:kind=pretrain;target=steps:20k"
    assert _comment(rig, job) == "guard:kind=inference"
    log = (rig.path / "log" / "slurmctld.log").read_text("utf-8")
    assert f"slurm_guard: JobId={job}: uid" in log
    assert "target=steps:20k to guard:kind=inference" in log


def test_a_waiting_job_cannot_slip_into_a_partition_that_asks(rig: Rig) -> None:
    job, _ = _held(rig, HEAD + "true\n")

    moved = _said(rig, ["scontrol", "update", f"job={job}", "partition=strict"], USERS[0])

    # Up to 22.05 slurmctld keeps a modification's message to itself (job_submit_lua.c); 23.02 hands it on.
    log = (rig.path / "log" / "slurmctld.log").read_text("utf-8")
    assert moved.returncode != 0
    assert "partition strict asks what a job is for; missing: kind, target" in moved.stderr + log


def test_a_cli_filter_tells_srun_at_once_and_leaves_sbatchs_lines_to_slurmctld(rig: Rig) -> None:
    refused = _said(rig, ["srun", "--partition=filtered", "true"], USERS[0])
    taken = _sbatch(rig, DECLARED, "--hold", "--partition=filtered")
    declared = _said(
        rig, ["srun", "--partition=filtered", "--comment=guard:kind=debug", "--test-only", "true"], USERS[0]
    )

    assert refused.returncode != 0
    assert "partition filtered asks what a job is for; missing: kind" in refused.stderr
    assert taken.returncode == 0, taken.stderr
    assert declared.returncode == 0, declared.stderr


def test_the_components_of_a_het_job_need_no_lines_of_their_own(rig: Rig) -> None:
    done = _sbatch(
        rig,
        "#!/bin/sh\n#GUARD kind=sft\n#GUARD target=steps:5\n#SBATCH -n1\n#SBATCH hetjob\n#SBATCH -n1\ntrue\n",
        "--hold", "--partition=strict",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr

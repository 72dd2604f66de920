"""doctor on a real cluster: nothing against a healthy one, and each mistake of a table is found."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from slurm_guard.config import to_toml
from slurm_guard.doctor.collect import Asked, collect
from slurm_guard.doctor.examine import Examination, examine
from slurm_guard.doctor.finding import Level, Role
from slurm_guard.doctor.registry import CHECKS
from tests.install.warden import guarded
from tests.rig import cluster, guardconf, procs, services
from tests.rig.layout import CHECKOUT, NODES, USERS, Rig, RigError
from tests.rig.stages import run_guard
from tests.rig.submit import submit

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="the rig needs root"),
    pytest.mark.skipif(bool(services.missing_packages()), reason=f"missing: {services.missing_packages()}"),
]
# What the rig is not: a machine that audits by itself, whose letters have a reader tonight.
NOT_A_SITE = {"schedule"}
P, W = Level.PROBLEM, Level.WARNING


class Planted(NamedTuple):
    """One mistake: the check that finds it, how loudly, and words of its sentence."""

    check: str
    level: Level
    words: str
    where: str = ""


Batch = Callable[[Rig, Path], Asked]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A cluster on which a job ran on each node, whose spools were collected, and whose night was audited."""
    folder = Path(tempfile.mkdtemp(prefix="doctor-", dir="/var/tmp"))
    folder.chmod(0o755)
    with guarded(folder):
        found = cluster.up(folder / "r", seed=5)
        config = guardconf.make_config(found)
        switch = replace(config.node, disabled=f"{found.root}/etc/disabled")  # the hooks' own
        found.guard_toml.write_text(to_toml(replace(config, node=switch)), "utf-8")
        began_at = int(time.time())
        script = folder / "job.sbatch"
        script.write_text("#!/bin/sh\nsleep 6\n")
        for node in NODES:
            submit(found, str(script), USERS[0], options=["-w", node.name, "--gres=gpu:1"])
        procs.wait_for("the jobs", lambda: not procs.call(found, ["squeue", "-h"]).strip(), 60.0, 0.5)
        time.sleep(3)  # the samplers seal what has ended
        run_guard(found, ["collect"])
        run_guard(found, ["audit", "--since", str(began_at - 5)])
        yield found


# Places below the rig that a mistake changes, and the mode that they then have.
SPOILT_MODES = {
    "etc/slurm.conf": 0o666,
    "libexec/slurm-guard-prolog": 0o644,
    "libexec/slurm-guard-hooks.conf": 0o666,
    "spool": 0o2755,
    "run": 0o777,
    "progress": 0o750,
    "lake": 0o755,
    "reports": 0o755,
}


@pytest.fixture
def admin(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shell of an admin, with SLURM_CONF; afterwards the cluster is as it was."""
    for name, value in procs.base_env(rig).items():
        monkeypatch.setenv(name, value)
    kept = rig.path.parent / "kept"
    shutil.copytree(rig.path / "etc", kept)
    modes = {rig.path / name: (rig.path / name).stat().st_mode for name in SPOILT_MODES}
    yield
    for path in kept.iterdir():
        shutil.copy2(path, rig.path / "etc" / path.name)
    shutil.rmtree(kept)
    for path, mode in modes.items():
        path.chmod(mode & 0o7777)
    os.chown(rig.path / "libexec/slurm-guard-epilog", 0, 0)
    (rig.path / "etc/disabled").unlink(missing_ok=True)
    procs.call(rig, ["scontrol", "reconfigure"])
    with contextlib.suppress(RigError):  # one that is not drained cannot be resumed
        procs.call(rig, ["scontrol", "update", "nodename=n2", "state=resume"])


def _look(rig: Rig, asked: Asked | None = None) -> Examination:
    facts, roles = collect(asked or Asked(rig.guard_toml), frozenset(Role))
    return examine(facts, CHECKS, roles)


def _bad(found: Examination) -> list[str]:
    levels = (Level.PROBLEM, Level.WARNING, Level.UNSEEN)
    return [
        f"{one.check}: {one.sentence}"
        for one in found.findings
        if one.level in levels and one.check not in NOT_A_SITE
    ]


def _command(rig: Rig, *words: str) -> "subprocess.CompletedProcess[str]":
    program = Path(rig.python).with_name("slurm-guard")
    argv = [str(program), "doctor", "--config", str(rig.guard_toml), "--role", "all", *words]
    env = {**procs.base_env(rig), "PYTHONPATH": str(CHECKOUT), "COLUMNS": "200"}
    return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)


def test_a_healthy_cluster_has_no_finding(rig: Rig) -> None:
    done = _command(rig, "--format", "json")

    data = json.loads(done.stdout)
    bad = [f for f in data["findings"] if f["level"] != "ok" and f["check"] not in NOT_A_SITE]
    assert bad == []
    assert (done.returncode, data["counts"]["problem"]) == (0, 0)
    assert {finding["check"] for finding in data["findings"]} == {check.id for check in CHECKS}


def _edit(path: Path, *changes: tuple[str, str]) -> None:
    """Lines that begin with the first word become the second; an unknown one is added."""
    lines = path.read_text("utf-8").splitlines()
    for start, new in changes:
        known = any(start and line.startswith(start) for line in lines)
        lines = [new if start and line.startswith(start) else line for line in lines] + (
            [] if known else [new]
        )
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _live_slurm_conf(rig: Rig, _: Path) -> Asked:
    """slurm.conf as a hurried admin leaves it, and slurmctld runs with it."""
    site = rig.path / "site.d"
    site.mkdir(exist_ok=True)
    (site / "90-site").write_text("#!/bin/sh\nkillall -9 -u root trainer\n")
    (site / "90-site").chmod(0o755)
    (site / "README").write_text("scripts of the site\n")
    _edit(
        rig.conf,
        ("PrologFlags=", "PrologFlags=Serial"),
        ("PrologEpilogTimeout=", "PrologEpilogTimeout=2"),
        ("AccountingStoreFlags=", "# none"),
        ("TaskProlog=", "TaskProlog=/bin/true"),
        ("Epilog=", f"Epilog={site}/*"),
        ("SchedulerParameters=", "SchedulerParameters=bf_interval=3,extra_constraints"),
        ("", "PrivateData=jobs"),
        ("", "Prolog=/bin/true"),
    )
    procs.call(rig, ["scontrol", "reconfigure"])
    procs.call(rig, ["scontrol", "update", "nodename=n2", "state=drain", "reason=Prolog error"])
    return Asked(rig.guard_toml)


def _unread_slurm_conf(rig: Rig, _: Path) -> Asked:
    """A line that slurmctld was never told of; a gres.conf that only counts."""
    _edit(rig.conf, ("Epilog=", "Epilog=/etc/slurm/epilog.sh"))
    (rig.path / "etc" / "gres.conf").write_text("NodeName=n[1-2] Name=gpu Type=h100 Count=4\n")
    return Asked(rig.guard_toml)


def _tres_until_restart(rig: Rig, _: Path) -> Asked:
    """slurm.conf without gres/gpu, and slurmctld was told of it."""
    _edit(rig.conf, ("AccountingStorageTRES=", "AccountingStorageTRES=cpu"))
    procs.call(rig, ["scontrol", "reconfigure"])
    return Asked(rig.guard_toml)


def _unread_spools(rig: Rig, tmp_path: Path) -> Asked:
    """A spool that is not there, and one that whoever audits may not read."""
    (rig.path / "spool").chmod(0o700)
    config = guardconf.make_config(rig)
    spools = ["/nowhere", *config.lake.spools]
    toml = tmp_path / "guard.toml"
    toml.write_text(to_toml(replace(config, lake=replace(config.lake, spools=spools))))
    for place in (toml, tmp_path, tmp_path.parent, tmp_path.parent.parent):
        place.chmod(0o755 if place.is_dir() else 0o644)
    return Asked(toml)


def _hurt_files(rig: Rig, _: Path) -> Asked:
    """Modes, owners and files of a node and a head node; a sampler that was killed."""
    os.chown(rig.path / "libexec/slurm-guard-epilog", 12345, 0)
    (rig.path / "etc/disabled").touch()
    (rig.path / "own").mkdir(mode=0o755, exist_ok=True)
    torn = rig.path / "spool/n1/sealed/torn.000001.jsonl"
    torn.write_text('{"k":"head"')
    ticket = rig.path / "spool/n3/tickets/late.json"
    ticket.parent.mkdir(parents=True, exist_ok=True)
    now_at = time.time()
    ticket.write_text(json.dumps({"at": now_at - 300, "slurm_start_at": now_at, "job_id": 1}))
    run_guard(rig, ["collect"])
    for name, mode in SPOILT_MODES.items():
        (rig.path / name).chmod(mode)  # after collecting, which closes a lake that is open
    pid = int((rig.path / "run/n1/sampler.pid").read_text().split()[0])
    os.kill(pid, 9)
    procs.wait_for("the sampler to be gone", lambda: procs.start_ticks(pid) is None)
    return Asked(rig.guard_toml)


def _other_settings(rig: Rig, tmp_path: Path) -> Asked:
    """Copies of both settings files with everything wrong that can be written there."""
    hooks = tmp_path / "slurm-guard-hooks.conf"
    hooks.write_text(
        "PYTHON=/opt/python3.6\nLIB=/usr/lib/python3\nSAMPLER_PYTHON=/usr/bin/python3\n"
        f"RUN_DIR=/run/elsewhere\nPYTHN=x\nSPOOL_DIR={rig.root}/spool\nCLIENT_DIR={rig.root}/progress\n"
    )
    config = guardconf.make_config(rig)
    wrong = replace(
        config,
        report=replace(config.report, timezone="Mars/Base"),
        mail=replace(config.mail, port=1),
        progress=replace(config.progress, parser_user="root"),
    )
    toml = tmp_path / "guard.toml"
    toml.write_text(to_toml(wrong))
    toml.chmod(0o644)
    tmp_path.chmod(0o755)
    return Asked(toml, hook_settings=hooks)


def _windows_settings(rig: Rig, tmp_path: Path) -> Asked:
    """The hooks' settings, saved by an editor of Windows."""
    hooks = tmp_path / "slurm-guard-hooks.conf"
    text = (rig.path / "libexec/slurm-guard-hooks.conf").read_text()
    hooks.write_text(text, newline="\r\n")
    return Asked(rig.guard_toml, hook_settings=hooks)


def _silent_daemons(rig: Rig, tmp_path: Path) -> Asked:
    """Slurm's commands hang, for every user, and so does the mail server."""
    for name in ("scontrol", "sinfo", "sacct", "sacctmgr"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nsleep 60\n")
        program.chmod(0o755)
    config = guardconf.make_config(rig)
    toml = tmp_path / "guard.toml"
    toml.write_text(to_toml(replace(config, slurm=replace(config.slurm, sacct=str(tmp_path / "sacct")))))
    toml.chmod(0o644)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    return Asked(toml, timeout_s=2.0)


def _unsafe_toml(rig: Rig, tmp_path: Path) -> Asked:
    """guard.toml that everybody may write."""
    rig.guard_toml.chmod(0o666)
    return Asked(rig.guard_toml)


MISTAKES: dict[Batch, list[Planted]] = {
    _live_slurm_conf: [
        Planted("prolog-flags", P, "without PrologFlags=Alloc"),
        Planted("prolog-timeout", P, "after 2 s"),
        Planted("accounting-flags", W, "job_comment"),
        Planted("extra-constraints", W, "--extra"),
        Planted("private-data", P, "sgaudit"),
        Planted("prolog-hook", P, "Prolog=/bin/true does not run"),
        Planted("epilog-hook", P, "does not run our hook"),
        Planted("task-prolog-hook", W, "does not run our hook"),
        Planted("second-line", P, "which is not run any more"),
        Planted("hook-globs", P, "README, which cannot be run"),
        Planted("site-kills", W, "killall"),
        Planted("drained-nodes", P, "its prolog", "n2"),
    ],
    _unread_slurm_conf: [
        Planted("slurm-conf-read", P, "another Epilog than"),
        Planted("gres-files", P, "names no File="),
        Planted("hook-files", P, "/etc/slurm/epilog.sh, which is not there"),
    ],
    _tres_until_restart: [Planted("accounting-tres", P, "until it is restarted")],
    _unread_spools: [
        Planted("spools", P, "/nowhere, which is no folder"),
        Planted("spools", P, "sgaudit, who collects, may not read"),
    ],
    _hurt_files: [
        Planted("hook-files", P, "cannot be run"),
        Planted("hook-files", P, "belongs to uid 12345"),
        Planted("slurm-conf-safe", P, "may be written by everybody"),
        Planted("hook-settings", P, "mode 0666"),
        Planted("sampler", P, "without a last word", "n1"),
        Planted("switched-off", W, "etc/disabled"),
        Planted("run-folder", P, "mode 0777"),
        Planted("spool-folder", P, "everybody may look"),
        Planted("progress-folder", P, "users cannot enter"),
        Planted("lake-folder", P, "command lines"),
        Planted("reports-folder", P, "verdicts"),
        Planted("own-folder", P, "mode 0755"),
        Planted("quarantine", W, "2 files of the last week in quarantine"),
        Planted("clocks", P, "300 s behind", "n3"),
    ],
    _other_settings: [
        Planted("hook-settings", W, "PYTHN"),
        Planted("settings-agree", P, "RUN_DIR=/run/elsewhere"),
        Planted("hook-python", P, "/opt/python3.6 is not there"),
        Planted("sampler-python", P, "cannot do its work"),
        Planted("hook-package", P, "does not hold"),
        Planted("time-zone", P, "Mars"),
        Planted("mail-server", P, "cannot be reached"),
        Planted("parser-user", P, "root's rights"),
    ],
    _windows_settings: [
        Planted("hook-settings", W, "with a CR at the end"),
        Planted("hook-python", Level.OK, "loads them"),
    ],
    _silent_daemons: [
        Planted("slurmctld", P, "did not answer within 2 s"),
        Planted("slurmdbd", P, "did not answer"),
        Planted("sacct", P, "did not answer"),
        Planted("slurm-version", Level.UNSEEN, "did not answer"),
        Planted("lake-folder", Level.OK, "closed"),
        Planted("mail-server", Level.OK, "would take letters"),
    ],
    _unsafe_toml: [
        Planted("guard-toml", P, "may be written by everybody"),
        Planted("mail-readers", Level.UNSEEN, "another check"),
        Planted("slurmdbd", Level.UNSEEN, "guard.toml is not right"),
        Planted("sacct", Level.UNSEEN, "guard.toml is not right"),
    ],
}


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("batch", MISTAKES, ids=lambda batch: batch.__name__.strip("_"))
def test_each_planted_mistake_is_found(batch: Batch, rig: Rig, tmp_path: Path) -> None:
    asked = batch(rig, tmp_path)
    began_s = time.monotonic()

    found = _look(rig, asked)

    missed = [
        row
        for row in MISTAKES[batch]
        if not any(
            (one.check, one.level) == (row.check, row.level)
            and row.words in one.sentence
            and one.where == (row.where or one.where)
            for one in found.findings
        )
    ]
    assert missed == [], _bad(found)
    assert all(one.remedy for one in found.findings if one.level is not Level.OK)
    assert time.monotonic() - began_s < 30


def test_more_than_twenty_mistakes_are_in_the_table() -> None:
    rows = [row for rows in MISTAKES.values() for row in rows if row.level in (P, W)]

    assert len(rows) >= 20
    assert len({row.check for row in rows}) >= 20


def test_the_command_ends_with_10_where_there_is_a_problem(rig: Rig) -> None:
    rig.guard_toml.chmod(0o666)
    try:
        done = _command(rig, "--check", "guard-toml")
    finally:
        rig.guard_toml.chmod(0o644)

    assert (done.returncode, done.stderr) == (10, "")
    assert done.stdout.startswith("problem ")
    assert "\n    → " in done.stdout

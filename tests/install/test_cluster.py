"""Into a running cluster with a site's own programs, a new release under load, and out without a trace."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.install.facts import parse_version
from tests.install.warden import guarded
from tests.rig import cluster, procs, services
from tests.rig.jobs import drained_nodes, read_charges
from tests.rig.layout import CHECKOUT, USERS, Rig
from tests.rig.submit import submit

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="the rig needs root"),
    pytest.mark.skipif(bool(services.missing_packages()), reason=f"missing: {services.missing_packages()}"),
]
JOB = """#!/bin/sh
#SBATCH --gres=gpu:1
echo "$SITE_MARK $SLURM_GUARD_PROGRESS" >"words.$SLURM_JOB_ID"
sleep "$1"
"""
SITE = {
    "Prolog": 'sleep 0.4\necho "prolog $SLURM_JOB_ID" >>{marks}\nexit 0\n',
    "Epilog": 'echo "epilog $SLURM_JOB_ID" >>{marks}\nexit 0\n',
    "TaskProlog": "echo export SITE_MARK=site\n",
}
OURS = ("prolog=", "epilog=", "taskprolog=", "prologflags=", "prologepilogtimeout=")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A running rig whose slurm.conf knows nothing of slurm-guard; it has programs of the site's own."""
    top = Path(tempfile.mkdtemp(prefix="rig-", dir="/var/tmp"))
    top.chmod(0o755)
    with guarded(top):
        rig = cluster.up(top / "r", seed=3)
        make_site(rig)
        yield rig


def make_site(rig: Rig) -> None:
    """slurm.conf of a site before slurm-guard: CRLF in an included file, and the site's programs."""
    marks = rig.path / "marks"
    marks.touch()
    lines = []
    for key, text in SITE.items():
        path = rig.path / f"site-{key.lower()}"
        path.write_text("#!/bin/sh\n" + text.format(marks=marks))
        path.chmod(0o755)
        lines.append(f"{key}={path}    # the site's own\r\n")
    kept = [line for line in rig.conf.read_text().splitlines() if not line.lower().startswith(OURS)]
    rig.conf.write_text("\n".join(["Include site.conf", *kept]))  # and no end of its last line
    (rig.conf.parent / "site.conf").write_bytes("".join(lines).encode())
    (rig.path / "job.sh").write_text(JOB)
    procs.call(rig, ["scontrol", "reconfigure"])
    time.sleep(3)


def guard(rig: Rig, *words: str, lib: Path = CHECKOUT) -> str:
    """The program of the package in `lib`."""
    main = "from slurm_guard.cli.app import main; main()"
    env = {**procs.base_env(rig), "PYTHONPATH": str(lib)}
    argv = [sys.executable, "-P", "-c", main, *words]
    done = subprocess.run(argv, cwd="/", env=env, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def send(rig: Rig, n: int, seconds: float) -> list[int]:
    return [submit(rig, str(rig.path / "job.sh"), USERS[i % 2], [str(seconds)]) for i in range(n)]


def newer_release(rig: Rig) -> Path:
    """Another release of the package, with other hooks."""
    lib = rig.path / "newer"
    shutil.copytree(
        CHECKOUT / "slurm_guard", lib / "slurm_guard", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("prolog", "epilog", "packaging", "reports"):
        shutil.copytree(CHECKOUT / name, lib / name)
    for path in (*lib.glob("prolog/slurm-*"), *lib.glob("epilog/slurm-*")):
        path.write_text(path.read_text() + "# newer\n")
    return lib


def sums(rig: Rig) -> dict[str, tuple[str, int, int]]:
    """Digest, mode and owner of what is the site's."""
    found = {}
    for path in (*sorted(rig.conf.parent.iterdir()), *sorted(rig.path.glob("site-*"))):
        status = path.stat()
        found[path.name] = (hashlib.sha256(path.read_bytes()).hexdigest(), status.st_mode, status.st_uid)
    return found


def test_in_under_load_out_again_without_a_trace(rig: Rig) -> None:
    prefix = rig.path / "guard"
    before = sums(rig)
    jobs = send(rig, 2, 12)  # these live through everything that follows at once
    jobs += send(rig, 2, 0.2)

    words = ["--prefix", str(prefix), "--slurm-conf", str(rig.conf)]
    dry = guard(rig, "install", *words)
    assert sums(rig) == before
    assert "+Prolog=" in dry
    slurm = parse_version(procs.call(rig, ["scontrol", "--version"]))
    assert ("libexec/slurm-guard/site/prolog\\r" in dry) == (slurm < (24, 5))
    guard(rig, "install", *words, "--apply", "--reconfigure")
    time.sleep(2)
    watched = send(rig, 4, 0.5)
    releases = [newer_release(rig), CHECKOUT]
    for turn in range(6):
        watched += send(rig, 2, 0.3)
        said = guard(rig, "upgrade", "--prefix", str(prefix), "--apply", lib=releases[turn % 2])
        assert "slurm-guard-prolog" in said
    wait_for_ends(rig)
    late = send(rig, 2, 4)  # running while it is taken off
    said = guard(rig, "uninstall", "--prefix", str(prefix), "--apply", "--reconfigure")
    after = send(rig, 4, 0.2)
    wait_for_ends(rig)

    everyone = [*jobs, *watched, *late, *after]
    assert {charge.state for charge in read_charges(rig, everyone).values()} == {"COMPLETED"}
    assert drained_nodes(rig) == []
    marks = (rig.path / "marks").read_text().split("\n")
    assert sorted(mark for mark in marks if mark) == sorted(
        f"{hook} {job}" for job in everyone for hook in ("prolog", "epilog")
    )
    told = {job: words_of(rig, job) for job in everyone}
    assert all(words[0] == "site" for words in told.values()), told
    assert all(len(words) == 2 for job, words in told.items() if job in watched), told
    assert all(len(words) == 1 for job, words in told.items() if job in after), told
    assert all(str(job) in spooled(prefix) for job in watched)
    assert sums(rig) == before
    left = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    assert all(
        name.startswith(("var/lib/slurm-guard/spool/", "var/lib/slurm-guard/progress/", "run/"))
        for name in left
    )
    assert "as before, byte for byte" in said


def wait_for_ends(rig: Rig) -> None:
    procs.wait_for("all jobs' ends", lambda: not procs.call(rig, ["squeue", "-h"]).strip(), 90.0, 0.5)


def spooled(prefix: Path) -> str:
    """Names and texts of all that our hooks wrote."""
    return "".join(path.name + path.read_text() for path in prefix.rglob("spool/**/*") if path.is_file())


def words_of(rig: Rig, job: int) -> list[str]:
    """What the job had in its environment."""
    (path,) = rig.path.glob(f"home/*/words.{job}")
    return path.read_text().split()


def test_a_sites_prolog_that_fails_drains_as_before_and_ours_ran_first(rig: Rig) -> None:
    prefix, site = rig.path / "guard2", rig.path / "site-prolog"
    good = site.read_text()
    guard(rig, "install", "--prefix", str(prefix), "--slurm-conf", str(rig.conf), "--apply", "--reconfigure")
    time.sleep(2)
    site.write_text("#!/bin/sh\nexit 7\n")

    (job,) = send(rig, 1, 0.2)
    procs.wait_for("a drained node", lambda: bool(drained_nodes(rig)), 30.0, 0.5)

    (drained,) = drained_nodes(rig)
    assert "Prolog error" in drained
    assert str(job) in spooled(prefix)
    site.write_text(good)
    procs.call(rig, ["scancel", str(job)])
    procs.call(rig, ["scontrol", "update", f"NodeName={drained.split()[0]}", "State=RESUME"])
    guard(rig, "uninstall", "--prefix", str(prefix), "--apply", "--reconfigure")
    assert drained_nodes(rig) == []

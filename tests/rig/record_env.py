"""Records what a real slurmd hands its hooks, as fixtures: python -m tests.rig.record_env --dir RIG.

The rig must be up. Each case submits jobs as an ordinary user, waits for their end, and leaves one file for
each hook that ran, in order: tests/fixtures/hooks/<version>/<case>.<nn>.<hook>.env, lines of `NAME=value`.
What differs from rig to rig (paths, cluster, user, job ids) is made equal.
"""

import argparse
import contextlib
import pwd
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.rig import procs, users
from tests.rig.layout import CHECKOUT, USERS, Rig, RigError, load_rig
from tests.rig.submit import job_env

USER = USERS[0]
HOOKS = ("prolog", "epilog")
_IDS = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_HET_JOB_ID", "SLURM_PACK_JOB_ID")
_DUMP = """#!/bin/sh
/usr/bin/env -0 >{out}/$(/bin/date +%s%N).{hook}
exec {real}
"""


def main() -> int:
    """Record every case; 1 when one did not come about."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the rig's folder")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "tests" / "fixtures" / "hooks")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only these")
    args = parser.parse_args()
    rig = load_rig(args.dir.resolve())
    version = procs.call(rig, ["sinfo", "--version"]).split()[-1]
    folder = args.out / ".".join(version.split(".")[:2])
    folder.mkdir(parents=True, exist_ok=True)
    with _tapped(rig) as tap:
        for name in args.case or CASES:
            CASES[name](rig)
            _wait_until_quiet(rig, tap)
            _keep(rig, tap, folder, name, version)
    return 0


@contextlib.contextmanager
def _tapped(rig: Rig) -> Iterator[Path]:
    """The hooks in slurm.conf's place write their environment down and then run as ever."""
    tap = rig.path / "tap"
    tap.mkdir(exist_ok=True)
    shims = {hook: rig.path / "libexec" / f"slurm-guard-{hook}" for hook in HOOKS}
    for hook, shim in shims.items():
        real = shim.with_name(f"{shim.name}.real")
        if not real.exists():
            shim.rename(real)
        new = shim.with_name(f"{shim.name}.new")
        new.write_text(_DUMP.format(out=tap, hook=hook, real=real), "utf-8")
        new.chmod(0o755)
        new.rename(shim)
    try:
        yield tap
    finally:
        for shim in shims.values():
            shim.with_name(f"{shim.name}.real").rename(shim)


def _wait_until_quiet(rig: Rig, tap: Path) -> None:
    """No job is left, and no hook has run for two seconds."""
    procs.wait_for("jobs to end", lambda: not procs.call(rig, ["squeue", "-h"]).strip(), 120.0, 0.5)
    seen = -1
    while seen != len(list(tap.iterdir())):
        seen = len(list(tap.iterdir()))
        time.sleep(2.0)


def _keep(rig: Rig, tap: Path, folder: Path, case: str, version: str) -> None:
    for old in folder.glob(f"{case}.*.env"):
        old.unlink()
    dumps = {path: path.read_bytes() for path in sorted(tap.iterdir())}
    first = min(int(raw.partition(b"SLURM_JOB_ID=")[2].partition(b"\0")[0]) for raw in dumps.values())
    for n, (path, raw) in enumerate(dumps.items()):
        hook = path.suffix[1:]
        body = "".join(f"{line}\n" for line in sorted(_scrubbed(rig, raw, first)))
        (folder / f"{case}.{n:02d}.{hook}.env").write_text(f"# recorded, Slurm {version}\n{body}", "utf-8")
        path.unlink()
    print(f"{case}: {len(list(folder.glob(f'{case}.*.env')))} hooks")


def _scrubbed(rig: Rig, raw: bytes, first_job: int) -> Iterator[str]:
    entry = pwd.getpwnam(USER)
    for part in raw.decode("utf-8", "replace").split("\0"):
        name, sign, value = part.partition("=")
        if not sign or name in ("PWD", "OLDPWD", "SHLVL", "_"):
            continue
        value = value.replace(rig.root, "/site").replace(USER, "alice").replace(rig.cluster, "c1")
        if name in _IDS:
            value = str(int(value) - first_job + 1)
        if name in ("SLURM_JOB_UID", "SLURM_UID", "SLURM_JOB_GID"):
            value = "1000" if value in (str(entry.pw_uid), str(entry.pw_gid)) else value
        yield f"{name}={value}"


# -- cases


def _sbatch(rig: Rig, *args: str, wrap: str = "sleep 2") -> int:
    argv = [*users.as_user(USER), "sbatch", "--parsable", f"--chdir={rig.home(USER)}", *args]
    out = _as_user(rig, [*argv, f"--wrap={wrap}"])
    return int(re.split(r"[;\s]", out)[0])


def _as_user(rig: Rig, argv: list[str]) -> str:
    done = subprocess.run(
        argv, env=job_env(rig, USER), cwd="/", capture_output=True, text=True, timeout=180, check=False
    )
    if done.returncode != 0:
        raise RigError(f"{' '.join(argv)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def _wait_for_state(rig: Rig, job: int, state: str) -> None:
    procs.wait_for(
        f"job {job} {state}",
        lambda: state in procs.call(rig, ["squeue", "-h", "-t", "all", "-j", str(job), "-o", "%T"]),
        60.0,
    )


def _running(rig: Rig, *args: str, wrap: str = "sleep 600") -> int:
    job = _sbatch(rig, *args, wrap=wrap)
    _wait_for_state(rig, job, "RUNNING")
    time.sleep(2.0)
    return job


def _scontrol(rig: Rig, *words: str) -> None:
    """As the job's owner."""
    _as_user(rig, [*users.as_user(USER), "scontrol", *words])


def _batch(rig: Rig) -> None:
    _sbatch(rig, "--gres=gpu:2", "--comment=guard:task=pretrain;target=tokens:2e12", "--output=%j-%x.out")


def _failed(rig: Rig) -> None:
    _sbatch(rig, "--gres=gpu:1", wrap="exit 3")


def _cpu_only(rig: Rig) -> None:
    _sbatch(rig)


def _array(rig: Rig) -> None:
    _sbatch(rig, "--gres=gpu:1", "--array=0-2%1")


def _het(rig: Rig) -> None:
    script = rig.home(USER) / "het.sbatch"
    script.write_text(
        "#!/bin/sh\n#SBATCH --gres=gpu:1 --nodelist=n1\n#SBATCH hetjob\n"
        "#SBATCH --gres=gpu:2 --nodelist=n2\nsleep 2\n",
        "utf-8",
    )
    argv = [*users.as_user(USER), "sbatch", "--parsable", f"--chdir={rig.home(USER)}", str(script)]
    _as_user(rig, argv)


def _salloc(rig: Rig) -> None:
    _as_user(rig, [*users.as_user(USER), "salloc", "-Q", "-N1", "--gres=gpu:1", "sleep", "2"])


def _salloc_two_nodes(rig: Rig) -> None:
    _as_user(rig, [*users.as_user(USER), "salloc", "-Q", "-N2", "--gres=gpu:1", "sleep", "2"])


def _two_nodes(rig: Rig) -> None:
    _sbatch(rig, "-N2", "--gres=gpu:1")


def _requeue(rig: Rig) -> None:
    job = _running(rig, "--gres=gpu:1", "--requeue", "--comment=guard:task=x")
    _scontrol(rig, "requeue", str(job))
    _wait_for_state(rig, job, "PENDING")
    time.sleep(2.0)
    procs.call(rig, ["scontrol", "update", f"jobid={job}", "starttime=now"])
    _wait_for_state(rig, job, "RUNNING")
    time.sleep(2.0)
    procs.call(rig, ["scancel", str(job)])


def _edited(rig: Rig) -> None:
    job = _running(rig, "--gres=gpu:1", "--comment=guard:task=x")
    _scontrol(rig, "update", f"jobid={job}", "comment=guard:task=y")
    procs.call(rig, ["scancel", str(job)])


def _cleared(rig: Rig) -> None:
    job = _running(rig, "--gres=gpu:1", "--comment=guard:task=x")
    _scontrol(rig, "update", f"jobid={job}", "comment=")
    procs.call(rig, ["scancel", str(job)])


def _suspended(rig: Rig) -> None:
    """No hook fires; the sampler's words are what there is to see of it."""
    job = _running(rig, "--gres=gpu:1", wrap="sleep 600 & wait")
    procs.call(rig, ["scontrol", "suspend", str(job)])
    time.sleep(6.0)
    procs.call(rig, ["scontrol", "resume", str(job)])
    time.sleep(4.0)
    procs.call(rig, ["scancel", str(job)])


def _resized(rig: Rig) -> None:
    job = _running(rig, "-N2", "--gres=gpu:1")
    _scontrol(rig, "update", f"jobid={job}", "numnodes=1")
    time.sleep(4.0)
    procs.call(rig, ["scancel", str(job)])


def _salloc_without_flags(rig: Rig) -> None:
    """As salloc-two-nodes, on a cluster without PrologFlags=Alloc."""
    text = rig.conf.read_text("utf-8")
    try:
        rig.conf.write_text(text.replace("PrologFlags=Alloc\n", ""), "utf-8")
        procs.call(rig, ["scontrol", "reconfigure"])
        time.sleep(3.0)
        _salloc_two_nodes(rig)
        time.sleep(3.0)
    finally:
        rig.conf.write_text(text, "utf-8")
        procs.call(rig, ["scontrol", "reconfigure"])


CASES: dict[str, Callable[[Rig], None]] = {
    "batch": _batch,
    "failed": _failed,
    "cpu-only": _cpu_only,
    "array": _array,
    "het": _het,
    "salloc": _salloc,
    "salloc-two-nodes": _salloc_two_nodes,
    "two-nodes": _two_nodes,
    "requeue": _requeue,
    "edited": _edited,
    "cleared": _cleared,
    "suspended": _suspended,
    "resized": _resized,
    "salloc-without-flags": _salloc_without_flags,
}


if __name__ == "__main__":
    sys.exit(main())

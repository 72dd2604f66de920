"""Workloads by name, submitted as an ordinary user would."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.rig import procs, users
from tests.rig.layout import USERS, WORKLOADS, Rig, RigError

JOBS = WORKLOADS / "jobs"


def list_workloads() -> dict[str, str]:
    """Name and first comment of every launch script."""
    found = {}
    for path in sorted(JOBS.glob("*.sbatch")):
        lines = path.read_text("utf-8").splitlines()
        says = [line[2:] for line in lines[1:] if line.startswith("# ")]
        found[path.stem] = says[0] if says else ""
    return found


def submit(
    rig: Rig,
    workload: str,
    user: str,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> int:
    """The raw job id. `workload`: of `list_workloads`, or an sbatch script's path; `options`: sbatch's."""
    script = JOBS / f"{workload}.sbatch"
    if not script.exists():
        script = Path(workload).resolve()
    if not script.exists():
        raise RigError(f"no workload {workload!r}; there are: {', '.join(list_workloads())}")
    if user not in USERS:
        raise RigError(f"no user {user!r}; the rig's are {', '.join(USERS)}")
    argv = [*users.as_user(user), "sbatch", "--parsable", f"--chdir={rig.home(user)}"]
    argv += [*options, str(script), *args]
    done = subprocess.run(
        argv,
        env={**job_env(rig, user), **(env or {})},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RigError(f"sbatch refused {workload}: {done.stderr.strip()[-400:]}")
    return int(done.stdout.split(";")[0])


def job_env(rig: Rig, user: str) -> dict[str, str]:
    """What a user of the rig has in his shell."""
    return {
        **procs.base_env(rig),
        "HOME": str(rig.home(user)),
        "USER": user,
        "RIG_PYTHON": rig.python,
        "RIG_WORKLOADS": str(WORKLOADS),
        "RIG_SSH": str(rig.path / "ssh" / "client_config"),
    }

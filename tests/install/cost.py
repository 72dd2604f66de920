"""What slurmctld pays for reading intents: `python -m tests.install.cost DIR [N]`, as root.

By slurmctld's own record (sdiag) of N submissions each: no plugin, a job_submit.lua that does nothing, ours.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

from tests.install.test_declare import DECLARED, SITE, put_site
from tests.rig import cluster, procs, users
from tests.rig.layout import CHECKOUT, USERS, Rig
from tests.rig.submit import job_env

EMPTY = (
    "function slurm_job_submit() return slurm.SUCCESS end\n"
    "function slurm_job_modify() return slurm.SUCCESS end\nreturn slurm.SUCCESS\n"
)
_LINE = re.compile(r"REQUEST_SUBMIT_BATCH_JOB\s.*count:(\d+)\s+ave_time:(\d+)")


def _play(rig: Rig, n: int) -> str:
    """Submissions a second as one shell sends them, and slurmctld's own mean time of one."""
    path = rig.path / "cost.sbatch"
    path.write_text(DECLARED, "utf-8")
    path.chmod(0o755)
    loop = f"for i in $(seq {n}); do sbatch --hold --chdir=/ --comment=note {path} >/dev/null; done"
    procs.call(rig, ["sdiag", "--reset"])
    begin = time.monotonic()
    subprocess.run([*users.as_user(USERS[0]), "sh", "-c", loop], env=job_env(rig, USERS[0]), check=True)
    took_s = time.monotonic() - begin
    match = _LINE.search(procs.call(rig, ["sdiag"]))
    return f"{n / took_s:6.1f} a second, {match[2] if match else '?'} µs in slurmctld"


def main(folder: Path, n: int) -> None:
    """Prints one line a way."""
    rig = cluster.up(folder, seed=12)
    try:
        ways = (("none", EMPTY, ""), ("empty", EMPTY, "lua"), ("ours", SITE % CHECKOUT, "lua"))
        for name, text, plugins in ways * 2:
            put_site(rig, text, plugins)
            print(f"{name:6} {_play(rig, n)}", flush=True)
            procs.call(rig, ["scancel", f"--user={USERS[0]}"])
    finally:
        cluster.down(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200)

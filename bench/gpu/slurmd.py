"""Slurm's part on one node, played: environment of the hooks, control groups, slurmstepd, accounting's row.

The hooks, the sampler, the user's processes and the GPU are real. What Slurm would add is done here as
24.11 does it (tests/fixtures/hooks, docs/slurm-facts.md): the prolog's variables,
`slurmstepd.scope/job_N/step_batch/ user/task_0` in cgroup v2, a root process titled `slurmstepd: [N.batch]`
above the user's, sacct's columns."""

import os
import pwd
import shlex
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

NODE, CLUSTER = "gpu1", "bench"
US = "\x1f"
_COLUMNS = (
    *(
        "JobIDRaw",
        "JobID",
        "Cluster",
        "State",
        "Submit",
        "Start",
        "End",
        "ElapsedRaw",
        "Suspended",
        "AllocTRES",
    ),
    *("NNodes", "NodeList", "User", "UID", "Account", "Partition", "QOS", "WorkDir", "JobName", "Comment"),
)
_SCOPE = "system.slice/slurmstepd.scope"


class Site(NamedTuple):
    """Where the played node keeps its things."""

    folder: Path
    user: str
    python: str  # of the jobs
    libexec: Path  # the shims
    cgroups: Path | None  # mount point of cgroup v2; null: none that we may write to


class Ran(NamedTuple):
    """A job as it went."""

    job: int
    name: str
    start_at: int
    end_at: int
    status: int
    hooks_ms: tuple[float, float]


def find_cgroups(folder: Path) -> Path | None:
    """A cgroup v2 hierarchy to make jobs' folders in: the machine's, else one mounted in `folder`."""
    for mount in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), folder / "cgroup2"):
        if mount.parent == folder:
            mount.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "cgroup2", "none", str(mount)], capture_output=True, check=False)
        if (mount / "cgroup.procs").exists():
            try:
                (mount / _SCOPE).mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            return mount
    return None


def run_job(
    site: Site, job: int, who: tuple[str, str], words: list[str], beside: list[str] | None, limit_s: float
) -> Ran:
    """Prolog, the user's programs, epilog. `who`: the job's name and declared task; `words`: the batch
    script's command; `beside`: a second process of the same job, in the background. Standard output goes to
    `<home>/<job>.out`."""
    home, name = site.folder / "home", who[0]
    env = _hook_env(site, job, who, home)
    start_at = int(time.time())
    env["SLURM_JOB_START_TIME"] = str(start_at)
    begun_ms = _hook(site, "slurm-guard-prolog", env)
    script = shlex.join(words)
    if beside is not None:
        script = f"{shlex.join(beside)} & {script}; wait"
    owner = pwd.getpwnam(site.user)
    drop = f"setpriv --reuid {owner.pw_uid} --regid {owner.pw_gid} --clear-groups"
    own = f"exec >{home}/{job}.out 2>&1; {script}"  # opened as the user: the file is his
    inner = f"{drop} sh -c {shlex.quote(own)}; exit $?"
    groups = _make_groups(site, job)
    enter = f"echo $$ >{groups}/cgroup.procs; " if groups is not None else ""
    stepd = subprocess.Popen(
        [f"slurmstepd: [{job}.batch]", "-c", enter + inner],
        executable="/bin/sh",
        cwd=home,
        env=_job_env(site, job, home),
        start_new_session=True,
    )
    try:
        status = stepd.wait(limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(stepd.pid, 9)
        status = stepd.wait()
    end_at = int(time.time())
    ended_ms = _hook(site, "slurm-guard-epilog", env)
    if groups is not None:
        _remove_groups(groups)
    return Ran(job, name, start_at, max(end_at, start_at + 1), status, (begun_ms, ended_ms))


def _hook_env(site: Site, job: int, who: tuple[str, str], home: Path) -> dict[str, str]:
    owner = pwd.getpwnam(site.user)
    ids = {"SLURM_JOB_ID": job, "SLURM_JOBID": job, "SLURM_JOB_UID": owner.pw_uid, "SLURM_UID": owner.pw_uid}
    return {
        **{key: str(value) for key, value in ids.items()},
        "SLURM_JOB_GID": str(owner.pw_gid),
        "SLURM_JOB_USER": site.user,
        "SLURM_JOB_ACCOUNT": "lab",
        "SLURM_JOB_PARTITION": "gpu",
        "SLURM_JOB_GPUS": "0",
        "CUDA_VISIBLE_DEVICES": "0",
        "SLURM_JOB_COMMENT": f'guard={{"v":1,"task":"{who[1]}","progress":"{home}/{job}.*"}}',
        "SLURM_JOB_NAME": who[0],
        "SLURM_JOB_NODELIST": NODE,
        "SLURM_NODELIST": NODE,
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_OVERSUBSCRIBE": "OK",
        "SLURM_JOB_RESTART_COUNT": "0",
        "SLURM_JOB_STDOUT": f"{home}/{job}.out",
        "SLURM_JOB_WORK_DIR": str(home),
        "SLURMD_NODENAME": NODE,
        "SLURM_CLUSTER_NAME": CLUSTER,
    }


def _job_env(site: Site, job: int, home: Path) -> dict[str, str]:
    keep = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "CUDA_HOME") if key in os.environ}
    own = {"HOME": str(home), "USER": site.user, "SLURM_JOB_ID": str(job), "CUDA_VISIBLE_DEVICES": "0"}
    return {**keep, **own, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}


def _hook(site: Site, name: str, env: dict[str, str]) -> float:
    """Milliseconds of one hook, run as slurmd runs it."""
    begun_s = time.perf_counter()
    subprocess.run([str(site.libexec / name)], env=env, cwd="/", check=True)  # bounded by itself
    return 1000 * (time.perf_counter() - begun_s)


def _make_groups(site: Site, job: int) -> Path | None:
    if site.cgroups is None:
        return None
    groups = site.cgroups / _SCOPE / f"job_{job}" / "step_batch" / "user" / "task_0"
    groups.mkdir(parents=True)
    return groups


def _remove_groups(groups: Path) -> None:
    """From the innermost folder up; what is not empty stays."""
    for folder in [groups, *groups.parents][:4]:
        try:
            folder.rmdir()
        except OSError:
            return


def sacct_text(site: Site, ran: list[Ran], model: str) -> str:
    """Accounting's rows of these jobs, as `sacct -P` prints them."""
    owner = pwd.getpwnam(site.user)
    tres = f"billing=1,cpu=16,gres/gpu:{model}=1,gres/gpu=1,node=1"
    lines = [US.join(_COLUMNS)]
    for job in ran:
        state = "COMPLETED" if job.status == 0 else "FAILED"
        times = (job.start_at, job.start_at, job.end_at, job.end_at - job.start_at)
        cells = [job.job, job.job, CLUSTER, state, *times, "00:00:00", tres, 1, NODE, site.user, owner.pw_uid]
        cells += ["lab", "gpu", "normal", site.folder / "home", job.name, ""]
        lines.append(US.join(str(cell) for cell in cells))
    return "\n".join(lines) + "\n"

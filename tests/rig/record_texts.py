"""Records what accounting, scontrol and the process table say of real jobs; record_env.py runs it last.

tests/fixtures/slurm/<version>/ gets sacct.txt (the product's own query over every job of the rig),
job.txt (`scontrol -d show job`) and <proctrack>.json: for each process of a running job with a batch and an
srun step, its /proc/PID/cgroup and, for slurmstepds, the title. Paths, names, ids, times are made equal.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

from tests.rig import procs
from tests.rig.layout import JOB_IDS, USERS, Rig
from tests.rig.record_cases import running, sbatch, slurm_version, wait_for_none

# What a user can write where sacct escapes nothing.
ODD = 'odd | "quoted"\nand a second line \x1f guard:task=x'
_FIRST_AT = 1_780_000_000
_DELIMITER = "\x1f000000000000000001\x1f"
_SACCT = """
import sys
from slurm_guard.slurm.sacct import Sacct
sys.stdout.write(Sacct("sacct", 60.0, sys.argv[1]).read_text(float(sys.argv[2]), float(sys.argv[3])))
"""


def record_accounting(rig: Rig, folder: Path) -> None:
    """sacct.txt, of all jobs that ran on the rig so far and of one more."""
    folder.mkdir(parents=True, exist_ok=True)
    sbatch(rig, "--gres=gpu:1", f"--comment={ODD}", "--job-name=a|b", wrap="true")
    wait_for_none(rig)
    time.sleep(3.0)  # slurmctld sends what it has to slurmdbd by and by
    (folder / "sacct.txt").write_text(_scrubbed(rig, _sacct(rig)), "utf-8")


def record_running(rig: Rig, folder: Path) -> None:
    """job.txt and <proctrack>.json."""
    folder.mkdir(parents=True, exist_ok=True)
    job = running(rig, "--gres=gpu:1", wrap="srun --overlap sleep 600")
    time.sleep(2.0)
    shown = procs.call(rig, ["scontrol", "-d", "show", "job", str(job)])
    (folder / "job.txt").write_text(_scrubbed(rig, shown).rstrip() + "\n", "utf-8")
    facts = {"slurm": slurm_version(rig), "proctrack": rig.proctrack, "processes": _processes(rig, job)}
    text = _scrubbed(rig, json.dumps(facts, indent=1))
    (folder / f"{rig.proctrack}.json").write_text(text + "\n", "utf-8")
    procs.call(rig, ["scancel", str(job)])
    wait_for_none(rig)


def _sacct(rig: Rig) -> str:
    begun = (rig.path / "rig.json").stat().st_mtime
    words = [rig.python, "-c", _SACCT, rig.cluster, f"{begun - 60:.0f}", f"{time.time() + 1:.0f}"]
    return re.sub("\x1f[0-9]{18}\x1f", _DELIMITER, procs.call(rig, words))


def _processes(rig: Rig, job: int) -> list[dict[str, Any]]:
    """The job's slurmstepds and what stands below them."""
    found: list[dict[str, Any]] = []
    pids = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    parents = {pid: _parent(pid) for pid in pids}
    stepds = [pid for pid in pids if _title(pid).startswith("slurmstepd: [") and str(job) in _title(pid)]
    for stepd in sorted(stepds):
        found.append({"title": _title(stepd), "cgroup": _cgroup(stepd)})
        for pid in sorted(pids):
            above, seen = pid, 0
            while above in parents and above != stepd and seen < 8:
                above, seen = parents[above], seen + 1
            if above == stepd != pid:
                found.append({"title": None, "comm": _comm(pid), "cgroup": _cgroup(pid)})
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ").strip()
    except OSError:
        return ""


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()


def _cgroup(pid: int) -> str:
    """What is none of Slurm's is the machine's own business."""
    lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    return "".join(f"{line if 'slurm' in line else line[: line.rindex(':')] + ':/'}\n" for line in lines)


def _scrubbed(rig: Rig, text: str) -> str:
    first_at = int((rig.path / "rig.json").stat().st_mtime)

    def number(found: re.Match[str]) -> str:
        value = int(found[0])
        if 0 <= value - rig.first_job_id < JOB_IDS:
            return str(value - rig.first_job_id + 1)
        return str(value - first_at + _FIRST_AT) if 0 <= value - first_at < 100_000 else found[0]

    text = re.sub(r"(?<![0-9])[0-9]{5,10}(?![0-9])", number, text.replace(rig.root, "/site"))
    for user, name in zip(USERS, ("alice", "bob"), strict=True):
        text = text.replace(user, name)
    return text.replace(f"\x1f{rig.cluster}\x1f", "\x1fc1\x1f")

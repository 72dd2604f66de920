"""cgroup v2 for the rig's Slurm: where it is, a service group for each slurmd, and what is left to remove.

Slurm's cgroup/v2 refuses to start where the kernel has v1 hierarchies as well. There slurmd and slurmstepd
read /proc/PID/cgroup through unified.c; all groups are the kernel's own, nobody else is told anything else.
"""

import subprocess
from pathlib import Path

from slurm_guard.sampler.limits import CGROUP
from tests.rig.layout import NODES, Rig, RigError

_PLACES = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
SOURCE = Path(__file__).resolve().with_suffix(".c")


def mount() -> Path:
    """Where cgroup v2 is mounted. RigError when it is nowhere."""
    for place in _PLACES:
        if (place / "cgroup.controllers").exists():
            return place
    raise RigError("no cgroup v2 is mounted here: give --proctrack cgroup or linuxproc")


def prefix(node: str) -> list[str]:
    """The words before a slurmd's that put it into a service group of its own, as systemd would."""
    service = _groups(node)[0]
    service.mkdir(parents=True, exist_ok=True)
    return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(service / "cgroup.procs")]


def environ(rig: Rig) -> dict[str, str]:
    """What slurmd needs in its environment: nothing on a machine with v2 alone."""
    if len(Path("/proc/self/cgroup").read_text("ascii").splitlines()) == 1:
        return {}
    target = rig.path / "etc" / "unified.so"
    if not target.exists():
        flags = ["-O2", "-Wall", "-Wextra", "-fPIC", "-shared"]
        command = ["gcc", *flags, "-o", str(target), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, text=True)
    return {"LD_PRELOAD": str(target)}


def leftovers() -> list[Path]:
    """What slurmds of a rig's nodes left in v2's tree, jobs' groups among it, and the samplers' own.

    Nothing of a node in whose groups anything lives: another rig's slurmd has the same name.
    """
    try:
        trees = [*(_groups(node.name) for node in NODES), (mount() / CGROUP,)]
    except RigError:
        return []
    dead = [tree for tree in trees if not any(_is_populated(path) for path in tree)]
    return [path for tree in dead for path in tree if path.is_dir()]


def _is_populated(path: Path) -> bool:
    try:
        return "populated 1" in (path / "cgroup.events").read_text("ascii")
    except OSError:
        return False


def slices() -> Path:
    """Where systemd has services, and Slurm its jobs."""
    return mount() / "system.slice"


def _groups(node: str) -> tuple[Path, Path]:
    return slices() / f"slurmd-{node}.service", slices() / f"{node}_slurmstepd.scope"

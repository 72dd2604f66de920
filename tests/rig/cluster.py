"""Up and down: the order in which a rig's parts begin and end. Either may be called any number of times."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.rig import guardconf, outside, procs, services, slurmconf, syslog, unified, users
from tests.rig.layout import JOB_IDS, NODES, USERS, Rig, RigError, load_rig, make_rig

_FOLDERS = ("etc", "log", "pid", "state", "slurmd", "home", "run")
_BEFORE_SLURM = ("slurmctld", "slurmd.n1", "slurmd.n2", "slurmdbd", "mariadbd")
_AFTER = ("guest", "outside", "smtp", "sshd", "boards.n1", "boards.n2", "syslog", "munged")


def up(folder: Path, proctrack: str = "auto", scale: str = "rig", seed: int = 1) -> Rig:
    """A running rig in `folder`: a new one, or the one that is there with whatever of it had stopped."""
    _check_machine()
    folder = folder.resolve()
    rig = load_rig(folder) if (folder / "rig.json").exists() else _create(folder, proctrack, scale, seed)
    users.make_users(rig)
    _check_reach(rig)
    if rig.proctrack == "cgroup":
        _mount_freezer(rig)
    services.start_syslog(rig)
    services.start_munge(rig)
    password = services.start_database(rig)
    guardconf.write_guard(rig)
    slurmconf.write_all(rig, password)
    services.start_boards(rig)
    services.start_sshd(rig)
    services.start_smtp(rig)
    services.start_slurm(rig)
    return rig


def down(folder: Path, keep: bool = False) -> None:
    """End everything of the rig in `folder`, also after a crash; `keep` leaves its files for reading."""
    folder = folder.resolve()
    if not (folder / "rig.json").exists():
        return
    rig = load_rig(folder)
    if procs.is_alive(rig, "slurmctld") and any(procs.is_alive(rig, f"slurmd.{node.name}") for node in NODES):
        _cancel_jobs(rig)
    for name in _BEFORE_SLURM:
        procs.stop(rig, name)
    procs.end(_not_services(rig))
    for name in _AFTER:
        procs.stop(rig, name)
    procs.end(procs.sweep(rig))
    outside.drop(rig)
    syslog.give_back(rig.path / "log" / "socket")
    _drop_cgroups(rig)
    if keep:
        (folder / "rig.json").rename(folder / "rig.was.json")
    else:
        shutil.rmtree(folder)
    users.drop_users(rig)


def _create(folder: Path, proctrack: str, scale: str, seed: int) -> Rig:
    if folder.exists() and any(folder.iterdir()):
        raise RigError(f"{folder} is not empty and holds no rig; give --dir")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    if proctrack == "auto":
        proctrack = "cgroup" if _has_freezer() else "linuxproc"
    rig = make_rig(folder, proctrack, scale, seed)
    for name in _FOLDERS:
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o755)
    rig.save()
    return rig


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise RigError("the rig needs root: it starts Slurm's daemons and runs jobs as ordinary users")
    missing = services.missing_packages()
    if missing:
        raise RigError(f"missing Debian packages: {' '.join(missing)}; `tools/bootstrap rig` installs them")


def _check_reach(rig: Rig) -> None:
    """The jobs' users must be able to run the project's interpreter and read the workloads."""
    argv = [*users.as_user(USERS[0]), rig.python, "-c", "import slurm_guard, tensorboardX"]
    done = subprocess.run(argv, cwd="/", env=procs.base_env(rig), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no words"])[-1]
        raise RigError(
            f"the user {USERS[0]} cannot use {rig.python}: {words}; "
            "put the checkout where ordinary users can read it (not below /root)"
        )


def _has_freezer() -> bool:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cgroups").read_text("ascii").splitlines():
            fields = line.split()
            if fields[0] == "freezer":
                return fields[3] == "1"
    return False


def _mount_freezer(rig: Rig) -> None:
    """cgroup v1's freezer in the rig's folder, on a machine that mounts it nowhere itself."""
    mine = slurmconf.freezer_parent(rig) / "freezer"
    if mine.is_relative_to(rig.path) and not os.path.ismount(mine):
        mine.mkdir(parents=True, exist_ok=True)
        procs.call(rig, ["mount", "-t", "cgroup", "-o", "freezer", "none", str(mine)])


def _cancel_jobs(rig: Rig) -> None:
    with contextlib.suppress(RigError):
        for user in USERS:
            procs.call(rig, ["scancel", f"--user={user}"], 20.0)
        procs.wait_for("jobs to end", lambda: not procs.call(rig, ["squeue", "-h"], 20.0).strip(), 20.0, 0.5)


def _not_services(rig: Rig) -> list[int]:
    """What jobs left, while the boards and munge still live: their ends belong into the record."""
    services_alive = set()
    for name in _AFTER:
        with contextlib.suppress(OSError, ValueError):
            services_alive.add(int((rig.path / "pid" / name).read_text("ascii").split()[0]))
    return [pid for pid in procs.sweep(rig) if pid not in services_alive]


def job_groups(rig: Rig) -> list[Path]:
    """The control groups of this rig's jobs; another rig's lie beside them, told apart by their ids.

    In cgroup v2 from Slurm 26.05 on they cannot be: those of nodes without any process are taken for ours.
    """
    found = unified.leftovers() if rig.proctrack == "cgroup2" else []
    for path in (slurmconf.freezer_parent(rig) / "freezer").glob("slurm_*/uid_*/job_*"):
        number = path.name.removeprefix("job_")
        if number.isdigit() and 0 <= int(number) - rig.first_job_id < JOB_IDS:
            found.append(path)
    return found


def _drop_cgroups(rig: Rig) -> None:
    """The empty groups of our jobs, those above them when no other rig uses them, and our mount."""
    freezer = slurmconf.freezer_parent(rig) / "freezer"
    if rig.proctrack == "cgroup":
        _mount_freezer(rig)  # in a root each command has its own mounts
    for job in job_groups(rig):
        _remove_tree(job)
    if rig.proctrack == "cgroup2":
        with contextlib.suppress(OSError):
            unified.slices().rmdir()  # as it was before, where no systemd has one
    if not users.has_neighbours(rig):
        for node in NODES:
            _remove_tree(freezer / f"slurm_{node.name}")
    if freezer.is_relative_to(rig.path) and os.path.ismount(freezer):
        subprocess.run(["umount", str(freezer)], check=False, capture_output=True)


def _remove_tree(top: Path) -> None:
    """A tree of control groups, leaves first; one with processes stays."""
    if not top.is_dir():
        return
    for path in [*sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True), top]:
        with contextlib.suppress(OSError):
            path.rmdir()

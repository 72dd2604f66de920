"""A socket says in whose control group it was made, whoever holds it now."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.sampler.cgroups import job_folder
from slurm_guard.sampler.groups import MOST_FOLDERS, Groups
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.tcpdiag import tcp_diag
from slurm_guard.sampler.writer import Instant

SCOPE = "system.slice/n1_slurmstepd.scope"


def _process(run: str, path: str) -> Process:
    process = Process(Stat(5, "x", "S", 1, 5, 0, False), 0.0, Instant(0.0, 0.0))
    process.run, process.how, process.cgroup, process.uid = run, "cgroup", path, 1000
    return process


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (f"/{SCOPE}/job_7/step_0/user/task_0", f"/{SCOPE}/job_7"),
        (f"/{SCOPE}/s0123456789ABC/step_0", f"/{SCOPE}/s0123456789ABC"),
        ("/slurm/uid_1000/job_7/step_0", "/slurm/uid_1000/job_7"),
        (f"/user.slice/{SCOPE}/job_7", None),
        (f"/{SCOPE}/job_7/../../x", None),
        ("/a/job_7", None),
        ("", None),
    ],
)
def test_the_folder_of_a_job(path: str, folder: str | None) -> None:
    assert job_folder(path) == folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / SCOPE / "job_7" / "step_0" / "user" / "task_0").mkdir(parents=True)
    (tmp_path / SCOPE / "job_7" / "step_0" / "slurm").mkdir()
    return tmp_path


def _ids(root: Path, *names: str) -> set[int]:
    return {(root / SCOPE / "job_7" / name).stat().st_ino for name in names}


def test_all_groups_of_a_run_are_known_but_for_slurmstepds(root: Path) -> None:
    groups = Groups(str(root))
    groups.look([_process("r", f"/{SCOPE}/job_7/step_0/user/task_0")], {"r"})

    assert set(groups.ids) == _ids(root, "", "step_0", "step_0/user", "step_0/user/task_0")
    assert set(groups.ids.values()) == {"r"}


def test_new_ones_come_and_gone_ones_are_kept_until_the_run_ends(root: Path) -> None:
    groups, members = Groups(str(root)), [_process("r", f"/{SCOPE}/job_7")]
    groups.look(members, {"r"})
    (root / SCOPE / "job_7" / "step_1").mkdir()
    gone = _ids(root, "step_0/user/task_0")
    (root / SCOPE / "job_7" / "step_0" / "user" / "task_0").rmdir()
    groups.look(members, {"r"})

    assert set(groups.ids) >= _ids(root, "step_1") | gone
    groups.look([], set())
    assert groups.ids == {}


def test_steps_that_run_one_after_the_other_are_known_though_their_number_stays(root: Path) -> None:
    groups, job = Groups(str(root)), root / SCOPE / "job_7"
    groups.look([_process("r", f"/{SCOPE}/job_7/step_0/user/task_0")], {"r"})
    for step in range(1, 4):  # each between two looks; a step that is made anew has the name of the last one
        job.joinpath(f"step_{step - 1}").rename(root / f"gone_{step}")
        job.joinpath(f"step_{step % 3}", "user", "task_0").mkdir(parents=True)
        groups.look([_process("r", f"/{SCOPE}/job_7/step_{step % 3}/user/task_0")], {"r"})
        names = [f"step_{step % 3}{rest}" for rest in ("", "/user", "/user/task_0")]
        assert set(groups.ids) >= _ids(root, *names)


def test_a_jobs_folder_that_went_and_came_is_known_again(root: Path) -> None:
    groups, job = Groups(str(root)), root / SCOPE / "job_7"
    groups.look([_process("r", f"/{SCOPE}/job_7")], {"r"})
    job.rename(root / "gone")
    groups.look([], {"r"})
    (job / "step_5").mkdir(parents=True)
    groups.look([_process("r", f"/{SCOPE}/job_7/step_5")], {"r"})
    groups.look([_process("r", f"/{SCOPE}/job_7/step_5")], {"r"})
    assert set(groups.ids) >= _ids(root, "", "step_5")


def test_of_many_steps_one_after_the_other_the_last_ones_are_known(root: Path) -> None:
    groups, job = Groups(str(root)), root / SCOPE / "job_7"
    kept = []  # so that no number is used twice
    for step in range(1, MOST_FOLDERS + 30):
        kept.append(job.joinpath(f"step_{step - 1}").rename(root / f"gone_{step}"))
        (job / f"step_{step}").mkdir()
        groups.look([_process("r", f"/{SCOPE}/job_7/step_{step}")], {"r"})
    assert groups.truncated == set()
    assert len(groups.ids) == MOST_FOLDERS
    assert set(groups.ids) >= _ids(root, "", f"step_{step}") | {kept[-1].stat().st_ino}


def test_a_run_with_more_groups_than_are_followed_is_said(root: Path) -> None:
    for k in range(MOST_FOLDERS + 10):
        (root / SCOPE / "job_7" / f"step_{k + 5}").mkdir()
    groups = Groups(str(root))
    groups.look([_process("r", f"/{SCOPE}/job_7")], {"r"})

    assert len(groups.ids) == MOST_FOLDERS
    assert groups.truncated == {"r"}


def test_a_hierarchy_without_slurms_groups_tells_nothing(tmp_path: Path) -> None:
    groups = Groups(str(tmp_path))
    groups.look([_process("r", "/slurm/uid_1000/job_7/step_0")], {"r"})
    assert groups.ids == {}


_CHILD = """
import os, socket, sys
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
os.setuid(1234)
made = socket.socket()
made.connect(("127.0.0.1", int(sys.argv[2])))
socket.send_fds(socket.socket(fileno=int(sys.argv[3])), [b"x"], [made.fileno()])
made.close()
sys.stdin.read()
"""


@pytest.fixture
def task() -> Iterator[Path]:
    top = next((p for p in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"))
                if (p / "cgroup.controllers").exists()), None)  # fmt: skip
    if top is None or not os.access(top, os.W_OK):
        pytest.skip("no control groups of version 2")
    folder = top / f"test{os.getpid()}_slurmstepd.scope" / "job_7" / "step_0"
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("no control group may be made here")
    yield folder
    for part in (folder, folder.parent, folder.parent.parent):
        part.rmdir()


@pytest.mark.root
def test_the_kernel_names_the_group_of_a_socket_that_was_handed_on(task: Path) -> None:
    diag = tcp_diag("/proc")
    assert diag is not None
    top = Path(*task.parts[: len(task.parts) - 3])
    groups = Groups(str(top) if top.name != "unified" else str(top.parent))
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as door, ours, theirs:
        words = [str(task), str(door.getsockname()[1]), str(theirs.fileno())]
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *words], stdin=subprocess.PIPE, pass_fds=[theirs.fileno()]
        )
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        taken = socket.socket(fileno=fds[0])
        path = "/" + str(task.relative_to(top))
        groups.look([_process("r", path)], {"r"})
        rows, _ = diag.dump(set(), groups=groups.ids)
        host, port = taken.getsockname()
        found = [(row.uid, row.run) for row in rows if row.local == f"{host}:{port}"]
        child.communicate(b"")
        taken.close()
    diag.close()

    assert found == [(1234, "r")]

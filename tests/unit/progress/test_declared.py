"""The file that a job declares is one more place to look, and no more than that."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.progress.declared import declared_path
from slurm_guard.progress.node import Result, read_run
from slurm_guard.progress.request import parse_request
from slurm_guard.sampler.walked import walked

RUN = "c/41/n1/ab/1"
ME = os.getuid() or 12_345


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ("logs/m.jsonl", "/w/logs/m.jsonl"),
        ("./m.jsonl", "/w/m.jsonl"),
        ("/data/%j/m.jsonl", "/data/41/m.jsonl"),
        ("m-%A.jsonl", "/w/m-%A.jsonl"),
        ("m" * 4096, None),
    ],
)
def test_a_declared_path_begins_in_the_work_directory(named: str, path: str | None) -> None:
    assert declared_path(f"guard:kind=pretrain;progress={named}", None, "/w", RUN) == path


def test_what_is_no_declaration_is_no_place() -> None:
    assert declared_path(None, None, "/w", RUN) is None
    assert declared_path("progress=m.jsonl", "guard={", "/w", RUN) is None
    assert declared_path("guard:progress=m.jsonl", None, None, RUN) is None
    assert declared_path("guard:progress=a.log", "guard:progress=b.log", "/w", RUN) == "/w/b.log"


def reading(folder: Path, named: str, *files: dict[str, Any], ended_s: float = 1.0) -> Result:
    """A reading of a run that began ten minutes ago and declares `named`; the opener is the real one."""
    now = time.time()
    body = {
        "run": RUN, "node": "n1", "cluster": "c", "uid": ME, "gid": ME, "read": 0, "at": now + 2,
        "ticket_at": now - 600, "ended_at": now + ended_s, "work_dir": str(folder), "out": str(folder),
        "limits": {"timeout_s": 60}, "authors": [[7, 7, 0, 4e9]], "all_authors": True, "files": list(files),
        "comment": f"guard:progress={named}", "extra": None,
    }  # fmt: skip
    return read_run(parse_request(json.dumps(body).encode()))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of the job's user with a log of a name that no walk looks for."""
    for path in (tmp_path, tmp_path / "mine.txt"):
        if path != tmp_path:
            path.write_text("step=1 loss=2\nstep=2 loss=1\n")
        if os.getuid() == 0:
            os.chown(path, ME, ME)
    for parent in tmp_path.parents:
        if os.getuid() == 0 and parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    return tmp_path


def test_it_is_read_and_followed_from_then_on(home: Path) -> None:
    (log,) = reading(home, "mine.txt").logs

    assert (log.path, log.how, log.n, log.bind_conf) == (str(home / "mine.txt"), "declared", 2, 0.9)

    line = json.dumps({"k": "log", **log._asdict()})
    (home / "r.jsonl").write_text("{}\n" + line + "\n{}\n")
    assert walked(str(home / "r.jsonl")).paths == [log.path]


def test_one_that_processes_hold_open_is_known_by_that(home: Path) -> None:
    held = {"path": str(home / "mine.txt"), "how": "fd", "obs": [], "pids": [7]}

    (log,) = reading(home, "mine.txt", held).logs

    assert (log.how, log.bind_conf, log.pids) == ("fd", 1.0, [7])


def test_a_file_that_says_another_job_wrote_it_is_hardly_believed(home: Path) -> None:
    name = f"events.out.tfevents.{int(time.time())}.n1.99.0"
    (home / "mine.txt").rename(home / name)

    logs = reading(home, name).logs

    assert [log.bind_conf for log in logs if log.how == "declared"] == [0.2]


def test_a_file_from_before_the_run_is_refused(home: Path) -> None:
    os.utime(home / "mine.txt", (1.0, 1.0))

    (log,) = reading(home, "mine.txt").logs

    assert log.problems == ["not-changed: nothing was written to it during the run"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "symlink: a symbolic link is not followed"),
        (lambda path: os.mkfifo(path), "not-regular: a FIFO, device, socket or folder"),
        (lambda _: None, "not-opened: No such file or directory"),
    ],
)
def test_it_is_refused_like_any_other_path(home: Path, make: Any, problem: str) -> None:
    make(home / "odd")

    (log,) = reading(home, "odd").logs

    assert (log.how, log.n, log.problems) == ("declared", 0, [problem])


def test_another_users_file_is_refused(home: Path) -> None:
    (log,) = reading(home, "/etc/passwd").logs

    assert log.problems == ["foreign-owner: the file belongs to another user"]

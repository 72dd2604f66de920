"""As root: what the children of a reading may still do. They must be able to do almost nothing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.progress import child, parser_child
from slurm_guard.progress.safetensors import Part
from slurm_guard.progress.unit import Input
from tests.unit.progress.weight_files import save

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="not root: there are no rights to give up"),
]
USER = 12_345


def ask(question: Callable[[], Any], before: Callable[[], None]) -> Any:
    """The answer of a child that ran `before` first."""
    reading, writing = os.pipe()

    def main() -> None:
        before()
        try:
            answer = question()
        except OSError as error:
            answer = type(error).__name__
        os.write(writing, json.dumps(answer).encode())

    helper = child.start(main, {writing})
    os.close(writing)
    answer = os.read(reading, 65_536)
    os.close(reading)
    helper.end()
    return json.loads(answer) if answer else None


def as_user() -> None:
    child.become(USER, USER, [USER])


def as_parser() -> None:
    child.become(child.NOBODY, child.NOBODY, [])
    child.limit(5)


def test_the_opener_is_the_user_and_cannot_come_back() -> None:
    assert ask(lambda: [os.getresuid(), os.getresgid(), os.getgroups()], as_user) == [
        [USER] * 3, [USER] * 3, [USER],
    ]  # fmt: skip
    assert ask(lambda: os.setuid(0), as_user) == "PermissionError"
    assert ask(lambda: Path("/etc/shadow").read_bytes()[:0].decode(), as_user) == "PermissionError"


def test_no_child_can_gain_rights_or_be_traced_by_the_user() -> None:
    status = ask(lambda: Path("/proc/self/status").read_text(), as_user)

    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapPrm:\t0000000000000000" in status
    # Not dumpable: its /proc files belong to root, and the user may not attach.
    assert ask(lambda: Path("/proc/self/environ").stat().st_uid, as_user) == 0


def test_the_parser_has_no_files_no_processes_and_no_environment(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    assert ask(lambda: os.fork(), as_parser) in ("BlockingIOError", None)
    assert ask(lambda: dict(os.environ), as_parser) == {}
    # 0, 1, 2 on /dev/null, the pipe to answer on, and the one that lists.
    assert ask(lambda: len(list(Path("/proc/self/fd").iterdir())), as_parser) == 5
    assert ask(lambda: Path("/etc/shadow").read_bytes()[:0].decode(), as_parser) == "PermissionError"


def test_the_parser_cannot_write_a_byte(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    def write() -> str:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        fd = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"x")
        return "written"

    assert ask(write, as_parser) in ("OSError", "PermissionError")


def test_a_child_refuses_to_stay_root() -> None:
    assert ask(lambda: "stayed", lambda: child.become(0, 0, [])) is None
    assert child.parser_ids("root") == (child.NOBODY, child.NOBODY)
    assert child.parser_ids("no-such-user-here") == (child.NOBODY, child.NOBODY)


@pytest.mark.parametrize("how", ["hang", "die", "babble", "eat"])
def test_a_parser_that_misbehaves_costs_its_own_file_only(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def misbehave(*_: object) -> Any:
        if how == "hang":
            time.sleep(60)
        if how == "babble":
            os.write(keep["out"], b'["told", 0, "text", "<script>", 1, 1, [], null]\n' * 3)
        if how == "eat":
            return [bytes(1 << 30)], []
        os._exit(3)

    keep: dict[str, int] = {}
    real = parser_child._work

    def work(job: Callable[[], Iterator[str]], user: str, out: int, cpu_s: int) -> None:
        keep["out"] = out
        real(job, user, out, cpu_s)

    monkeypatch.setattr(parser_child, "_work", work)
    monkeypatch.setattr(parser_child, "read_unit", misbehave)
    monkeypatch.setattr(parser_child, "read_model", misbehave)
    begin_s = time.monotonic()
    fd = os.open("/dev/null", os.O_RDONLY)

    answer = parser_child.parse([Input(0, fd, "/x", "fd", 0, 1)], "nobody", begin_s + 1)
    size = parser_child.measure([Part("x", fd)], 1 << 20, "nobody", time.monotonic() + 1)

    os.close(fd)
    assert time.monotonic() - begin_s < 9
    assert answer.marks == []
    assert answer.told == []
    assert (answer.problem or "").split(":")[0] == ("timeout" if how == "hang" else "parser-died")
    assert (size.params, size.problems) == (None, [answer.problem])


def test_the_whole_reading_as_root_for_a_user(tmp_path: Path) -> None:
    """A user's folder with an honest log, a pipe and a link to the shadow file."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder != Path("/tmp"):
            folder.chmod(0o755)
    home, out = tmp_path / "home", tmp_path / "spool"
    home.mkdir()
    stdout = home / "slurm-1.out"
    stdout.write_text("".join(f"step={n} tokens={n * 8} loss=2.5\n" for n in range(1, 51)))
    os.mkfifo(home / "train.log")
    (home / "log.txt").symlink_to("/etc/shadow")
    weights = save(home / "checkpoint-50" / "model.safetensors", {"w": ("BF16", [1000, 20])})
    weights.chmod(0o600)
    for path in (home, weights, *home.iterdir()):
        os.chown(path, USER, USER, follow_symlinks=False)
    now = time.time()
    files = [{"path": str(p), "how": "fd", "obs": [], "pids": [7]} for p in (stdout, home / "train.log")]
    files.append({"path": str(home / "log.txt"), "how": "stdout", "obs": [], "pids": []})
    asked = {
        "run": "c/1/n1/ab/1", "node": "n1", "cluster": "c", "job_id": 1, "uid": USER, "gid": USER, "read": 4,
        "at": now, "ticket_at": now - 60, "ended_at": now, "work_dir": str(home), "out": str(out),
        "parser_user": "nobody", "limits": {"file_mib": 64, "run_mib": 256, "timeout_s": 20},
        "authors": [[7, 7, 0, 4e9]], "all_authors": True, "files": files,
    }  # fmt: skip

    done = subprocess.run(
        [sys.executable, "-I", "-m", "slurm_guard.progress.node"],
        input=json.dumps(asked).encode(), capture_output=True, check=False, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    reading = out / "c_1_n1_ab_1.000004.jsonl"
    assert reading.stat().st_mode & 0o777 == 0o640
    rows = [json.loads(line) for line in reading.read_text().splitlines()]
    logs = {Path(row["path"]).name: row for row in rows if row["k"] == "log"}
    assert (logs["slurm-1.out"]["n"], logs["slurm-1.out"]["source"], logs["slurm-1.out"]["pids"]) == (
        50, "keyvalue", [7],
    )  # fmt: skip
    assert logs["train.log"]["problems"] == ["not-regular: a FIFO, device, socket or folder"]
    assert logs["log.txt"]["problems"] == ["symlink: a symbolic link is not followed"]
    assert [row["tokens"] for row in rows if row["k"] == "point"][-1] == 400
    (folder,) = [row for row in rows if row["k"] == "log" and row["source"] == "checkpoint"]
    assert (folder["params"], folder["dense"], folder["params_from"]) == (20_000, 20_000, "header")
    assert list(out.iterdir()) == [reading]

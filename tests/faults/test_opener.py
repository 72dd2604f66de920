"""What the opener must refuse, whoever runs it: the job's user chooses every path."""

import json
import os
import socket
import time
from pathlib import Path

import pytest

from slurm_guard.progress import opener
from slurm_guard.progress.bracket import Frame
from slurm_guard.progress.opener import Opened, open_files, open_regular
from slurm_guard.progress.request import Limits, Request, Wanted

ME = os.getuid()
MIB = 1 << 20


def request(paths: list[Path | str], work_dir: str | None = None, uid: int | None = ME or 12_345) -> Request:
    now = time.time()
    files = [Wanted(str(path), "fd", [], []) for path in paths]
    limits = Limits(64 * MIB, 256 * MIB, 10.0)
    frame = Frame(now - 3600, now + 1, None)
    return Request(
        "c/1/n1/ab/1",
        "n1",
        "c",
        uid,
        uid,
        0,
        frame,
        work_dir,
        "/nowhere",
        "nobody",
        limits,
        (),
        False,
        files,
    )


def opened(
    paths: list[Path | str], work_dir: str | None = None, uid: int | None = ME or 12_345
) -> list[Opened]:
    """Open and close again."""
    found = open_files(request(paths, work_dir, uid), time.monotonic() + 10)
    for one in found:
        if one.fd is not None:
            os.close(one.fd)
    return found


def own(path: Path) -> Path:
    """Make the path belong to the job's user, where the test runs as root."""
    if ME == 0:
        os.chown(path, 12_345, 12_345, follow_symlinks=False)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of the job's user that he can reach."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if ME == 0 and folder != Path("/tmp"):
            folder.chmod(0o755)
    return own(tmp_path)


def test_a_regular_file_of_ones_own_is_opened_read_only(home: Path) -> None:
    log = home / "slurm.out"
    log.write_text("step=1\n")
    own(log)

    found = open_files(request([log]), time.monotonic() + 10)

    assert [(one.problem, one.size) for one in found] == [(None, 7)]
    fd = found[0].fd
    assert fd is not None
    assert os.pread(fd, 100, 0) == b"step=1\n"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    os.close(fd)


def test_a_fifo_is_refused_at_once_and_nobody_is_let_through(home: Path) -> None:
    fifo = home / "train.log"
    os.mkfifo(fifo)
    own(fifo)
    begin_s = time.monotonic()

    assert opened([fifo])[0].problem == "not-regular: a FIFO, device, socket or folder"
    assert time.monotonic() - begin_s < 5
    with pytest.raises(OSError, match="No such device or address"):  # no reader ever came
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize("target", ["/etc/shadow", "/etc/hostname", "nowhere"])
def test_a_symbolic_link_is_never_followed(home: Path, target: str) -> None:
    link = home / "progress.jsonl"
    link.symlink_to(target)
    own(link)

    assert opened([link])[0].problem == "symlink: a symbolic link is not followed"


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty", "/dev/null", "/"])
def test_devices_and_folders_are_refused(path: str) -> None:
    assert opened([path])[0].problem == "not-regular: a FIFO, device, socket or folder"


def test_a_socket_is_refused(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(home / "s.log"))

        assert opened([home / "s.log"])[0].problem == "not-regular: a FIFO, device, socket or folder"


def test_another_users_file_is_refused_even_when_anyone_may_read_it() -> None:
    assert opened(["/etc/passwd"])[0].problem == "foreign-owner: the file belongs to another user"


def test_a_sparse_terabyte_is_refused_without_a_read(home: Path) -> None:
    giant = home / "giant.log"
    giant.touch()
    own(giant)
    os.truncate(giant, 1 << 40)

    assert opened([giant])[0].problem == "sparse: almost nothing of its size is on disk"


@pytest.mark.parametrize(
    "path", ["relative.log", "", "/nowhere/at/all", "/tmp/\udcff\udcfe", "/" + "x" * 4000]
)
def test_impossible_paths_are_problems(path: str) -> None:
    found = opened([path])[0]

    assert found.fd is None
    assert found.problem is not None


def test_one_file_under_two_names_is_read_once_under_the_surer(home: Path) -> None:
    log = home / "slurm.out"
    log.write_text("step=1\n")
    own(log)
    os.link(log, home / "other.out")
    asked = request([log, home / "other.out"])
    asked = asked._replace(files=[asked.files[0]._replace(how="stdout"), asked.files[1]])

    found = open_files(asked, time.monotonic() + 10)

    assert [(one.how, one.nths) for one in found] == [("fd", (0, 1))]
    os.close(found[0].fd or 0)


def test_the_walk_finds_what_was_changed_in_the_run_and_follows_no_link(home: Path) -> None:
    (home / "logs").mkdir()
    for name in ("logs/metrics.jsonl", "logs/events.out.tfevents.1.h.2.0", "data.bin", "old.txt"):
        (home / name).write_text("x")
        own(home / name)
    old = home / "train.log"
    old.write_text("step=1")
    own(old)
    os.utime(old, (1e9, 1e9))
    (home / "away").symlink_to("/etc")
    own(home / "logs")

    found = opened([], str(home))

    assert sorted(Path(one.path).name for one in found) == ["events.out.tfevents.1.h.2.0", "metrics.jsonl"]
    assert {one.how for one in found} == {"walk"}


def test_the_walk_of_an_endless_tree_is_bounded_and_says_so(home: Path) -> None:
    for n in range(6_000):
        (home / f"f{n}").touch()

    found = opened([], str(home))

    assert [one.problem for one in found] == [
        "walk-capped: 1 folders with more than 1000 entries were looked at in part"
    ]


@pytest.mark.root
@pytest.mark.skipif(ME != 0, reason="not root: one's own files are opened as oneself")
@pytest.mark.parametrize(("uid", "slug"), [(None, "no-owner"), (0, "root-run")])
def test_a_run_without_a_user_of_its_own_opens_nothing(home: Path, uid: int | None, slug: str) -> None:
    found = opened(["/etc/passwd", "/etc/shadow"], str(home), uid)

    assert [one.fd for one in found] == [None, None]
    assert [(one.problem or "").partition(":")[0] for one in found] == [slug, slug]


def test_a_file_system_that_does_not_answer_costs_the_deadline_and_no_more(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "a.log").write_text("step=1\n")
    own(home / "a.log")
    real = opener.open_regular

    def hang(path: str, owner: int) -> tuple[int | None, str | None]:
        if path.endswith("b.log"):
            time.sleep(60)
        return real(path, owner)

    monkeypatch.setattr(opener, "open_regular", hang)
    begin_s = time.monotonic()

    found = open_files(request([home / "a.log", home / "b.log", home / "c.log"]), begin_s + 0.5)

    assert time.monotonic() - begin_s < 5
    assert found[0].problem is None
    late = "opener-timeout: a file system did not answer in time"
    assert [one.problem for one in found[1:]] == [late, late]
    os.close(found[0].fd or 0)


def test_an_opener_that_is_killed_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opener, "open_regular", lambda *_: os._exit(9))

    found = opened([home / "a.log", home / "b.log"])

    assert {one.problem for one in found} == {"opener-died: the child that opens files ended early"}


def test_an_opener_that_lies_is_not_believed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has the user's rights, so the user may speak in its place: all is checked again."""

    def lie(sock: socket.socket, *_: object) -> None:
        fds = [os.open("/dev/zero", os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY)]
        for nth, fd in enumerate(fds):
            body = {"path": "/x", "index": nth, "problem": None}
            socket.send_fds(sock, [json.dumps(body).encode()], [fd])

    monkeypatch.setattr(opener, "_serve", lie)
    uid = ME or 12_345

    found = open_files(request([home / "a.log", home / "b.log"], uid=uid), time.monotonic() + 5)

    assert [one.fd for one in found] == [None, None]
    assert found[0].problem == "not-regular: a FIFO, device, socket or folder"
    assert found[1].problem == "foreign-owner: the file belongs to another user"


@pytest.mark.parametrize("in_child", [False, True])
def test_a_descriptor_without_a_status_costs_its_own_file_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch, in_child: bool
) -> None:
    """A stale or mandatory-access handle: the file system gave it, and refuses to speak of it."""
    for name in ("a.log", "b.log"):
        (home / name).write_text("step=1\n")
        own(home / name)
    bad, real, parent = (home / "a.log").stat().st_ino, os.fstat, os.getpid()

    def refuse(fd: int) -> os.stat_result:
        seen = real(fd)
        if seen.st_ino == bad and (os.getpid() != parent) is in_child:
            raise PermissionError(13, "Permission denied")
        return seen

    monkeypatch.setattr(os, "fstat", refuse)

    found = opened([home / "a.log", home / "b.log"])

    assert [one.problem for one in found] == ["not-opened: Permission denied", None]
    assert found[0].fd is None


def test_open_regular_leaves_no_descriptor_behind(home: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    for path in ("/dev/null", "/etc/passwd", str(home), str(home / "none")):
        open_regular(path, 1)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_checkpoints_of_the_jobs_user_alone_are_told_of(home: Path) -> None:
    for name in ("checkpoint-100", "checkpoint-200"):
        (home / name).mkdir()
        own(home / name)
        (home / name / "model.bin").write_bytes(b"x" * 9000)
    foreign = home / "checkpoint-900"
    foreign.mkdir()
    if ME == 0:
        os.chown(foreign, 54_321, 54_321)
    (home / "checkpoint-300").symlink_to(foreign)

    (folder,) = [one for one in opened([], str(home)) if one.saved]

    expected = {100, 200} if ME == 0 else {100, 200, 900}
    assert {one.step for one in folder.saved} == expected
    assert all(one.size_b >= 8192 for one in folder.saved if one.step < 900)
    assert (folder.path, folder.fd, folder.ino) == (str(home), None, home.stat().st_ino)


def test_what_an_opener_says_of_checkpoints_is_checked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(sock: socket.socket, asked: Request, owner: int) -> None:
        body = {"path": "/w", "index": None, "problem": None, "ino": "x"}
        rows = [[1, False, 1.7e9, None, 9], [-1, False, 1.7e9, None, 9], [2, 0, 1.7e9, None, 9], "x", [3]]
        opener._send(sock, {**body, "saved": rows}, None)
        opener._send(sock, {**body, "saved": 7}, None)
        opener._send(sock, {"end": True}, None)

    monkeypatch.setattr(opener, "_serve", lie)

    found = opened([])

    assert [[one.step for one in each.saved] for each in found] == [[1], []]
    assert {each.ino for each in found} == {None}

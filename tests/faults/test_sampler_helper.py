"""The stat helper: real files, wrong files, and a child that hangs."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from slurm_guard.sampler import helper as module
from slurm_guard.sampler.children import Child
from slurm_guard.sampler.helper import MOST_HUNG, Answer, Ask, Helper, look


def _ask(path: Path, fd: tuple[int, int, int] | None = None) -> Ask:
    return Ask(str(path), fd, os.getuid(), os.getgid(), [])


def _wait(helper: Helper, answers: list[Answer], n: int, step_s: float = 0.0) -> None:
    mono_s = 0.0
    until = time.monotonic() + 10
    while len(answers) < n and time.monotonic() < until:
        mono_s += step_s
        helper.poll(1000.0 + mono_s, mono_s)
        time.sleep(0.01)
    assert len(answers) == n


@pytest.fixture
def helper() -> Helper:
    return Helper(deadline_s=1.0)


def test_files_are_answered_in_order_and_only_regular_ones(helper: Helper, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    answers: list[Answer] = []
    for name in ("a", "pipe", "link", "missing"):
        assert helper.submit(_ask(tmp_path / name), answers.append)

    _wait(helper, answers, 4)

    assert (answers[0].size, answers[0].ino) == (5, (tmp_path / "a").stat().st_ino)
    assert [a.error for a in answers[1:]] == [
        "not a regular file",
        "not a regular file",
        "No such file or directory",
    ]
    assert not helper.busy
    helper.close()


def test_an_answer_is_dated_by_the_samplers_clock(helper: Helper, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    answers: list[Answer] = []
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    helper.submit(_ask(tmp_path / "a"), answers.append)

    while not answers and time.clock_gettime(time.CLOCK_BOOTTIME) < begun + 10:
        time.sleep(0.01)
        mono_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        helper.poll(5e9 + mono_s, mono_s)  # a sampler whose wall clock was right before it was set

    assert 5e9 + begun <= answers[0].at <= 5e9 + mono_s
    helper.close()


def test_a_descriptor_reaches_a_file_that_has_no_name_any_more(helper: Helper, tmp_path: Path) -> None:
    start = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    with (tmp_path / "a").open("w") as out:
        out.write("123")
        out.flush()
        (tmp_path / "a").unlink()
        answers: list[Answer] = []
        helper.submit(_ask(tmp_path / "a", (os.getpid(), start, out.fileno())), answers.append)
        helper.submit(_ask(tmp_path / "a", (os.getpid(), start + 1, out.fileno())), answers.append)

        _wait(helper, answers, 2)

    assert (answers[0].size, answers[0].error) == (3, None)
    assert answers[1].error is not None
    helper.close()


class Hanging(Helper):
    """Its children hang at files of this name: stopped, as in a call that does not come back."""

    def poll(self, at: float, mono_s: float) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "look", hang)
            super().poll(at, mono_s)


def hang(ask: Ask) -> dict[str, object]:
    if ask.path.endswith("/hangs"):
        os.kill(os.getpid(), signal.SIGSTOP)
    return look(ask)


def test_a_hung_child_is_killed_its_file_fails_and_the_others_are_asked_anew(tmp_path: Path) -> None:
    helper = Hanging(deadline_s=1.0)
    answers: list[Answer] = []
    for name in ("a", "hangs", "b"):
        (tmp_path / name).write_text(name)
        helper.submit(_ask(tmp_path / name), answers.append)

    _wait(helper, answers, 3, step_s=0.02)

    assert helper.n_hung == 1
    assert [a.error for a in answers] == [None, "no answer within 1 s", None]
    helper.close()


def test_children_that_cannot_be_killed_are_capped(helper: Helper, tmp_path: Path) -> None:
    class Stuck(Child):
        def poll(self) -> int | None:
            return None

    answers: list[Answer] = []
    helper.submit(_ask(tmp_path / "a"), answers.append)
    helper._stuck = [Stuck(0, -1, -1)] * MOST_HUNG
    helper.poll(0.0, 0.0)

    assert [answer.error for answer in answers] == ["too many children hang"]
    assert helper.submit(_ask(tmp_path), answers.append) is False
    helper._stuck = []


def test_polling_never_waits(tmp_path: Path) -> None:
    helper = Hanging(deadline_s=1.0)
    answers: list[Answer] = []
    helper.submit(_ask(tmp_path / "hangs"), answers.append)
    begun = time.monotonic()

    for _ in range(100):
        helper.submit(_ask(tmp_path / ("x" * 200)), answers.append)
        helper.poll(0.0, 0.0)

    assert time.monotonic() - begun < 0.5
    helper.close()


def test_between_questions_there_is_no_child(helper: Helper, tmp_path: Path) -> None:
    answers: list[Answer] = []
    helper.submit(_ask(tmp_path / "a"), answers.append)

    _wait(helper, answers, 1)

    assert helper._child is None
    helper.close()
    assert helper._stuck == []


def test_where_nothing_can_be_forked_questions_wait(
    helper: Helper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    answers: list[Answer] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", refuse)
        assert helper.submit(_ask(tmp_path), answers.append)
        helper.poll(0.0, 0.0)
        waits = (helper.busy, len(answers))

    _wait(helper, answers, 1)

    assert waits == (True, 0)
    assert answers[0].error == "not a regular file"
    helper.close()

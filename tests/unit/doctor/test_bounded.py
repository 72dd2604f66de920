"""Whatever a collector does, the others' facts are there in time."""

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from slurm_guard.doctor.bounded import Collector, Identity, gather
from slurm_guard.doctor.finding import NotSeenError, Unseen
from slurm_guard.errors import GuardError


def _pair(n: int) -> tuple[int, str]:
    return n, "é\udcff"


def _raise(error: BaseException) -> NoReturn:
    raise error


def _get(collect: Any, timeout_s: float = 5.0) -> object:
    return gather([Collector("x", collect, timeout_s)])["x"]


def test_facts_come_by_their_names() -> None:
    found = gather([Collector(str(n), partial(_pair, n), 5.0) for n in range(20)])

    assert found == {str(n): _pair(n) for n in range(20)}


def test_one_that_hangs_keeps_nobody() -> None:
    began_s = time.monotonic()

    found = gather([Collector("hangs", lambda: time.sleep(60), 0.3), Collector("well", lambda: 1, 5.0)])

    assert found["well"] == 1
    assert found["hangs"] == Unseen("it did not answer within 0.3 s")
    assert time.monotonic() - began_s < 3


def test_what_a_hanging_one_started_is_ended_too(tmp_path: Path) -> None:
    mark = tmp_path / "pid"

    def hang() -> None:
        child = os.fork()
        if child == 0:
            signal.pause()
        mark.write_text(str(child))
        signal.pause()

    _get(hang, 0.5)

    for _ in range(100):
        if not Path(f"/proc/{mark.read_text()}").exists() or _is_zombie(mark.read_text()):
            return
        time.sleep(0.02)
    pytest.fail("the grandchild lives")


def _is_zombie(pid: str) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotSeenError("no such luck"), "no such luck"),
        (GuardError("x", "a sentence"), "a sentence"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (ValueError("odd"), "ValueError: odd"),
        (RecursionError("deep"), "deep"),
    ],
)
def test_what_is_raised_becomes_a_reason(error: Exception, words: str) -> None:
    found = _get(lambda: _raise(error))

    assert isinstance(found, Unseen)
    assert words in found.why


@pytest.mark.parametrize(
    "end", [lambda: os._exit(7), lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: _raise(SystemExit(1))]
)
def test_one_that_dies_is_said(end: Any) -> None:
    assert _get(end) == Unseen("whoever looked ended without an answer")


def test_what_a_library_prints_is_swallowed(capfd: pytest.CaptureFixture[str]) -> None:
    assert _get(lambda: os.write(1, b"driver says hello\n")) == 18

    assert capfd.readouterr().out == ""


def test_a_large_answer_comes_whole() -> None:
    assert _get(lambda: b"x" * 3_000_000) == b"x" * 3_000_000


def _children() -> set[int]:
    """This process's, zombies among them."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def test_nothing_is_left_of_the_children() -> None:
    before, children = len(os.listdir("/proc/self/fd")), _children()  # noqa: PTH208

    gather([Collector(str(n), lambda: time.sleep(20), 0.2) for n in range(3)])

    assert _children() <= children  # other tests may have some of their own
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.root
def test_another_users_rights_are_taken() -> None:
    nobody = Identity("nobody", 65534, 65534)

    found = gather([Collector("x", lambda: (os.getresuid(), os.getresgid(), os.getgroups()), 5.0, nobody)])

    assert found["x"] == ((65534,) * 3, (65534,) * 3, [65534])

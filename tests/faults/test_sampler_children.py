"""Forked children: nothing of the sampler's goes with them, and whatever they do it goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_guard.sampler import children
from slurm_guard.sampler.children import Child

ROOT = Path(__file__).resolve().parents[2]


def _say(out: int, text: str) -> None:
    os.write(out, text.encode())


def _comm() -> str:
    return Path("/proc/self/comm").read_text()


def _say_and_sleep(_: int, out: int) -> None:
    _say(out, "here")
    time.sleep(60)


def _wait_for_the_end(into: int, _: int) -> None:
    os.read(into, 1)


def _sleep(_: int, __: int) -> None:
    time.sleep(60)


def _fds() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def _hear(child: Child, until: Callable[[bytes], bool] = lambda said: False) -> str:
    """All that it says, or as much as is asked for."""
    os.set_blocking(child.out, True)
    said = b""
    while not until(said) and (part := os.read(child.out, 1 << 16)):
        said += part
    return said.decode()


def test_a_child_has_its_two_pipes_and_no_other_descriptor_or_folder_of_ours(tmp_path: Path) -> None:
    def tell(_: int, out: int) -> None:
        fds = [path for path in Path("/proc/self/fd").iterdir() if int(path.name) > 2 and path.exists()]
        _say(out, f"{fds} {Path('/proc/self/fd/2').readlink()} {Path.cwd()} {_comm()}")

    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        child = children.fork("guard-test", tell)
        said = _hear(child)

    assert said == "[] /dev/null / guard-test\n"
    assert child.wait()
    child.kill()


def test_a_child_ends_at_signals_that_the_sampler_takes_for_itself() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        child = children.fork("guard-test", _say_and_sleep)
        _hear(child, lambda said: said == b"here")
        os.kill(child.pid, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert child.wait()
    assert child.status is not None
    assert os.waitstatus_to_exitcode(child.status) == -signal.SIGTERM
    child.kill()


def test_a_fault_in_a_child_ends_it_there(capfd: pytest.CaptureFixture[str]) -> None:
    def break_down(_: int, __: int) -> None:
        raise RuntimeError("in the child")

    child = children.fork("guard-test", break_down)

    assert child.wait()
    assert child.status is not None
    assert os.waitstatus_to_exitcode(child.status) == 1
    assert capfd.readouterr() == ("", "")
    child.kill()


def test_a_child_leaves_when_its_input_ends_and_one_that_does_not_is_killed() -> None:
    first = children.fork("guard-test", _wait_for_the_end)
    second = children.fork("guard-test", _sleep)

    first.shut()
    left = first.wait()
    stayed = not second.wait(0.1)
    second.kill()

    assert (left, stayed, second.wait()) == (True, True, True)
    first.kill()
    second.kill()  # again: it does no harm


def test_one_child_does_not_hold_anothers_pipe_open() -> None:
    first = children.fork("guard-test", _wait_for_the_end)
    second = children.fork("guard-test", _sleep)

    first.shut()

    assert first.wait()
    for child in (first, second):
        child.kill()
        child.wait()


def test_without_standard_streams_the_pipes_are_still_its_own() -> None:
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from slurm_guard.sampler import children\n"
        "for fd in (0, 1, 2): os.close(fd)\n"
        "child = children.fork('t', lambda into, out: (os.write(out, os.read(into, 9)), None)[1])\n"
        "os.write(child.into, b'word'); os.set_blocking(child.out, True)\n"
        "sys.exit(0 if os.read(child.out, 9) == b'word' else 1)"
    )

    done = subprocess.run([sys.executable, "-c", program, str(ROOT)], check=False, timeout=60)

    assert done.returncode == 0


def test_a_program_gets_its_input_and_its_niceness(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = f"import os, sys; open({str(out)!r}, 'w').write(sys.stdin.read() + str(os.nice(0)))"
    with (tmp_path / "in").open("w+") as stdin:
        stdin.write("text ")
        stdin.seek(0)
        child = children.start([sys.executable, "-c", words], stdin.fileno(), nice=5)

    assert child.wait()
    assert (child.status, out.read_text()) == (0, f"text {min(19, os.nice(0) + 5)}")


def test_no_pipe_and_no_child_is_left_when_none_can_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError

    before = _fds()
    monkeypatch.setattr(os, "fork", refuse)

    with pytest.raises(BlockingIOError):
        children.fork("guard-test", lambda _, __: None)

    assert _fds() == before

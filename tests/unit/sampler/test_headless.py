"""A process whose first thread has ended hides nothing: its other threads show it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.hooks.end import _holds_gpu
from slurm_guard.sampler.devnodes import DeviceFiles
from slurm_guard.sampler.procfs import Proc

_HEADLESS = """
import ctypes, os, socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
device = open(sys.argv[1])
go = threading.Event()
def stay():
    print(os.fstat(listener.fileno()).st_ino, flush=True)
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=stay).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def headless(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """(pid, inode of a listener that it holds)."""
    device = tmp_path / "nvidia0"
    device.touch()
    child = subprocess.Popen(
        [sys.executable, "-c", _HEADLESS, str(device)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    inode = int(child.stdout.readline())
    until = time.monotonic() + 10.0
    while _state(child.pid) != "Z" and time.monotonic() < until:
        time.sleep(0.01)
    yield child.pid, inode
    child.stdin.close()
    child.stdout.close()
    child.wait(10.0)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_its_descriptors_program_and_mappings_are_read(headless: tuple[int, int], tmp_path: Path) -> None:
    (pid, inode), proc = headless, Proc()

    stat = proc.stat(pid)

    assert _state(pid) == "Z"
    assert stat is not None
    assert (stat.pid, stat.state in "SR") == (pid, True)
    fds = proc.fds(pid, 100)
    assert fds is not None
    assert {f"socket:[{inode}]", f"{tmp_path}/nvidia0"} <= {text for _, text in fds[0]}
    assert str(proc.link(pid, "exe")).startswith("/")
    assert "pthread_exit" in (proc.cmdline(pid) or "")
    assert "libc" in (proc.read_all(f"{pid}/maps", 1 << 20) or "")
    assert proc.ids(pid).uid == os.getuid()


_APART = """
import ctypes, os, sys, threading
def stay():
    ctypes.CDLL(None).unshare(0x400)  # CLONE_FILES
    os.open(sys.argv[1], os.O_PATH)
    print("open", flush=True)
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=stay).start()
"""


class _NullIsDevice(DeviceFiles):
    """A device file that is there on every machine."""

    def _is_device(self, pid: int | str, fd: str, text: str) -> bool | None:
        return text == "/dev/null"


@pytest.mark.parametrize(("path", "hides"), [("/dev/null", True), ("/etc/passwd", False)])
def test_a_device_file_in_a_threads_own_descriptors_is_found(path: str, hides: bool) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", _APART, path], stdin=pipe, stdout=pipe, stderr=pipe
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        own = Proc().fds(child.pid, 100)

        found = _NullIsDevice(Proc()).hides_any(child.pid)

        assert own is not None
        assert path not in [text for _, text in own[0]]
        assert found is hides
        child.communicate()


def test_a_zombie_without_threads_is_gone() -> None:
    child = subprocess.Popen(["true"])
    until = time.monotonic() + 10.0
    while _state(child.pid) != "Z" and time.monotonic() < until:
        time.sleep(0.01)

    assert Proc().stat(child.pid) is None

    child.wait(10.0)


def test_the_epilog_sees_what_it_holds(headless: tuple[int, int], tmp_path: Path) -> None:
    folder = f"/proc/{headless[0]}"

    assert _holds_gpu(folder, Path(folder).stat().st_uid, f"{tmp_path}/nvidia")

"""Command lines that do not come back: a process that maps memory on a dead file system holds its lock."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.sampler.locked import LEFT_ALONE_S, MOST_HANGS, Locked
from slurm_guard.sampler.procfs import Proc, read_file

DEADLINE_S = 0.3


class Node:
    """A folder that looks like /proc, and a clock that a test can set ahead."""

    def __init__(self, root: Path) -> None:
        self.root, self.ahead_s = root, 0.0
        self.locked = Locked(read_file, DEADLINE_S, lambda: time.monotonic() + self.ahead_s)
        self.proc = Proc(str(root))
        self.proc.locked = self.locked

    def start(self, pid: int, words: bytes | None) -> None:
        """A process; without words, one whose command line hangs whoever reads it."""
        folder = self.root / str(pid)
        folder.mkdir()
        if words is None:
            os.mkfifo(folder / "cmdline")  # opening it waits for a writer, for ever
        else:
            (folder / "cmdline").write_bytes(words)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.proc.close()


def _n_children() -> int:
    return len(Path("/proc/self/task").joinpath(str(os.getpid()), "children").read_text().split())


def test_a_child_reads_and_leaves_at_the_end_of_a_look(node: Node) -> None:
    node.start(7, b"python\0train.py\0")
    node.start(8, b"x" * 200_000)
    before = _n_children()

    said = [node.proc.cmdline(7), node.proc.cmdline(9), len(node.proc.cmdline(8) or "")]
    assert said == ["python train.py", None, 4096]
    assert _n_children() == before + 1

    node.proc.rest()
    until_s = time.monotonic() + 5
    while _n_children() > before and time.monotonic() < until_s:
        time.sleep(0.01)
        node.proc.rest()
    assert _n_children() == before
    assert node.locked.n_hung == 0


def test_a_process_that_hangs_its_reader_costs_one_deadline_and_nobody_else(node: Node) -> None:
    node.start(6, None)
    node.start(7, b"python\0")
    begun_s = time.monotonic()

    assert node.proc.cmdline(6) is None
    assert node.proc.cmdline(7) == "python"
    assert node.proc.cmdline(6) is None  # it is left alone now
    assert time.monotonic() - begun_s < 2 * DEADLINE_S
    assert node.locked.n_hung == 1


def test_a_process_that_is_left_alone_is_asked_again_after_a_while(node: Node) -> None:
    node.start(6, None)
    assert node.proc.cmdline(6) is None
    (node.root / "6" / "cmdline").unlink()
    (node.root / "6" / "cmdline").write_bytes(b"sh\0")

    assert node.proc.cmdline(6) is None
    node.ahead_s = LEFT_ALONE_S + 1
    assert node.proc.cmdline(6) == "sh"


def test_a_look_waits_for_two_and_then_asks_no_more(node: Node) -> None:
    for pid in range(10, 20):
        node.start(pid, None)
    node.start(7, b"python\0")
    begun_s = time.monotonic()

    assert [node.proc.cmdline(pid) for pid in range(10, 20)] == [None] * 10
    assert node.proc.cmdline(7) is None
    assert time.monotonic() - begun_s < (MOST_HANGS + 1) * DEADLINE_S

    node.proc.rest()
    assert node.proc.cmdline(7) == "python"  # the next look


def test_a_child_that_is_killed_is_a_hang_and_the_next_answers(node: Node) -> None:
    node.start(7, b"python\0")
    node.start(8, b"sh\0")
    assert node.proc.cmdline(7) == "python"
    child = Path("/proc/self/task").joinpath(str(os.getpid()), "children").read_text().split()[-1]
    os.kill(int(child), 9)

    assert node.proc.cmdline(8) in (None, "sh")
    assert node.proc.cmdline(7) == "python"


def test_a_name_with_a_line_break_is_no_second_question(node: Node) -> None:
    node.start(7, b"a\nb\0c\0")

    assert node.proc.cmdline(7) == "a\nb c"
    assert node.proc.read_locked("7/cmdline\n4096 /etc/passwd", 100) is None
    assert node.proc.cmdline(7) == "a\nb c"

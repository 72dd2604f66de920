"""Processes that hang whoever looks at them: in an execve or a mapping, on a dead file system."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.sampler import children
from slurm_guard.sampler.locked import LEFT_ALONE_S, MOST_HANGS, Locked
from slurm_guard.sampler.processes import ProcessTable
from slurm_guard.sampler.procfs import Proc, look
from slurm_guard.sampler.writer import Instant

DEADLINE_S = 0.3
_STAT = "{pid} (sh) S 1 1 1 0 -1 4194304 0 0 0 0 5 5 0 0 20 0 1 0 100 0 0"


class Node:
    """A folder that looks like /proc, and a clock that a test can set ahead."""

    def __init__(self, root: Path) -> None:
        self.root, self.ahead_s = root, 0.0
        self.proc = Proc(str(root))
        self.locked = Locked(
            look, lambda pid: self.proc.ids(pid).uid, DEADLINE_S, lambda: time.monotonic() + self.ahead_s
        )
        self.proc.locked = self.locked

    def start(self, pid: int, words: bytes = b"sh\0", uid: int = 1000, hangs: str = "") -> None:
        """A process; looking at the file `hangs` does not come back."""
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "exe").symlink_to("/bin/sh")
        (folder / "status").write_text(f"Name:\tsh\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t1\nGroups:\t1\n")
        for name, text in (
            ("cmdline", words),
            ("stat", _STAT.format(pid=pid).encode()),
            ("cgroup", b"0::/\n"),
        ):
            if name == hangs:
                os.mkfifo(folder / name)  # opening it waits for a writer, for ever
            else:
                (folder / name).write_bytes(text)

    def mend(self, pid: int, name: str, text: bytes) -> None:
        (self.root / str(pid) / name).unlink()
        (self.root / str(pid) / name).write_bytes(text)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.proc.close()


def _children() -> list[str]:
    return Path("/proc/self/task").joinpath(str(os.getpid()), "children").read_text().split()


def test_a_child_looks_and_leaves_at_the_end_of_a_round(node: Node) -> None:
    node.start(7, b"python\0train.py\0")
    node.start(8, b"x" * 200_000)
    (node.root / "7" / "fd" / "3").symlink_to("/home/a\nb")
    (node.root / "7" / "fd" / "4").symlink_to("socket:[5]")
    before = len(_children())

    assert [node.proc.cmdline(7), node.proc.cmdline(9)] == ["python train.py", None]
    assert len(node.proc.cmdline(8) or "") == 4096
    assert node.proc.link(7, "exe") == "/bin/sh"
    found = node.proc.fds(7, 10)
    assert found is not None
    assert (sorted(found[0]), found[1]) == ([("3", "/home/a\nb"), ("4", "socket:[5]")], 2)
    assert node.proc.fds(7, 1) is not None
    assert node.proc.link_mode(7, "fd/3") == 0o777
    stat = node.proc.stat(7)
    assert stat is not None
    assert stat.start_ticks == 100
    assert len(_children()) == before + 1

    node.proc.rest()
    until_s = time.monotonic() + 5
    while len(_children()) > before and time.monotonic() < until_s:
        time.sleep(0.01)
        node.proc.rest()
    assert len(_children()) == before
    assert (node.locked.n_hung, node.locked.hung()) == (0, [])


def test_more_descriptors_than_are_looked_at_are_not_listed_to_the_end(node: Node) -> None:
    node.start(7)
    for fd in range(50):
        (node.root / "7" / "fd" / str(fd)).symlink_to("socket:[1]")

    found = node.proc.fds(7, 10)

    assert found is not None
    assert (len(found[0]), found[1]) == (10, 11)


@pytest.mark.parametrize("name", ["stat", "cmdline"])
def test_a_process_that_hangs_its_reader_costs_one_deadline_and_nobody_else(node: Node, name: str) -> None:
    node.start(6, uid=1001, hangs=name)
    node.start(7, b"python\0")
    begun_s = time.monotonic()

    node.proc.prefetch([6, 7])
    assert (node.proc.cmdline(6), node.proc.cmdline(7)) == (None, "python")
    assert node.proc.stat(7) is not None
    assert node.proc.cmdline(6) is None  # it is left alone now
    assert time.monotonic() - begun_s < 2 * DEADLINE_S
    assert (node.locked.n_hung, node.locked.hung()) == (1, [(6, 1001)])


def test_a_process_that_is_left_alone_is_asked_again_after_a_while(node: Node) -> None:
    node.start(6, hangs="cmdline")
    assert node.proc.cmdline(6) is None
    node.mend(6, "cmdline", b"bash\0")
    node.proc.rest()

    assert node.proc.cmdline(6) is None
    node.ahead_s = LEFT_ALONE_S + 1
    assert node.proc.cmdline(6) == "bash"


def test_a_crowd_that_hangs_costs_a_deadline_a_round_and_hides_its_own_user_alone(node: Node) -> None:
    for pid in range(10, 20):
        node.start(pid, uid=1001, hangs="stat")
    node.start(30, uid=1001)
    node.start(31, uid=1002)
    pids = [*range(10, 20), 30, 31]
    begun_s = time.monotonic()

    node.proc.prefetch(pids)
    seen = [pid for pid in pids if node.proc.stat(pid) is not None]

    assert seen == [31]
    assert time.monotonic() - begun_s < 2 * DEADLINE_S
    node.proc.rest()
    node.proc.prefetch(pids)  # the user's processes come last now: nobody waits for them
    assert node.proc.stat(31) is not None


def test_a_round_waits_for_a_few_users_and_then_asks_no_more(node: Node) -> None:
    for pid in range(10, 20):
        node.start(pid, uid=pid, hangs="cmdline")
    node.start(7, b"python\0")
    begun_s = time.monotonic()

    assert [node.proc.cmdline(pid) for pid in range(10, 20)] == [None] * 10
    assert node.proc.cmdline(7) is None
    assert time.monotonic() - begun_s < (MOST_HANGS + 1) * DEADLINE_S
    assert node.locked.n_hung == MOST_HANGS

    node.proc.rest()
    assert node.proc.cmdline(7) == "python"  # the next round


def test_a_process_that_nobody_can_look_at_is_not_gone(node: Node) -> None:
    node.start(6)
    table = ProcessTable(node.proc, "n1", 100)
    assert table.look(Instant(10.0, 10.0), []) == []
    process = table.by_pid[6]
    node.proc.rest()
    (node.root / "6" / "stat").unlink()
    os.mkfifo(node.root / "6" / "stat")

    assert table.look(Instant(20.0, 20.0), []) == []
    assert table.by_pid == {6: process}
    assert table.lives(process)

    node.proc.rest()
    (node.root / "6" / "stat").unlink()
    node.ahead_s = LEFT_ALONE_S + 1
    assert table.look(Instant(700.0, 700.0), []) == [process]


def test_a_child_that_is_killed_is_a_hang_and_the_next_answers(node: Node) -> None:
    node.start(7, b"python\0", uid=1001)
    node.start(8)
    assert node.proc.cmdline(7) == "python"
    os.kill(int(_children()[-1]), 9)

    assert node.proc.cmdline(8) in (None, "sh")
    assert node.proc.cmdline(7) == "python"


def test_where_no_child_can_be_forked_the_sampler_looks_itself(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.start(7, b"python\0")

    def refuse(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(children, "fork", refuse)
    node.proc.prefetch([7])
    assert node.proc.stat(7) is not None
    assert node.proc.cmdline(7) == "python"
    monkeypatch.undo()
    assert node.proc.cmdline(7) == "python"
    assert len(_children()) >= 1


def test_a_forked_child_looks_by_itself(node: Node) -> None:
    node.start(7, b"python\0")
    assert node.proc.cmdline(7) == "python"
    pid = os.fork()
    if pid == 0:
        os._exit(0 if node.proc.cmdline(7) == "python" else 1)

    assert os.waitpid(pid, 0)[1] == 0
    assert node.proc.cmdline(7) == "python"


def test_a_name_with_a_line_break_is_no_second_question(node: Node) -> None:
    node.start(7, b"a\nb\0c\0")

    assert node.proc.cmdline(7) == "a\nb c"
    assert node.proc.read_locked("7/cmdline\n4096 /etc/passwd", 100) is None
    assert node.proc.cmdline(7) == "a\nb c"

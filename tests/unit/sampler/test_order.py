"""Which was opened first, the connection outwards or the one nearby?"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from slurm_guard.networks import LOOPBACK, OUTSIDE
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.moved import Moved
from slurm_guard.sampler.order import MOST_ASKED, Came, opened_later
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.writer import Instant

_NOW = Instant(0.0, 0.0)


def _outer(first_s: float = 10.0) -> Moved:
    return Moved(1, OUTSIDE, 0, 0, 0, 0, True, first_s=first_s)


def _inner(ident: int, first_s: float = 10.0) -> Moved:
    return Moved(ident, LOOPBACK, 0, 0, 0, 0, True, first_s=first_s)


@pytest.mark.parametrize(("inner_s", "said"), [(20.0, True), (0.0, False), (10.0, None)])
def test_what_was_met_later_came_later(inner_s: float, said: bool | None) -> None:
    came = Came()
    came.note(_outer(), [_inner(2, inner_s)])
    assert came.is_outer_first is said
    assert came.may_be is (said is not False)
    assert came.unknown == ({2} if said is None else set())


def test_one_inner_connection_from_before_is_enough_against_it() -> None:
    came = Came()
    came.note(_outer(), [_inner(2, 0.0)])
    came.note(_outer(), [_inner(2, 0.0), _inner(3, 20.0)])
    assert came.is_outer_first is False


def test_nothing_is_known_of_a_pair_without_inner_connections() -> None:
    came = Came()
    came.note(_outer(), [])
    assert came.is_outer_first is None


def _both_new() -> Came:
    came = Came()
    came.note(_outer(), [_inner(2)])
    return came


def test_what_nobody_can_tell_any_more_is_left_to_those_that_come() -> None:
    came = _both_new()
    came.note(_outer(), [_inner(3, 20.0)])
    assert came.is_outer_first is None
    came.settle({})
    assert came.is_outer_first is True
    assert came.unknown == set()

    came = _both_new()
    for _ in range(MOST_ASKED):
        assert came.unknown == {2}
        came.settle({})
    assert came.unknown == set()
    assert came.is_outer_first is None  # nothing is known
    came.note(_outer(), [_inner(2), _inner(3, 20.0)])
    assert came.is_outer_first is True


def test_a_higher_descriptor_tells_and_a_lower_one_does_not() -> None:
    came = _both_new()
    came.settle({2: True})
    assert came.is_outer_first is True

    came = _both_new()
    came.settle({2: False})  # a number that had become free, perhaps
    assert came.is_outer_first is None
    assert came.unknown == set()
    came.note(_outer(), [_inner(3, 20.0)])
    assert came.is_outer_first is True


def test_what_a_round_saw_tells_of_connections_over_loopback() -> None:
    def said(before: frozenset[int] | None, peer: str) -> bool | None:
        came = Came()
        outer = _outer()._replace(before=before)
        came.note(outer, [_inner(2)._replace(peer=peer)])
        return came.is_outer_first

    assert said(frozenset(), "127.0.0.1:22") is True
    assert said(frozenset({7}), "[::ffff:127.0.0.1]:22") is True
    assert said(frozenset({2}), "127.0.0.1:22") is None  # there as well: in the same second, perhaps
    assert said(frozenset(), "10.0.0.5:22") is None  # the node's own address: no round asks there
    assert said(None, "127.0.0.1:22") is None


def test_one_that_a_round_saw_come_is_later_whenever_its_holder_was_found() -> None:
    came = Came()
    came.note(_outer()._replace(before=frozenset()), [_inner(2, 0.0)._replace(peer="[::1]:22")])
    assert came.is_outer_first is True


def test_one_that_was_there_and_whose_holder_was_not_known_yet_is_not_told_to_be_later() -> None:
    came = Came()
    there = _inner(2, 20.0)._replace(peer="127.0.0.1:22")
    came.note(_outer()._replace(before=frozenset({2})), [there])
    assert came.is_outer_first is None


def _flow(end: socket.socket | int, pid: int) -> Flow:
    inode = os.fstat(end if isinstance(end, int) else end.fileno()).st_ino
    sample = Sample(inode, "tcp", "127.0.0.1:1", "127.0.0.1:2", "ESTABLISHED", 0, inode, inode)
    return Flow(sample, Process(Stat(pid, "x", "S", 1, 1, 0, False), 0.0, _NOW), "r", _NOW, began=True)


def test_a_programs_descriptors_tell_which_it_opened_first() -> None:
    with socket.socket() as first, socket.socket() as second:
        a, b = _flow(first, os.getpid()), _flow(second, os.getpid())
        assert opened_later(Proc(), [a], [b]) == {b.sample.ident: True}
        assert opened_later(Proc(), [b], [a]) == {a.sample.ident: False}
        # of several the first counts
        assert opened_later(Proc(), [b, a], [b]) == {b.sample.ident: True}
    assert opened_later(Proc(), [a], [b]) == {}  # both are gone


@contextmanager
def _child_with_the_outer_one(outer: socket.socket, stdin: int, stdout: int) -> Iterator[int]:
    code = "import sys; sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=stdin, stdout=stdout, pass_fds=[outer.fileno()]
    )
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("joined", ["pipes", "socketpair"])
@pytest.mark.parametrize("is_before", [True, False])
def test_what_joins_two_processes_stands_for_the_outer_connection(joined: str, is_before: bool) -> None:
    with ExitStack() as stack:
        before = stack.enter_context(socket.socket())
        if joined == "pipes":
            theirs_in, mine_out = os.pipe()
            mine_in, theirs_out = os.pipe()
            for end in (theirs_in, mine_out, mine_in, theirs_out):
                stack.callback(os.close, end)
        else:
            mine, theirs = socket.socketpair()
            stack.enter_context(mine)
            stack.enter_context(theirs)
            theirs_in = theirs_out = theirs.fileno()
        outer = stack.enter_context(socket.socket())
        after = stack.enter_context(socket.socket())
        pid = stack.enter_context(_child_with_the_outer_one(outer, theirs_in, theirs_out))
        there = _flow(outer, pid)
        inner = _flow(before if is_before else after, os.getpid())
        assert opened_later(Proc(), [there], [inner]) == {inner.sample.ident: not is_before}

"""Services that one process alone was seen to open connections to."""

from slurm_guard.networks import LOOPBACK, OUTSIDE
from slurm_guard.sampler.callers import MOST_DOORS, Callers
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.writer import Instant

_NOW = Instant(0.0, 0.0)
ONE, OTHER = (Process(Stat(pid, "x", "S", 1, pid, 0, False), 0.0, _NOW) for pid in (1, 2))


def flow(ident: int, owner: Process, port: int = 8888, near: int = LOOPBACK, opened: bool = True) -> Flow:
    peer = f"127.0.0.1:{port}"
    local = f"127.0.0.1:{50_000 + ident}"
    sample = Sample(ident, "tcp", local, peer, "ESTABLISHED", 1, ident, ident, None, opened)
    made = Flow(sample, owner, "r", _NOW, began=True)
    made.near = near
    return made


def test_one_connection_is_not_enough_and_two_are_one_after_the_other_or_at_once() -> None:
    doors = Callers()
    doors.look([flow(1, ONE)])
    doors.look([flow(1, ONE)])
    assert doors.of([flow(1, ONE)]) == set()
    doors.look([flow(2, ONE)])
    assert doors.of([flow(1, ONE)]) == {8888}
    at_once = Callers()
    at_once.look([flow(1, ONE), flow(2, ONE)])
    assert at_once.of([flow(1, ONE)]) == {8888}


def test_a_door_at_which_another_was_seen_is_nobodys() -> None:
    doors = Callers()
    doors.look([flow(1, ONE), flow(2, ONE), flow(3, OTHER)])
    assert doors.of([flow(1, ONE)]) == set()
    assert doors.of([flow(1, ONE), flow(3, OTHER)]) == {8888}  # joined, they are one owner


def test_accepted_and_far_ones_are_no_doors() -> None:
    doors = Callers()
    doors.look([flow(k, ONE, opened=False) for k in (1, 2)])
    doors.look([flow(k, ONE, near=OUTSIDE) for k in (3, 4)])
    assert doors.of([flow(1, ONE)]) == set()


def test_doors_are_bounded_and_forgotten_with_their_visitors() -> None:
    doors = Callers()
    doors.look([flow(1, ONE), flow(2, ONE)])
    doors.look([flow(k, OTHER, port=k) for k in range(10_000, 10_000 + 2 * MOST_DOORS)])
    assert doors.of([flow(1, ONE)]) == {8888}
    doors.forget_gone({OTHER.key})
    assert doors.of([flow(1, ONE)]) == set()

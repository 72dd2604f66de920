"""Looks at suspects between two looks: what they add, and what they must not count twice."""

from collections.abc import Callable
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.config import NetworkConfig
from slurm_guard.sampler.closeup import EVERY_S, MOST_ASKED, MOST_NEW, Closeup
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.relaywatch import RelayWatch
from slurm_guard.sampler.tcpdiag import Sample, TcpDiag
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import Descriptors

_START = Instant(0.0, 0.0)
_OUTER = Sample(1, "tcp", "10.0.0.5:5000", "203.0.113.1:443", "ESTABLISHED", 1, 1, 1, None, True, 0, 0, 0, 0)
_INNER = Sample(2, "tcp", "127.0.0.1:6000", "127.0.0.1:9000", "ESTABLISHED", 1, 2, 2, None, True, 0, 0, 0, 0)
_QUIET, _MIDST = 400, 5


def _owner() -> Process:
    process = Process(Stat(1, "x", "S", 1, 1, 0, False), 0.0, _START)
    process.run = "r"
    return process


class _Kernel(TcpDiag):
    """Sockets as a test says, asked for one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, Sample] = {}
        self.at_ports: list[Sample] | None = []
        self.near_rows: list[Sample] = []
        self.is_crowded = False
        self.n_asked = self.n_walks = self.n_near = 0
        self.fails = False

    def again(self, before: list[Sample]) -> dict[int, Sample]:
        if self.fails:
            raise OSError
        self.n_asked += len(before)
        return {s.ident: self.rows[s.ident] for s in before if s.ident in self.rows}

    def ports(self, table: str, ports: list[int]) -> list[Sample] | None:
        self.n_walks += 1
        return self.at_ports

    def loopback(self, table: str, is_wanted: Callable[[int, int], bool]) -> list[Sample] | None:
        self.n_near += 1
        if self.is_crowded:
            return None
        return [row for row in self.near_rows if row.proto == table and is_wanted(row.uid, row.ident)]

    def move(self, ident: int, out_b: int, in_b: int, age_ms: int = _QUIET) -> None:
        was = self.rows[ident]
        self.rows[ident] = was._replace(
            out_b=(was.out_b or 0) + out_b,
            in_b=(was.in_b or 0) + in_b,
            out_n=(was.out_n or 0) + 2,
            in_n=(was.in_n or 0) + 2,
            min_rtt_us=20_000,
            sent_ms=age_ms,
            recv_ms=age_ms,
        )


class _World:
    """A tunnel's two connections, looks ten seconds apart, and rounds."""

    def __init__(self) -> None:
        self.watch = RelayWatch(NetworkConfig(), Descriptors(1, 2))
        self.closeup = Closeup(self.watch, Proc(), lambda _: None)
        self.kernel = _Kernel()
        self.owner = _owner()
        self.flows = {s.ident: Flow(s, self.owner, "r", _START, began=True) for s in (_OUTER, _INNER)}
        self.kernel.rows = {1: _OUTER, 2: _INNER}
        self.heard: list[Sample] = []
        self.told: list[Any] = []
        self.k = 0

    def use(self, age_ms: int = _QUIET, by: int = 2) -> None:
        """A question from outside, and its answer."""
        self.k += 1
        asked, answered = 2000 * (self.k % 7 + 1), 5000 * (self.k % 5 + 1)
        self.kernel.move(1, answered + 100, asked + 100, age_ms)
        self.kernel.move(by, asked, answered, age_ms)

    def look(self, at_s: float, **counted: Flow) -> None:
        for ident, flow in self.flows.items():
            flow.update(self.kernel.rows[ident])
        self.told += self.watch.look(Instant(at_s, at_s), list(self.flows.values()))
        self.closeup.begin(at_s)

    def round(self, at_s: float) -> None:
        self.told += self.closeup.look(Instant(at_s, at_s), self.kernel, self.heard, self.flows.__contains__)

    def pair(self) -> Any:
        return self.watch._relays.pairs[1, (True, 9000)]

    def names(self) -> list[str]:
        return [t.name if isinstance(t, wire.Event) else "relay" for t in self.told]


@pytest.fixture
def world() -> _World:
    """After a look that showed bytes handed on once."""
    world = _World()
    world.look(0.0)
    world.use()
    world.look(10.0)
    return world


def test_rounds_find_between_two_looks_who_leads(world: _World) -> None:
    for k in range(1, 10):
        world.use()
        world.round(10.0 + k)
    assert world.names()[-1] == "bridge"
    n = world.kernel.n_asked
    world.use()
    world.look(20.0)
    world.round(21.0)
    assert world.kernel.n_asked == n  # it is decided
    assert world.names().count("bridge") == 1


def test_a_rest_counts_once_whoever_sees_it(world: _World) -> None:
    n_led = world.pair().rests.n_led
    world.use()
    for k in range(1, 4):
        world.round(10.0 + k)
    assert world.pair().rests.n_led == n_led + 1
    world.look(14.0)
    world.round(15.0)
    assert world.pair().rests.n_led == n_led + 1


def test_what_a_round_has_counted_the_look_does_not_count_again(world: _World) -> None:
    for k in range(1, 4):
        world.use(_MIDST)
        world.round(10.0 + k)
    world.use(_MIDST)
    world.look(20.0)
    pair, rows = world.pair(), world.kernel.rows
    assert (pair.outer_out_b, pair.outer_in_b) == (rows[1].out_b, rows[1].in_b)
    assert (pair.inner_out_b, pair.inner_in_b) == (rows[2].out_b, rows[2].in_b)


def test_rounds_make_no_more_looks_of_those_that_are_told(world: _World) -> None:
    for k in range(1, 4):
        world.use(_MIDST)
        world.round(10.0 + k)
    world.use(_MIDST)
    world.look(20.0)
    assert world.pair().n_coupled == 5
    assert (world.pair().told_busy, world.pair().told_coupled) == (2, 2)


def test_who_hands_nothing_on_is_not_asked_for() -> None:
    world = _World()
    world.look(0.0)
    world.kernel.move(1, 9000, 9000)
    world.look(10.0)
    world.round(11.0)
    assert world.kernel.n_asked == 0


def test_rounds_come_no_oftener_than_they_should(world: _World) -> None:
    world.round(10.0 + EVERY_S / 2)
    assert world.kernel.n_asked == 0
    world.round(10.0 + EVERY_S)
    assert world.kernel.n_asked == 2


def test_an_owner_of_many_connections_is_left_to_the_looks() -> None:
    world = _World()
    for ident in range(3, 3 + MOST_ASKED):
        sample = _OUTER._replace(ident=ident, cookie=ident, local=f"10.0.0.5:{ident}")
        world.flows[ident] = Flow(sample, world.owner, "r", _START, began=True)
        world.kernel.rows[ident] = sample
    world.look(0.0)
    world.use()
    world.look(10.0)
    world.round(11.0)
    assert world.kernel.n_asked == 0


def test_a_kernel_that_does_not_answer_costs_the_round_alone(world: _World) -> None:
    world.use()
    world.kernel.fails = True
    world.round(11.0)
    world.kernel.fails = False
    world.round(12.0)
    pair, rows = world.pair(), world.kernel.rows
    assert (pair.outer_out_b, pair.inner_out_b) == (rows[1].out_b, rows[2].out_b)


class _Links(Proc):
    """One descriptor of the owner's; null: it cannot be read."""

    def __init__(self, inode: int | None) -> None:
        super().__init__()
        self._inode = inode

    def fds(self, pid: int | str, most: int, at: int = 0) -> tuple[list[tuple[str, str]], int] | None:
        return ([("3", f"socket:[{self._inode}]")], 1) if self._inode is not None else ([], most + 1)


_NEW = _INNER._replace(ident=3, cookie=3, inode=3, local="127.0.0.1:6002")


def test_a_new_inner_connection_is_looked_for_where_its_bytes_are_missed(world: _World) -> None:
    world.closeup = Closeup(world.watch, _Links(3), lambda _: None)
    world.closeup.begin(10.0)
    world.use()
    world.round(11.0)
    assert world.kernel.n_walks == 0
    n_coupled = world.pair().n_coupled
    world.kernel.rows[3] = _NEW
    world.use(by=3)
    world.kernel.at_ports = [world.kernel.rows[3]]
    world.round(12.0)
    assert world.kernel.n_walks == 1
    assert world.pair().n_coupled == n_coupled + 1
    # the look meets it, and later it ends: nothing of it counts twice
    row = world.kernel.rows[3]
    flow = Flow(row, world.owner, "r", Instant(20.0, 20.0), began=True)
    flow.count_less(world.watch.counted(world.owner.key, 3))
    assert flow.moved == (0, 0, 0, 0)
    world.watch.note_short([row._replace(state="CLOSED", sent_ms=None, recv_ms=None)], 0.0)
    world.look(20.0)
    assert world.pair().inner_out_b == (world.kernel.rows[2].out_b or 0) + (row.out_b or 0)


def test_a_connection_that_came_and_went_counts_in_its_round_and_not_again(world: _World) -> None:
    world.kernel.rows[3] = _NEW
    world.use(by=3)
    ended = world.kernel.rows[3]._replace(state="CLOSED", sent_ms=None, recv_ms=None)
    world.heard.append(ended)
    world.round(11.0)
    total = (world.kernel.rows[2].out_b or 0) + (ended.out_b or 0)
    assert world.pair().inner_out_b == total
    world.round(12.0)
    world.watch.note_short([ended], 0.0)
    world.look(20.0)
    assert world.pair().inner_out_b == total


def test_a_new_one_is_found_also_where_the_last_one_has_ended_rounds_ago(world: _World) -> None:
    world.closeup = Closeup(world.watch, _Links(3), lambda _: None)
    world.closeup.begin(10.0)
    world.round(11.0)
    ended = world.kernel.rows.pop(2)
    world.heard.append(ended._replace(state="CLOSED", sent_ms=None, recv_ms=None))
    world.round(12.0)
    world.round(13.0)
    n_coupled = world.pair().n_coupled
    world.kernel.rows[3] = _NEW
    world.use(by=3)
    world.kernel.at_ports = [world.kernel.rows[3]]
    world.round(14.0)
    assert world.pair().n_coupled == n_coupled + 1


def test_one_walk_serves_all_suspects_of_a_round() -> None:
    world = _World()
    other = Process(Stat(2, "y", "S", 1, 1, 0, False), 0.0, _START)
    other.run = "r"
    for ident, like in ((11, _OUTER), (12, _INNER)):
        sample = like._replace(ident=ident, cookie=ident, local=f"10.0.0.5:{ident}")
        world.flows[ident] = Flow(sample, other, "r", _START, began=True)
        world.kernel.rows[ident] = sample
    world.look(0.0)
    world.use()
    world.kernel.move(11, 9100, 3100)
    world.kernel.move(12, 3000, 9000)
    world.look(10.0)
    world.kernel.move(1, 9100, 3100)
    world.kernel.move(11, 9100, 3100)
    world.round(11.0)
    assert len(world.watch.suspects()) == 2
    assert world.kernel.n_walks == 1


@pytest.mark.parametrize("why", ["a crowd", "links that are not read"])
def test_where_it_cannot_be_said_whose_bytes_are_missed_nothing_is_said(world: _World, why: str) -> None:
    world.closeup = Closeup(world.watch, _Links(None), lambda _: None)
    world.closeup.begin(10.0)
    world.kernel.at_ports = None if why == "a crowd" else [_NEW]
    asked, n_busy = world.pair().rests.n_asked, world.pair().n_busy
    world.kernel.move(1, 9000, 9000)
    world.round(11.0)
    assert (world.pair().rests.n_asked, world.pair().n_busy) == (asked, n_busy)
    world.kernel.move(2, 8900, 8900)
    world.round(12.0)
    assert world.pair().outer_out_b == world.kernel.rows[1].out_b


def test_a_new_one_is_looked_for_in_each_round_while_no_inner_one_is_open(world: _World) -> None:
    """A new outer and a new inner one for each user: nothing moves that is known."""
    world.closeup = Closeup(world.watch, _Links(3), lambda _: None)
    world.closeup.begin(10.0)
    world.round(11.0)
    assert world.kernel.n_walks == 0
    ended = world.kernel.rows.pop(2)
    world.heard.append(ended._replace(state="CLOSED", sent_ms=None, recv_ms=None))
    world.round(12.0)
    world.round(13.0)
    assert world.kernel.n_walks == 2


def test_a_crowd_at_its_ports_leaves_out_no_round_in_which_nothing_is_missed(world: _World) -> None:
    world.kernel.at_ports = None
    world.heard.append(world.kernel.rows.pop(2)._replace(state="CLOSED", sent_ms=None, recv_ms=None))
    world.kernel.move(1, 60, 60)
    world.round(11.0)
    assert world.pair().outer_out_b == world.kernel.rows[1].out_b


@pytest.fixture
def lonely() -> _World:
    """An outer connection and nothing else, looked at twice; somebody may come by it."""
    world = _World()
    del world.flows[2], world.kernel.rows[2]
    world.closeup = Closeup(world.watch, _Links(3), lambda _: None)
    world.look(0.0)
    world.look(10.0)
    return world


def _come(world: _World, *, n: int = 1) -> None:
    """Somebody comes by it, and by a connection of its owner's goes on."""
    for k in range(n):
        world.kernel.rows.setdefault(3 + k, _NEW._replace(ident=3 + k, cookie=3 + k))
    world.use(by=3)
    world.kernel.near_rows = [row for ident, row in world.kernel.rows.items() if ident >= 3]
    world.kernel.at_ports = world.kernel.near_rows


def test_who_waited_is_looked_at_from_the_round_in_which_somebody_came(lonely: _World) -> None:
    lonely.round(11.0)
    assert (lonely.kernel.n_near, lonely.watch.suspects()) == (0, [])
    for k in range(2, 11):
        _come(lonely)
        lonely.round(10.0 + k)
    assert lonely.names()[-1] == "bridge"
    # the look meets the new one, and nothing of it counts twice
    row = lonely.kernel.rows[3]
    flow = lonely.flows[3] = Flow(row, lonely.owner, "r", Instant(21.0, 21.0), began=True)
    flow.count_less(lonely.watch.counted(lonely.owner.key, 3))
    lonely.flows[1].update(lonely.kernel.rows[1])
    lonely.told += lonely.watch.look(Instant(21.0, 21.0), list(lonely.flows.values()))
    pair = lonely.pair()
    assert (pair.inner_out_b, pair.inner_in_b) == (row.out_b, row.in_b)
    assert pair.outer_out_b == lonely.kernel.rows[1].out_b
    assert lonely.names().count("bridge") == 1


def test_who_waits_quietly_costs_no_walk(lonely: _World) -> None:
    for k in range(1, 6):
        lonely.kernel.move(1, 40, 40)
        lonely.round(10.0 + k)
    assert (lonely.kernel.n_near, lonely.kernel.n_walks) == (0, 0)


def test_whose_descriptors_do_not_hold_what_came_is_no_suspect(lonely: _World) -> None:
    lonely.closeup = Closeup(lonely.watch, _Links(77), lambda _: None)
    lonely.closeup.begin(10.0)
    _come(lonely)
    lonely.round(11.0)
    assert lonely.kernel.n_near > 0
    assert lonely.watch.suspects() == []


def test_a_crowd_of_new_ones_is_left_to_the_look(lonely: _World) -> None:
    _come(lonely, n=MOST_NEW + 1)
    lonely.round(11.0)
    assert lonely.watch.suspects() == []


@pytest.mark.parametrize("why", ["allowed", "told", "accepted", "a neighbour"])
def test_who_is_known_waits_for_nobody(why: str) -> None:
    world = _World()
    if why == "allowed":
        world.watch = RelayWatch(NetworkConfig(tunnels=["203.0.113.1:443"]), Proc())
        world.closeup = Closeup(world.watch, _Links(3), lambda _: None)
    if why != "a neighbour":
        del world.flows[2], world.kernel.rows[2]
    if why == "accepted":
        world.flows[1].opened = False
        world.kernel.rows[1] = _OUTER._replace(opened=False)
    if why == "told":
        world.watch._told[1] = True
    world.look(0.0)
    assert world.watch.waiting.owners == []


def test_a_crowd_on_loopback_is_asked_for_once_between_two_looks(lonely: _World) -> None:
    lonely.kernel.is_crowded = True
    for k in (1, 3, 5):
        _come(lonely)
        lonely.round(10.0 + k)
        lonely.round(11.0 + k)
    assert lonely.kernel.n_near == 2  # tcp and tcp6
    lonely.look(20.0)
    _come(lonely)
    lonely.round(21.0)
    assert lonely.kernel.n_near == 4

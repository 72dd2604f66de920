"""Bytes that go on by connections shorter than the time between two looks, of which no look meets one."""

from itertools import count

import pytest

from slurm_guard import wire
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.test_closeup import _OUTER, _World

LOOPBACK, NODE = "127.0.0.1:{}", "10.0.0.9:{}"


class _Shorts(_World):
    """A tunnel's outer connection alone; what it leads to has come and gone."""

    def __init__(self, where: str, ports: tuple[int, ...]) -> None:
        super().__init__()
        del self.flows[2]
        self.where, self.ports = where, ports
        self._idents = count(100)
        self.fresh: list[Sample] = []

    def page(self) -> None:
        """A page is asked for from outside, by a connection of its own."""
        self.k += 1
        asked, answered = 900 + 211 * (self.k % 7), 3000 + 1700 * (self.k % 5)
        self.kernel.move(1, answered + 100, asked + 300)
        n = next(self._idents)
        port = self.ports[self.k % len(self.ports)]
        ends = (
            (LOOPBACK if self.where is LOOPBACK else "10.0.0.5:{}").format(40_000 + n),
            self.where.format(port),
        )
        self.heard.append(Sample(n, "tcp", *ends, "CLOSED", 0, 0, n, None, True, asked, answered, 2, 2))

    def look(self, at_s: float) -> None:  # type: ignore[override]
        self.watch.note_short(self.heard, at_s)
        super().look(at_s)
        self.heard.clear()

    def relays(self) -> list[wire.RelaySeen]:
        return [told for told in self.told if isinstance(told, wire.RelaySeen)]


@pytest.mark.parametrize("where", [LOOPBACK, NODE])
@pytest.mark.parametrize("ports", [(9000,), tuple(range(9000, 9008))])
@pytest.mark.parametrize("rounds", [True, False])
def test_short_connections_are_told_without_their_owner(
    where: str, ports: tuple[int, ...], rounds: bool
) -> None:
    world = _Shorts(where, ports)
    world.look(0.0)
    for at_s in range(1, 61):
        world.page()
        if at_s % 10 == 0:
            world.look(float(at_s))
        elif rounds:
            world.round(float(at_s))

    (relay,) = world.relays()
    assert relay.inner_opened
    assert not relay.inner_owned
    assert not relay.led
    assert relay.inner_peer in {where.format(port) for port in ports}
    assert world.names() == ["relay"]  # nobody knows whose they were: no hard fact
    assert relay.coupled_in_b > 5000


def test_strangers_short_connections_are_not_the_owners() -> None:
    world = _Shorts(LOOPBACK, (9000,))
    world.look(0.0)
    for at_s in range(1, 121):
        world.page()
        world.kernel.rows[1] = _OUTER._replace(  # which asks and answers on its own
            out_b=700 * at_s * at_s, in_b=40_000 * at_s, out_n=2 * at_s, in_n=30 * at_s, min_rtt_us=20_000
        )
        if at_s % 10 == 0:
            world.look(float(at_s))
        else:
            world.round(float(at_s))

    assert world.told == []


def test_a_look_finds_out_where_it_leads_before_rounds_count() -> None:
    world = _Shorts(LOOPBACK, (9000,))
    world.look(0.0)
    world.page()
    world.look(10.0)
    assert world.watch.led_to(list(world.flows.values())) == {"127.0.0.1:9000"}
    world.page()
    world.round(11.0)
    assert world.pair().n_coupled == 2
    world.look(20.0)
    assert world.pair().n_coupled == 2  # counted by the round


def test_a_crawl_is_left_to_the_looks() -> None:
    world = _Shorts(LOOPBACK, (9000, 9001, 9002))
    world.look(0.0)
    for _ in range(6):
        world.page()
    world.look(10.0)
    assert world.watch.led_to(list(world.flows.values())) is None
    before = world.flows[1].sample
    world.page()
    world.round(11.0)
    assert world.flows[1].sample == before
    assert world.told == []
    world.look(Instant(20.0, 20.0).mono_s)

"""What simulated jobs say to the network adds up, and every line has a first and a last word."""

from slurm_guard import wire
from slurm_guard.simulate.network import Line, Sockets, Spell, through

LINE = Line("gpu11", 300, "/x/notify", "10.20.1.11:38000", "203.0.113.57:443", True, 100.0, 4000.0)
SPELLS = (Spell(500.0, 900.0, 100.0, 5000.0), Spell(2000.0, 2600.0, 50.0, 900.0))
TUNNEL = through(LINE, ("127.0.0.1:52000", "127.0.0.1:22", True), SPELLS)


def _told(until_s: float) -> list[wire.FlowSeen | wire.RelaySeen]:
    sockets = Sockets("c/1/gpu11/b/1", 2001, (), (TUNNEL,))
    looks = [record for t in range(0, int(until_s), 60) for record in sockets.look(1e9, float(t))]
    return [*looks, *sockets.look(1e9, until_s, last=True), *sockets.look(1e9, until_s, last=True)]


def test_bytes_only_grow() -> None:
    sums = [TUNNEL.outer.carried(float(t)) for t in range(0, 5000, 50)]

    assert sums == sorted(sums)
    assert sums[-1] == TUNNEL.outer.carried(1e9)


def test_each_line_and_tunnel_is_told_twice_and_never_again() -> None:
    told = _told(3000.0)

    assert [type(record).__name__ for record in told].count("FlowSeen") == 4
    assert [record.gone for record in told if isinstance(record, wire.RelaySeen)] == [False, True]
    assert all(record.first_seen_at <= record.last_seen_at for record in told)


def test_what_came_through_never_exceeds_either_side() -> None:
    for record in _told(3000.0):
        if isinstance(record, wire.RelaySeen):
            assert 0 < record.coupled_in_b <= min(record.outer_in_b, record.inner_out_b)
            assert 0 < record.coupled_out_b <= min(record.outer_out_b, record.inner_in_b)
            assert 0 < record.n_coupled <= record.n_busy


def test_a_tunnel_that_was_not_used_before_the_end_is_a_line_alone() -> None:
    assert [type(record).__name__ for record in _told(400.0)] == ["FlowSeen", "FlowSeen"]

"""What comes in by one connection and goes out by another, and what only lives beside it."""

import random

import pytest

from slurm_guard.networks import CLUSTER, LOOPBACK, OUTSIDE
from slurm_guard.sampler.relays import MOST_GROUPS, Moved, Pair, Relays

OUT, IN = 1, 2
Look = tuple[list[Moved], list[Moved]]


def outer(in_b: int, out_b: int, n: int = 4) -> Moved:
    return Moved(OUT, OUTSIDE, out_b, in_b, n, True, 22, "10.0.0.1:5000", "203.0.113.9:22")


def inner(in_b: int, out_b: int, n: int = 4, opened: bool = True, ident: int = IN, door: int = 8888) -> Moved:
    return Moved(ident, LOOPBACK, out_b, in_b, n, opened, door, "127.0.0.1:6000", "127.0.0.1:8888")


def play(looks: list[Look], every: int = 1, more: float = 1.5) -> Pair | None:
    """The looks, with the amounts of each second one (of each second `every`) larger: equal amounts say
    nothing new."""
    relays = Relays()
    for k, look in enumerate(looks):
        factor = more if k // every % 2 else 1.0
        moved, short = ([_larger(flow, factor) for flow in flows] for flows in look)
        relays.look(10.0 * k, moved, short, {OUT})
    return relays.best(OUT)


def _larger(flow: Moved, factor: float) -> Moved:
    return flow._replace(in_b=round(factor * flow.in_b), out_b=round(factor * flow.out_b))


def test_two_heartbeats_that_are_alike_and_never_change_are_none() -> None:
    assert play([([outer(400, 380, 2), inner(340, 360, 2)], [])] * 500, more=1.02) is None
    assert play([([outer(3100, 9100), inner(9000, 3000)], [])] * 500, more=1.02) is None


def test_bytes_that_reappear_both_ways_are_a_relay() -> None:
    pair = play([([outer(3000 + 40 * 6, 9000 + 40 * 6), inner(9000, 3000)], [])] * 2)
    assert pair is not None
    assert pair.opened is True
    assert (pair.n_busy, pair.n_coupled) == (2, 2)
    assert (pair.coupled_in_b, pair.coupled_out_b) == (7500, 22500)
    assert pair.face == ("127.0.0.1:6000", "127.0.0.1:8888")


def test_one_look_is_not_enough_and_keep_alives_are_no_looks() -> None:
    busy: Look = ([outer(3100, 9100), inner(9000, 3000)], [])
    quiet: Look = ([outer(60, 60, 1), inner(0, 0, 0)], [])
    assert play([busy]) is None
    assert play([busy, quiet, quiet, quiet]) is None
    assert play([busy, quiet, quiet, busy]) is not None


def test_a_relay_of_which_a_look_cuts_an_answer_in_two_is_one_all_the_same() -> None:
    early, late = outer(3100, 2000), outer(3100, 16200)
    pair = play([([end, inner(9000, 3000)], []) for end in (early, late) * 6], every=2)
    assert pair is not None


def test_one_way_alone_is_none() -> None:
    """A ring of ranks takes from a far one and gives to a near one, and nothing comes back."""
    assert play([([outer(1_000_000, 0), inner(0, 1_000_000)], [])] * 20) is None


def test_traffic_of_ones_own_beside_it_is_none() -> None:
    rng = random.Random(3)
    for _ in range(200):
        looks: list[Look] = []
        for _ in range(30):
            a, b, c, d = (rng.randrange(10**6) for _ in range(4))
            looks.append(([outer(a, b), inner(c, d)], []))
        assert play(looks) is None


@pytest.mark.parametrize("near", [OUTSIDE, CLUSTER])
def test_only_a_nearer_connection_can_be_the_inner_one(near: int) -> None:
    beside = inner(9000, 3000)._replace(near=OUTSIDE)
    assert play([([outer(3100, 9100)._replace(near=near), beside], [])] * 3) is None


def test_several_inner_connections_count_together() -> None:
    parts = [inner(3000, 1000, ident=k, door=7000 + k) for k in range(2, 5)]
    pair = play([([outer(3100, 9100, 12), *parts], [])] * 3)
    assert pair is not None
    assert len(pair.idents) == 3


def test_what_came_and_went_counts_by_the_door_of_its_service() -> None:
    """Each request opens a connection; other people's short ones do not hide it."""
    looks: list[Look] = []
    for k in range(3):
        mine = inner(9000, 3000, ident=100 + k)
        others = [inner(50, 70, ident=1000 + 20 * k + j, door=9000 + j) for j in range(20)]
        looks.append(([outer(3100, 9100)], [mine, *others]))
    pair = play(looks)
    assert pair is not None
    assert (pair.n_coupled, len(pair.idents)) == (3, 3)
    assert pair.n_owned == 0  # whose they were is not known: no hard fact


def test_who_opened_the_inner_ones_is_told_apart() -> None:
    pair = play([([outer(3100, 9100), inner(9000, 3000, opened=False)], [])] * 2)
    assert pair is not None
    assert pair.opened is False


def test_a_relay_that_goes_quiet_stays_known_and_an_unrelated_hour_makes_it_unsure() -> None:
    busy: Look = ([outer(3100, 9100), inner(9000, 3000)], [])
    assert play([busy, busy] + [([outer(0, 0, 0), inner(0, 0, 0)], [])] * 50) is not None
    assert play([busy, busy] + [([outer(90_000, 10), inner(0, 0, 0)], [])] * 50) is None


def test_groups_are_bounded_and_told_to_be() -> None:
    relays = Relays()
    many = [inner(10, 10, ident=k, door=k) for k in range(10, 10 + 3 * MOST_GROUPS)]
    relays.look(0.0, [outer(5, 5), *many], [], {OUT})
    assert len(relays.pairs) == MOST_GROUPS
    assert relays.truncated
    relays.forget(OUT)
    assert not relays.pairs

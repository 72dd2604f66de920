"""What comes in by one connection and goes out by another, and what only lives beside it."""

import random

import pytest

from slurm_guard.networks import CLUSTER, LOOPBACK, OUTSIDE
from slurm_guard.sampler.initiative import SURE_RESTS
from slurm_guard.sampler.moved import MOST_NOTED, Moved, merged
from slurm_guard.sampler.relays import MOST_GROUPS, Pair, Relays

OUT, IN = 1, 2
Look = tuple[list[Moved], list[Moved]]


def outer(in_b: int, out_b: int, n: int = 4) -> Moved:
    return Moved(OUT, OUTSIDE, out_b, in_b, n // 2, n // 2, True, 22, "10.0.0.1:5000", "203.0.113.9:22")


def inner(in_b: int, out_b: int, n: int = 4, opened: bool = True, ident: int = IN, door: int = 8888) -> Moved:
    return Moved(
        ident, LOOPBACK, out_b, in_b, n // 2, n // 2, opened, door, "127.0.0.1:6000", "127.0.0.1:8888"
    )


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


def test_two_looks_are_enough_where_both_sides_move_at_the_same_moment() -> None:
    def looks(sent_ms: int) -> list[Look]:
        small = [(300, 400), (520, 150)]
        return [
            (
                [
                    outer(a + 40, b + 40, 2)._replace(recv_ms=500, sent_ms=480),
                    inner(b, a, 2)._replace(sent_ms=sent_ms, recv_ms=480),
                ],
                [],
            )
            for a, b in small
        ]

    assert play(looks(504), more=1.0) is not None
    assert play(looks(900), more=1.0) is None


def test_questions_asked_at_once_elsewhere_are_none() -> None:
    """A worker hands each task on at the same moment, in other words and of another length."""
    rng = random.Random(5)
    for _ in range(200):
        found: list[Look] = []
        for _ in range(40):
            task, answer = rng.randrange(200, 4000), rng.randrange(300, 6000)
            out = outer(task, answer, 4)._replace(recv_ms=500, sent_ms=100)
            near = inner(14 * answer, 900 + 2 * task, 4)._replace(sent_ms=500, recv_ms=104)
            found.append(([out, near], []))
        assert play(found, more=1.0) is None


def test_what_is_fetched_and_pushed_on_is_none_while_the_answers_are_not() -> None:
    rng = random.Random(7)
    looks: list[Look] = []
    for _ in range(200):
        size = rng.randrange(50_000, 3_000_000)
        out = outer(size, rng.randrange(250, 500))._replace(recv_ms=300, sent_ms=700, in_n=40, out_n=1)
        near = inner(40, size + 8)._replace(sent_ms=300, recv_ms=290, out_n=40, in_n=1)
        looks.append(([out, near], []))
    assert play(looks, more=1.0) is None


def test_looks_that_move_one_way_count_once_the_other_way_has_been_seen() -> None:
    """A shell through a tunnel: long output, now and then a command."""
    command: Look = ([outer(700, 900, 4), inner(800, 600, 4)], [])
    output: Look = ([outer(0, 8168, 8), inner(8088, 0, 2)], [])
    assert play([output] * 20) is None
    assert play([command, output, command, output, output]) is not None


def test_all_connections_to_a_far_end_together_make_a_relay() -> None:
    """A new outer connection for each user, each with a handshake."""
    relays = Relays()
    for k, (a, b) in enumerate([(3000, 9000), (1200, 4000), (7000, 2000), (400, 30_000), (9000, 800)] * 2):
        one = outer(a + 1900, b + 1000, 8)._replace(ident=100 + k, n_fresh=1, recv_ms=9, sent_ms=9)
        near = inner(b, a, 4, ident=200 + k)._replace(recv_ms=9, sent_ms=9)
        relays.look(10.0 * k, [one, near], [], {100 + k}, (one._replace(ident=-5),))
    pair = relays.best(-5)
    assert pair is not None
    assert pair.opened is True
    assert all(relays.best(100 + k) is None for k in range(10))


def test_where_it_leads_goes_before_the_joint_on_the_way() -> None:
    """A proxy accepts from ssh what ssh hands on: the two ends carry about the same."""
    relays = Relays()
    for k, (a, b) in enumerate([(3000, 9000), (1200, 4000), (7000, 2000)]):
        joint = inner(b + 80, a + 80, opened=False, ident=7, door=8080)
        relays.look(10.0 * k, [outer(a + 200, b + 200), joint, inner(b, a)], [], {OUT})
    pair = relays.best(OUT)
    assert pair is not None
    assert pair.opened is True


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


def test_thousands_that_came_and_went_are_few_and_their_bytes_all_there() -> None:
    flows = [inner(k, 2 * k, ident=k) for k in range(5000)] + [inner(7, 7, ident=9001, door=1)]
    few = merged(flows)
    assert len(few) == MOST_NOTED + 1
    for name in ("in_b", "out_b", "in_n", "out_n"):
        assert sum(getattr(f, name) for f in few) == sum(getattr(f, name) for f in flows)
    assert merged(few[-3:]) == few[-3:]


def test_who_opened_the_inner_ones_is_told_apart() -> None:
    pair = play([([outer(3100, 9100), inner(9000, 3000, opened=False)], [])] * 2)
    assert pair is not None
    assert pair.opened is False


def test_a_relay_that_goes_quiet_stays_known_and_an_unrelated_hour_makes_it_unsure() -> None:
    busy: Look = ([outer(3100, 9100), inner(9000, 3000)], [])
    assert play([busy, busy] + [([outer(0, 0, 0), inner(0, 0, 0)], [])] * 50) is not None
    assert play([busy, busy] + [([outer(90_000, 10), inner(0, 0, 0)], [])] * 50) is None


def _crowded() -> Relays:
    """Strangers' connections that came and went: each service fitted once by chance, and not again."""
    relays = Relays()
    for k in range(MOST_GROUPS):
        size = 3000 + 700 * k
        stranger = inner(size, size, ident=100 + k, door=9000 + k)
        relays.look(float(k), [outer(size + 100, size + 100)], [stranger], {OUT})
    for k in range(20):
        relays.look(20.0 + k, [outer(50_000, 50_000)], [], {OUT})
    assert len(relays.pairs) == MOST_GROUPS
    return relays


def test_strangers_that_fitted_by_chance_make_room_for_the_owners_own() -> None:
    relays = _crowded()
    for k in range(3):
        more = 1 + k % 2
        flows = [outer(3100 * more, 9100 * more), inner(9000 * more, 3000 * more)]
        relays.look(100.0 + k, flows, [], {OUT})
    pair = relays.best(OUT)
    assert pair is not None
    assert pair.n_owned == 3
    assert len(relays.pairs) == MOST_GROUPS
    assert not relays.take_truncated()


def test_one_stranger_that_takes_anothers_place_has_more_to_show() -> None:
    def looks(relays: Relays, n: int) -> Pair | None:
        for k in range(n):
            more = 1 + k % 2
            mine = inner(9000 * more, 3000 * more, ident=500 + k, door=8888)
            relays.look(100.0 + k, [outer(3100 * more, 9100 * more)], [mine], {OUT})
        return relays.best(OUT)

    assert looks(Relays(), 2) is not None
    assert looks(_crowded(), 2) is None
    assert looks(_crowded(), 6) is not None


def test_own_groups_that_fit_nothing_keep_their_places_and_their_record() -> None:
    relays = Relays()
    own = [inner(10, 10, ident=k, door=k) for k in range(10, 10 + MOST_GROUPS - 1)]
    for k in range(20):
        relays.look(float(k), [outer(50_000, 50_000), *own], [], {OUT})
    before = dict(relays.pairs)
    stranger = inner(3000, 3000, ident=900, door=9000)
    relays.look(50.0, [outer(3100, 3100), *own], [stranger], {OUT})
    assert relays.pairs == before
    assert relays.take_truncated()


def test_groups_are_bounded_and_told_to_be() -> None:
    relays = Relays()
    many = [inner(10, 10, ident=k, door=k) for k in range(10, 10 + 3 * MOST_GROUPS)]
    relays.look(0.0, [outer(5, 5), *many], [], {OUT})
    assert len(relays.pairs) == MOST_GROUPS
    assert relays.take_truncated()
    relays.forget(OUT)
    assert not relays.pairs


def test_a_pair_is_whole_once_the_far_end_leads_and_the_inner_ones_are_the_owners() -> None:
    def looks(n: int, sent_ms: int, opened: bool = True, is_later: bool = True) -> Pair | None:
        relays = Relays()
        for k in range(n):
            more = 1 + k % 2
            out = outer(3000 * more + 40, 9000 * more + 40)._replace(sent_ms=900, recv_ms=900, rtt_ms=30)
            near = inner(9000 * more, 3000 * more, opened=opened)
            near = near._replace(sent_ms=sent_ms, recv_ms=900, first_s=2.0)
            relays.look(10.0 * k, [out._replace(first_s=1.0 if is_later else 3.0), near], [], {OUT})
        return relays.best(OUT)

    for pair, whole in (
        (looks(1 + SURE_RESTS, sent_ms=902), True),
        (looks(1 + SURE_RESTS, sent_ms=1400), False),  # what the far end said last went nowhere
        (looks(1 + SURE_RESTS, sent_ms=902, opened=False), False),
        (looks(1 + SURE_RESTS, sent_ms=902, is_later=False), False),  # it had the inner one before
    ):
        assert pair is not None
        assert pair.is_whole is whole


def test_short_ones_are_the_owners_at_a_door_that_is_known_to_be_his() -> None:
    def owned(doors: set[int]) -> int:
        relays = Relays()
        for k in range(4):
            more = 1 + k % 2
            short = inner(9000 * more, 3000 * more, ident=100 + k)
            relays.look(10.0 * k, [outer(3100 * more, 9100 * more)], [short], {OUT}, (), doors)
        pair = relays.best(OUT)
        assert pair is not None
        return pair.n_owned

    assert owned(set()) == 0
    assert owned({9999}) == 0
    assert owned({8888}) == 4

"""What the outer side has had more than the inner one between two rests: framing, or words of one's own."""

import pytest

from slurm_guard.networks import CLUSTER, LOOPBACK, OUTSIDE
from slurm_guard.sampler.moved import Moved
from slurm_guard.sampler.ownwords import BULK_B, CLOSED_B, ONE_WAY, OPENED_B, SLACK_B, Totals, is_framing

# (bytes in, segments in, bytes out, segments out) of the outer side; (out, segments, in, segments) of the
# inner one; inner connections that began: as recorded between two rests of plays
Look = tuple[tuple[int, int, int, int], tuple[int, int, int, int], int]


def judged(*looks: Look, near: int = LOOPBACK, begun: int = 0) -> bool | None:
    totals = Totals()
    for (in_b, in_n, out_b, out_n), (to_b, to_n, from_b, from_n), n_fresh in looks:
        outer = Moved(1, OUTSIDE, out_b, in_b, out_n, in_n, True, n_fresh=begun)
        totals = totals.add(outer, [Moved(2, near, to_b, from_b, to_n, from_n, True, n_fresh=n_fresh)])
    return is_framing(Totals(), totals)


@pytest.mark.parametrize(
    "look",
    [
        ((5340, 4, 1380, 1), (5306, 1, 1339, 1), 0),  # ssh
        ((26916, 21, 267840, 186), (26805, 1, 267482, 6), 0),  # ssh, a long answer
        ((162732, 114, 28684, 22), (162481, 6, 28568, 2), 0),  # ssh, a long question
        ((12336, 11, 2000, 4), (12138, 1, 1846, 1), 1),  # ssh, a connection for each request
        ((57311, 42, 35629, 26), (57135, 7, 35475, 4), 0),  # TLS
        ((275389, 193, 9826, 10), (274687, 12, 9612, 2), 2),  # padded
        ((2199, 4, 2297, 9), (2000, 1, 2000, 1), 1),  # asyncssh, a connection for each request
        ((4368, 6, 4379, 6), (4308, 2, 4300, 2), 0),  # WebSockets, heads sent apart
    ],
)
def test_framing_is_known_as_such(look: Look) -> None:
    assert judged(look) is True
    assert judged(look, look, look) is True


def test_whoever_asks_nearby_twice_for_each_time_outside_is_not_known_to_hand_on() -> None:
    # a task is taken and its result stored: two questions of a queue nearby, and one outside
    master = ((2200, 2, 2300, 2), (2150, 2, 2250, 2), 0)
    tunnel = ((2200, 2, 2300, 2), (2150, 1, 2250, 1), 0)
    assert judged(master, master) is True  # too few yet
    assert judged(*[master] * 6) is None
    assert judged(*[tunnel] * 20) is True
    jumbo = ((22000, 3, 23000, 3), (21900, 2, 22900, 2), 0)
    assert judged(*[jumbo] * 20) is True


@pytest.mark.parametrize(
    "look",
    [
        ((5500, 5, 5296, 5), (5258, 1, 4970, 1), 0),  # a queue that acknowledges late
        ((8501, 6, 3298, 4), (8258, 1, 2922, 1), 0),
        # requests and a web framework at both ends: its thanks are shorter than the heads that it hands in
        ((4060, 6, 3275, 5), (4000, 2, 3000, 2), 0),
    ],
)
def test_a_request_and_its_thanks_are_words_of_ones_own(look: Look) -> None:
    assert judged(look) is False
    assert judged(look, look, look) is False


def test_they_are_also_where_the_local_service_is_on_another_node() -> None:
    """There a segment holds no more than outside."""
    look = (9563, 8, 6000, 6), (9321, 7, 5674, 4), 0
    assert judged(look, near=CLUSTER) is False


def test_less_than_was_handed_on_is_no_tunnels() -> None:
    less = CLOSED_B + 1
    assert judged(((5000, 4, 5000, 4), (5000 + less, 1, 4900, 1), 0)) is False
    assert judged(((5000, 4, 5000, 4), (5000, 1, 5000 + less, 1), 0)) is False
    assert judged(((5000, 4, 5000, 4), (5000 + CLOSED_B, 1, 5000, 1), 0)) is True


def test_bytes_that_are_not_counted_yet_say_nothing() -> None:
    assert judged(((9000, 7, 5000, 4), (5000, 1, 5000, 1), 0)) is None
    assert judged(((5000, 4, 5000, 4), (5000, 1, 9000, 1), 0)) is None


def test_more_of_one_way_alone_says_nothing() -> None:
    """Windows and keep-alives; a worker whose thanks are shorter than the heads that it hands in."""
    assert judged(((5020, 4, 5400, 4), (5000, 1, 5000, 1), 0)) is None
    assert judged(((264, 1, 1493, 4), (200, 1, 1300, 1), 0)) is None  # paramiko, recorded
    assert judged(((5400, 4, 5020, 4), (5000, 1, 5000, 1), 0)) is None
    assert judged(((4060, 4, 3275, 4), (4000, 2, 3000, 2), 0)) is None


def test_connections_that_begin_have_room_for_it() -> None:
    more = OPENED_B + SLACK_B
    look = (5000 + more, 4, 5000 + more, 4), (5000, 1, 5000, 1)
    assert judged((*look, 1)) is True
    assert judged((*look, 0)) is False
    assert judged(((5000 + more + 100, 4, 5000, 4), (5000, 1, 5000, 1), 1)) is None
    shaken = (8000, 9, 8000, 9), (5000, 1, 5000, 1), 0
    assert judged(shaken, begun=1) is True
    assert judged(shaken) is None


def test_where_next_to_nothing_goes_out_nothing_is_said() -> None:
    """A mirror: objects come in, and requests are about as long as a store's thanks; an uplink."""
    assert judged(((800_300, 560, 700, 2), (800_000, 14, 640, 2), 0)) is None
    assert judged(((800, 1, 800_700, 560), (740, 1, 800_000, 14), 0)) is None


def test_what_a_shell_says_after_a_short_command_is_told() -> None:
    assert judged(((76, 1, 4084, 3), (36, 1, 4044, 1), 0)) is True
    assert judged(((0, 0, 8168, 6), (0, 0, 8088, 2), 0)) is True
    most = max(BULK_B, 40 * ONE_WAY)
    assert judged(((76, 1, most + 40, 12), (40, 1, most, 1), 0)) is True
    assert judged(((76, 1, most + 41, 12), (40, 1, most + 1, 1), 0)) is None

"""Connections are counted by far end in bounded room, however many there are."""

import pytest

from slurm_guard.sampler.tally import MOST_PLACES, MOST_TOLD, Tally, text_of
from slurm_guard.sampler.tcpends import key_of


def _key(k: int, port: int = 22) -> bytes:
    return key_of(f"10.{k >> 16 & 255}.{k >> 8 & 255}.{k & 255}:{port}")


@pytest.mark.parametrize("place", ["203.0.113.9:443", "[2001:db8::1]:22", "[::ffff:203.0.113.9]:0"])
def test_a_far_end_is_the_same_in_few_bytes(place: str) -> None:
    assert text_of(key_of(place)) == place
    assert len(key_of(place)) == 19


def test_each_place_has_its_own_counts() -> None:
    tally = Tally()
    tally.add(_key(1), failed=False, out_b=10, in_b=100)
    tally.add(_key(1), failed=True, out_b=0, in_b=0)
    tally.add(_key(1, 80), failed=False, out_b=5, in_b=7)

    assert tally.sums() == [3, 1, 15, 107]
    assert (tally.n_addresses, tally.n_places) == (1, 2)
    assert [tuple(place) for place in tally.told()] == [
        ("10.0.0.1:22", 2, 1, 10, 100),
        ("10.0.0.1:80", 1, 0, 5, 7),
    ]


@pytest.mark.parametrize("n", [2_000, 30_000, 65_000])
def test_of_many_places_the_number_is_about_right_and_the_room_bounded(n: int) -> None:
    tally = Tally()
    for k in range(n):
        tally.add(_key(k), failed=True, out_b=0, in_b=0)

    assert len(tally.places) == MOST_PLACES
    assert len(tally.told()) <= MOST_TOLD
    assert tally.sums() == [n, n, 0, 0]
    assert abs(tally.n_addresses - n) < 0.05 * n
    assert abs(tally.n_places - n) < 0.05 * n


def test_two_tallies_added_up_are_as_one() -> None:
    one, other, whole = Tally(), Tally(), Tally()
    for k in range(4000):
        for tally in (whole, one if k < 3000 else other):
            tally.add(_key(k // 2), failed=k % 2 == 0, out_b=k, in_b=1)
    one.add_all(other)

    assert one.sums() == whole.sums()
    assert abs(one.n_addresses - whole.n_addresses) < 100


def test_the_list_has_the_busiest_and_some_of_the_others() -> None:
    tally = Tally()
    for k in range(300):
        for _ in range(50 if k < 10 else 1):
            tally.add(_key(k), failed=False, out_b=1, in_b=1)

    listed = [place.peer for place in tally.told()]

    assert set(listed[:10]) == {text_of(_key(k)) for k in range(10)}
    assert len(listed) == MOST_TOLD
    assert len(set(listed)) == MOST_TOLD

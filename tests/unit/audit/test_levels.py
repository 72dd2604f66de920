"""Lasting rises of what a step costs."""

import random

import pytest

from slurm_guard.audit.cost import Block
from slurm_guard.audit.levels import (
    Level,
    at_levels,
    counter_at,
    from_text,
    is_like,
    levels_of,
    rises,
    to_text,
)
from slurm_guard.audit.track import Arc, Track


def _blocks(*parts: tuple[float, int], sigma: float = 0.01) -> list[Block]:
    rng = random.Random(1)
    costs = [cost * (1 + sigma * rng.gauss(0, 1)) for cost, n in parts for _ in range(n)]
    return [Block(60.0 * k, 60.0 * (k + 1), c * 10, 10.0, 60_000, 60_000, 0.0) for k, c in enumerate(costs)]


TRACK = Track(
    unit="step", arcs=tuple(Arc(60.0 * k, 60.0 * (k + 1), 10.0, 10.0, 10.0 * k) for k in range(100))
)


@pytest.mark.parametrize(
    ("parts", "expect"),
    [
        ([(5.0, 20), (7.0, 30)], [20]),
        ([(5.0, 20), (5.5, 30)], [20]),
        ([(5.0, 10), (7.0, 10), (10.0, 10)], [10, 20]),
        ([(5.0, 4), (7.0, 5)], [4]),
    ],
)
def test_a_rise_that_stays_is_found_where_it_begins(
    parts: list[tuple[float, int]], expect: list[int]
) -> None:
    assert rises(_blocks(*parts)) == expect


@pytest.mark.parametrize(
    ("why", "parts"),
    [
        ("steady", [(5.0, 60)]),
        ("too small", [(5.0, 30), (5.15, 30)]),
        ("cheaper later", [(7.0, 30), (5.0, 30)]),
        ("it falls back", [(5.0, 20), (7.0, 20), (5.0, 20)]),
        ("bursts", [(5.0, 10), (7.0, 10)] * 4),
        ("too short", [(5.0, 3), (7.0, 3)]),
        ("nothing", []),
    ],
)
def test_other_courses_are_no_lasting_rise(why: str, parts: list[tuple[float, int]]) -> None:
    assert rises(_blocks(*parts)) == [], why


def test_noise_alone_is_no_rise() -> None:
    assert rises(_blocks((5.0, 100), sigma=0.08)) == []


def test_levels_stand_by_the_logs_own_counter() -> None:
    blocks = _blocks((5.0, 20), (7.0, 30))

    (level,) = levels_of(blocks, [20], TRACK)

    assert level.counter == pytest.approx(200)
    assert level.times == pytest.approx(1.4, rel=0.01)
    assert [b.stage for b in at_levels(blocks, [20])] == [0] * 20 + [1] * 30
    assert levels_of(blocks, [], TRACK) == ()
    assert counter_at(TRACK, 90.0) == pytest.approx(15)


def test_text_of_levels_reads_back() -> None:
    levels = (Level(200.0, 1.4), Level(1_234_567.0, 2.5))

    assert from_text(to_text(levels)) == levels
    assert from_text("") == ()


@pytest.mark.parametrize(
    ("mine", "theirs", "expect"),
    [
        ([(200, 1.4)], [(200, 1.4)], True),
        ([(200, 1.4)], [(215, 1.38)], True),
        ([(200, 1.4)], [(400, 1.4)], False),
        ([(200, 1.6)], [(200, 1.4)], False),
        ([(200, 1.2)], [(200, 1.4)], True),
        ([(200, 1.4), (400, 2.0)], [(200, 1.4)], False),
        ([(200, 1.4)], [(100, 1.2), (190, 1.45), (400, 2.0)], True),
        ([(200, 1.4)], [], False),
    ],
)
def test_rises_are_alike_where_each_came_by_the_same_step_and_was_as_large(
    mine: list[tuple[float, float]], theirs: list[tuple[float, float]], expect: bool
) -> None:
    assert is_like(tuple(Level(*m) for m in mine), tuple(Level(*t) for t in theirs)) is expect

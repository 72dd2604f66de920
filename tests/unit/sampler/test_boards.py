"""One GPU passed from run to run: every second goes to exactly one, and only real sharing is marked."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.sampler.boards import Board, between
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.reading import GpuProc
from slurm_guard.sampler.windows import WindowRules
from slurm_guard.sampler.writer import Instant
from slurm_guard.wire import Window
from tests.unit.sampler.readings import INFO, reading

AT0 = 1_000_000.0


class _Hand:
    """A board turned by hand, one reading a second; hold and release as the loop would hear of them."""

    def __init__(self, window_s: float = 60.0) -> None:
        self.windows: list[Window] = []
        self.board = Board(INFO, WindowRules(1.0, 3.0), window_s, self.windows.append)
        self.second = 0

    def now(self) -> Instant:
        return Instant(AT0 + self.second, float(self.second))

    def turn(self, n: int, **changes: float) -> None:
        for _ in range(n):
            self.board.add(reading(float(self.second), **changes))
            self.board.close_due()
            self.second += 1

    def of(self, run: str | None) -> list[Window]:
        return [window for window in self.windows if window.run == run]


def test_a_job_after_a_job_within_one_second_shares_nothing() -> None:
    hand = _Hand()
    hand.board.hold("a", AT0, hand.now())
    hand.turn(31)
    hand.board.release("a", AT0 + 30.4, hand.now())
    hand.board.hold("b", AT0 + 30.7, hand.now())
    hand.turn(40)
    hand.board.close_all(hand.now())

    (a,), (b,), idle = hand.of("a"), hand.of("b"), hand.of(None)
    assert (a.end_at, b.start_at) == (AT0 + 30.4, AT0 + 30.7)
    assert (a.shared, b.shared) == (False, False)
    assert (a.covered_ms, b.covered_ms) == (30_400, 39_300)
    assert [(w.covered_ms, w.energy_mj) for w in idle] == [(300, 90_000)]
    assert a.energy_mj == round(30.4 * 300_000)


def test_a_further_counter_that_begins_inside_a_runs_first_step_breaks_nothing() -> None:
    hand = _Hand()
    hand.board.add(reading(0.0)._replace(more={"SINCE_BOOT": 0}))
    hand.second = 1
    hand.board.hold("a", AT0 + 0.5, hand.now())
    for second in range(1, 31):
        hand.board.add(reading(float(second))._replace(more={"SINCE_BOOT": second, "LATER": 10 * second}))
        hand.second = second
    hand.board.close_all(hand.now())

    (window,) = hand.of("a")
    assert set(window.more or {}) == {"SINCE_BOOT"}


def test_an_end_mark_read_after_later_readings_ends_at_the_last_of_them() -> None:
    hand = _Hand()
    hand.board.hold("a", AT0, hand.now())
    hand.turn(31)
    hand.board.release("a", AT0 + 12.0, hand.now())
    hand.turn(5)

    (a,) = hand.of("a")
    assert (a.end_at, a.covered_ms) == (AT0 + 30, 30_000)


def test_a_run_that_began_and_ended_between_two_readings_has_its_part_of_the_second() -> None:
    hand = _Hand()
    hand.turn(10)
    hand.board.hold("short", AT0 + 9.25, hand.now())
    hand.board.release("short", AT0 + 9.75, hand.now())
    hand.turn(10)

    (window,) = hand.of("short")
    assert (window.covered_ms, window.energy_mj, window.n) == (500, 150_000, 0)


def test_a_run_that_ended_before_it_was_heard_of_leaves_nothing_behind() -> None:
    hand = _Hand()
    hand.turn(10)
    hand.board.hold("past", AT0 + 2, hand.now())
    hand.board.release("past", AT0 + 5, hand.now())
    hand.turn(5)

    assert hand.board.holders == []
    assert hand.of("past") == []
    assert hand.board.close_run("past") is None


def test_what_ends_in_a_stall_ends_at_the_last_reading_before_it() -> None:
    hand = _Hand()
    hand.board.hold("a", AT0, hand.now())
    hand.turn(11)
    hand.second += 100
    hand.board.release("a", AT0 + 60, hand.now())
    hand.board.hold("b", AT0 + 80, hand.now())
    hand.turn(11)
    hand.board.close_all(hand.now())

    (a,), (b,) = hand.of("a"), hand.of("b")
    assert (a.end_at, a.covered_ms) == (AT0 + 10, 10_000)
    assert (b.start_at, b.covered_ms, b.gap_ms) == (AT0 + 111, 10_000, 0)


def test_a_release_with_no_reading_after_it_is_still_written() -> None:
    hand = _Hand()
    hand.board.hold("a", AT0, hand.now())
    hand.turn(11)
    hand.board.release("a", AT0 + 10.5, hand.now())

    touch = hand.board.close_run("a")

    assert [w.covered_ms for w in hand.of("a")] == [10_000]
    assert touch is not None
    assert touch.held_s == 10.0


def test_two_holders_at_once_are_shared_and_one_after_it_is_not() -> None:
    hand = _Hand(window_s=10.0)
    hand.board.hold("a", AT0, hand.now())
    hand.turn(15)
    hand.board.hold("b", AT0 + 14.5, hand.now())
    hand.turn(10)
    hand.board.release("a", AT0 + 24.5, hand.now())
    hand.turn(20)

    assert [w.shared for w in hand.of("a")] == [False, True, True]
    assert [w.shared for w in hand.of("b")] == [True, True, False]


def test_a_share_is_not_longer_than_its_run_has_held_the_gpu() -> None:
    hand = _Hand()
    process = Process(Stat(50, "x", "S", 1, 5, 0, kernel=False), AT0, hand.now())
    hand.turn(1, util_pct=100.0)
    hand.board.share([(process, GpuProc(50, 1, 100.0))], 0, float(hand.second))
    hand.turn(8, util_pct=100.0)
    hand.board.hold("b", AT0 + 7.5, hand.now())
    hand.turn(2, util_pct=100.0)
    hand.board.share([(process, GpuProc(50, 1, 100.0))], 0, float(hand.second))
    hand.board.close_all(hand.now())

    (window,) = hand.of("b")
    assert [share.sm_ms for share in window.procs] == [2000]  # all of the time that it has a window for


def test_a_counter_that_went_back_is_not_made_up_between_two_readings() -> None:
    before, after = reading(10.0), reading(11.0, energy_mj=5)

    part = between(before, after, 10.5)

    assert (part.energy_mj, part.sm_cycles, part.util_pct) == (None, 10_500, after.util_pct)
    assert between(before, after, 10.0) is before


@given(
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 1500)), max_size=12),
    st.integers(1, 7),
)
def test_no_second_and_no_joule_is_lost_or_counted_twice(jobs: list[tuple[int, int]], window_s: int) -> None:
    """Jobs one after another, with pauses and lengths in hundredths of a second, heard of a round later."""
    hand = _Hand(window_s=float(window_s))
    changes: list[tuple[float, str, str]] = []
    at_s = 1.0
    for place, (pause, length) in enumerate(jobs):
        begin_s = at_s + pause / 100
        at_s = begin_s + length / 100
        changes += [(begin_s, "hold", f"job{place}"), (at_s, "release", f"job{place}")]
    hand.turn(1)
    while changes or hand.second < at_s + 2:
        while changes and changes[0][0] <= hand.second:
            when_s, what, run = changes.pop(0)
            getattr(hand.board, what)(run, AT0 + when_s, hand.now())
        hand.turn(1)
    hand.board.close_all(hand.now())

    spans = sorted((w.start_mono_s, w.start_at, w.end_at) for w in hand.windows)
    assert all(abs(a[2] - b[1]) < 1e-6 for a, b in pairwise(spans))
    last_s = hand.second - 1
    assert sum(w.energy_mj or 0 for w in hand.windows) == round(300_000 * last_s)
    assert sum(w.covered_ms for w in hand.windows) == pytest.approx(1000 * last_s, abs=len(hand.windows))
    assert not any(w.shared for w in hand.windows)
    assert sum(w.n for w in hand.windows) == hand.second
    for place, (_, length) in enumerate(jobs):
        of_job = sum(w.covered_ms for w in hand.of(f"job{place}"))
        assert of_job == pytest.approx(length * 10, abs=2 + len(hand.of(f"job{place}")))

"""Claims against sights."""

import time

import pytest

from slurm_guard.progress.bracket import Frame, Sight, bracket, limits, trail_of, with_birth
from slurm_guard.progress.mark import Mark
from slurm_guard.wire import Point

T0 = 1_795_000_000.0
HOUR = 3600.0
FRAME = Frame(T0, T0 + 6 * HOUR, T0 + 6 * HOUR)
LINE = 100  # bytes of a record


def sights(n: int = 360, every_s: float = 60.0, per_sight: int = LINE) -> list[Sight]:
    """A file that grows by one record between two sights."""
    return [Sight(T0 + every_s * k, per_sight * k, 7, int((T0 + every_s * k) * 1e9)) for k in range(n + 1)]


def mark(n: int, at: float | None, *, naive: bool = False) -> Mark:
    """The n-th record (1, 2, …)."""
    return Mark(0, "t:x", 0, at, naive, n, None, None, None, None, "train", LINE * n, ())


def points(marks: list[Mark], seen: list[Sight], frame: Frame = FRAME) -> list[Point]:
    size = max([LINE * len(marks), *(sight.size for sight in seen[-1:])])
    return bracket(marks, {0: trail_of(seen, size, None, frame)}, frame)[0]


def flagged(found: list[Point], flag: str) -> int:
    return sum(flag in point.flags for point in found)


def test_a_record_lies_between_the_sights_around_its_end() -> None:
    trail = trail_of(sights(), 36_000, None, FRAME)

    assert limits(trail, 250, FRAME) == (T0 + 120, T0 + 180)
    assert limits(trail, 300, FRAME) == (T0 + 120, T0 + 180)
    assert limits(trail, 301, FRAME) == (T0 + 180, T0 + 240)


def test_the_reading_itself_is_the_last_sight() -> None:
    trail = trail_of(sights(10), 5_000, None, FRAME)

    assert limits(trail, 4_000, FRAME) == (T0 + 600, T0 + 6 * HOUR)


def test_a_file_that_nobody_watched_has_no_lower_limit_and_its_change_time_as_the_upper() -> None:
    trail = trail_of([], 5_000, T0 + 900, FRAME)

    assert limits(trail, 4_000, FRAME) == (None, T0 + 900)


def test_an_honest_log_raises_no_flag() -> None:
    found = points([mark(n, T0 + 60 * n - 30) for n in range(1, 361)], sights())

    assert {flag for point in found for flag in point.flags} == set()


def test_an_honest_writer_that_flushes_every_two_hours_is_not_backdated() -> None:
    seen = [Sight(T0 + 60 * k, LINE * 120 * (k // 120), 7, int(T0 * 1e9)) for k in range(361)]

    found = points([mark(n, T0 + 60 * n) for n in range(1, 361)], seen)

    assert flagged(found, "backdated") == 0
    assert flagged(found, "future") == 0


def test_a_log_laid_ready_at_the_start_is_in_the_future_and_bulk() -> None:
    seen = [Sight(T0 + 60 * k, 0 if k < 2 else 36_000, 7, int((T0 + 60 * k) * 1e9)) for k in range(361)]

    found = points([mark(n, T0 + 60 * n) for n in range(1, 361)], seen)

    assert flagged(found, "future") >= 350
    assert flagged(found, "bulk") >= 350  # the first few claim the very minute in which all of it came


def test_a_log_that_claims_hours_it_was_not_growing_in_is_backdated() -> None:
    # It grows every minute, but each record claims to be two hours old.
    found = points([mark(n, T0 + 60 * n - 2 * HOUR) for n in range(150, 361)], sights())

    assert flagged(found, "backdated") >= 200


def test_content_from_before_the_run_is_left_out_by_the_kernels_time_alone() -> None:
    old = int((T0 - HOUR) * 1e9)
    seen = [Sight(T0 + 1, 5 * LINE, 7, old), Sight(T0 + 61, 6 * LINE, 7, int((T0 + 50) * 1e9))]

    found, dropped = bracket(
        [mark(n, None) for n in range(1, 7)], {0: trail_of(seen, 6 * LINE, None, FRAME)}, FRAME
    )

    assert [point.step for point in found] == [6]
    assert dropped == {0: 5}


def test_slurms_truncation_at_a_requeue_is_innocent_and_a_later_one_is_flagged() -> None:
    old = int((T0 - HOUR) * 1e9)
    innocent = [Sight(T0 + 1, 900, 7, old), Sight(T0 + 61, LINE, 7, int((T0 + 50) * 1e9))]
    later = [Sight(T0 + 61, 900, 7, int((T0 + 50) * 1e9)), Sight(T0 + 121, LINE, 7, int((T0 + 90) * 1e9))]

    assert points([mark(1, None)], innocent)[0].flags == []
    assert points([mark(1, None)], later)[0].flags == ["rewritten"]


def test_another_inode_under_the_same_name_is_flagged() -> None:
    seen = [Sight(T0 + 61, 50, 7, int((T0 + 50) * 1e9)), Sight(T0 + 121, LINE, 8, int((T0 + 90) * 1e9))]

    assert points([mark(1, None)], seen)[0].flags == ["inode-changed"]


@pytest.mark.parametrize("zone_s", [0, 3600, -5 * 3600, 19_800])
def test_a_clock_without_zone_is_resolved_by_what_was_seen(zone_s: int) -> None:
    found = points([mark(n, T0 + 60 * n - 30 + zone_s, naive=True) for n in range(1, 361)], sights())

    assert found[9].at == T0 + 570
    assert found[9].flags == ["naive-clock"] if zone_s == 0 else ["guessed-zone", "naive-clock"]


def test_the_nodes_own_zone_and_utc_are_no_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    try:
        for zone_s in (0, 19_800):
            found = points([mark(n, T0 + 60 * n - 30 + zone_s, naive=True) for n in range(1, 361)], sights())
            assert {tuple(point.flags) for point in found} == {("naive-clock",)}
    finally:
        monkeypatch.undo()
        time.tzset()


def test_yesterdays_local_times_are_not_talked_into_today() -> None:
    found = points([mark(n, T0 + 60 * n - 48 * HOUR, naive=True) for n in range(1, 361)], sights())

    assert flagged(found, "backdated") + (360 - len(found)) == 360


def test_a_run_of_a_minute_is_not_flagged_for_tensorboards_flush_at_its_end() -> None:
    frame = Frame(T0, T0 + 61, T0 + 60)
    seen = [Sight(T0 + k, 0 if k < 60 else 6_000, 7, int((T0 + k) * 1e9)) for k in range(61)]

    found = points([mark(n, T0 + n) for n in range(1, 61)], seen, frame)

    assert flagged(found, "backdated") + flagged(found, "future") == 0


def test_a_burst_on_both_sides_of_a_sight_is_bulk_as_one_on_one_side_is() -> None:
    sizes = [0] * 300 + [18_000, 36_000] + [36_000] * 59
    seen = [Sight(T0 + 60 * k, size, 7, int((T0 + 60 * k) * 1e9)) for k, size in enumerate(sizes)]

    found = points([mark(n, T0 + 50 * n) for n in range(1, 361)], seen)

    assert flagged(found, "bulk") >= 350


def test_one_full_buffer_at_the_end_is_no_bulk() -> None:
    seen = [Sight(T0 + 60 * k, 0 if k < 359 else 8_000, 7, int((T0 + 60 * k) * 1e9)) for k in range(361)]

    found = points([mark(n, T0 + 250 * n) for n in range(1, 81)], seen)

    assert flagged(found, "bulk") == 0


def test_a_short_training_that_says_when_it_was_is_no_bulk() -> None:
    """A run of six hours that trains for one minute of them."""
    seen = [Sight(T0 + 60 * k, 0 if k < 100 else 36_000, 7, int((T0 + 60 * k) * 1e9)) for k in range(361)]

    found = points([mark(n, T0 + 99 * 60 + n / 6) for n in range(1, 361)], seen)

    assert flagged(found, "bulk") == 0


def test_a_clock_without_zone_is_not_moved_because_a_buffer_was_late() -> None:
    seen = [Sight(T0 + 60 * k, 12_000 * (k // 120), 7, int((T0 + 60 * k) * 1e9)) for k in range(361)]

    found = points([mark(n, T0 + 60 * n - 1, naive=True) for n in range(1, 361)], seen)

    assert [point.at for point in found] == [T0 + 60 * n - 1 for n in range(1, 361)]


def test_a_file_made_during_the_run_was_empty_then() -> None:
    born = T0 + 5 * HOUR
    trail = trail_of(with_birth([], born, 7, FRAME), 36_000, T0 + 6 * HOUR, FRAME)

    found, _ = bracket([mark(n, T0 + 60 * n) for n in range(1, 361)], {0: trail}, FRAME)

    assert {point.obs_lo_at for point in found} == {born - 2}


@pytest.mark.parametrize("born", [None, T0 - HOUR, T0 + 2 * HOUR])
def test_a_birth_before_the_run_or_after_the_first_sight_says_nothing(born: float | None) -> None:
    seen = [Sight(T0 + HOUR, 50, 7, int((T0 + HOUR) * 1e9))]

    assert with_birth(seen, born, 7, FRAME) == seen


def test_a_burst_whose_halves_are_smaller_than_a_buffer_is_bulk_as_a_whole() -> None:
    sizes = [0] * 300 + [6_000, 12_000] + [12_000] * 59
    seen = [Sight(T0 + 60 * k, size, 7, int((T0 + 60 * k) * 1e9)) for k, size in enumerate(sizes)]

    found = points([mark(n, T0 + 150 * n) for n in range(1, 121)], seen)

    assert flagged(found, "bulk") >= 110


@pytest.mark.parametrize("unit", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("every_s", [60.0, 7200.0])
def test_a_clock_of_a_finer_unit_backdates_nothing(unit: float, every_s: float) -> None:
    """An uptime in ns that was read as a date in ms runs a million times too fast: it is no date."""
    seen = (
        sights(360)
        if every_s == 60.0
        else [Sight(T0 + every_s * k, 12_000 * k, 7, None) for k in (0, 1, 2, 3)]
    )

    found = points([mark(n, 1_580_000_000 + 60 * n * unit) for n in range(1, 361)], seen)

    assert [point.step for point in found] == list(range(1, 361))
    assert {flag for point in found for flag in point.flags} == set()
    assert {point.at for point in found} == {None}


@pytest.mark.parametrize("days", [1, 30, 900])
def test_a_log_of_old_days_that_is_played_again_is_backdated_still(days: int) -> None:
    """Its clock goes as wall time does, from another day; or came to disk at once, however long it claims."""
    paced = points([mark(n, T0 - 86_400 * days + 60 * n) for n in range(1, 361)], sights())
    pasted = points(
        [mark(n, T0 - 86_400 * days + 60 * n) for n in range(1, 361)],
        [*sights(60, per_sight=0), Sight(T0 + 3660, 36_000, 7, None), Sight(T0 + 6 * HOUR, 36_000, 7, None)],
    )

    assert flagged(paced, "backdated") == 360
    assert flagged(pasted, "backdated") == 360

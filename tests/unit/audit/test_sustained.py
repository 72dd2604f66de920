"""Claims beyond what is possible have to last; slips of single records, jumps and lumps do not."""

from slurm_guard.audit.sustained import faster_than
from slurm_guard.audit.track import Arc

WINDOW = (0.0, 1e9)


def arcs(*rates: float, length_s: float = 30.0, blur_s: float = 0.0) -> list[Arc]:
    """One increment after the other, each of so many tokens a second."""
    return [
        Arc(k * length_s, (k + 1) * length_s, rate * length_s, None, blur_s=blur_s)
        for k, rate in enumerate(rates)
    ]


def test_what_lasts_beyond_the_limit_is_told_with_its_own_pace() -> None:
    pace = faster_than(arcs(*[100.0] * 80, *[30.0] * 40), WINDOW, 50.0)

    assert pace is not None
    assert (pace.tokens_s, pace.seconds) == (100.0, 2400.0)


def test_within_the_limit_nothing_is_told() -> None:
    assert faster_than(arcs(*[50.0] * 200), WINDOW, 50.0) is None


def test_no_log_is_told_nothing() -> None:
    assert faster_than([], WINDOW, 50.0) is None


def test_a_counter_that_jumps_is_no_pace() -> None:
    claimed = arcs(*[30.0] * 50, 1e9, *[30.0] * 50)

    assert faster_than(claimed, WINDOW, 50.0) is None


def test_a_jump_over_hours_of_silence_is_one_stretch() -> None:
    before = arcs(*[30.0] * 10)
    jump = Arc(300.0, 40_000.0, 1e12, None)

    assert faster_than([*before, jump], WINDOW, 50.0) is None


def test_less_than_ten_minutes_are_not_enough() -> None:
    assert faster_than(arcs(*[100.0] * 18), WINDOW, 50.0) is None


def test_less_than_a_fifth_of_the_log_is_not_enough() -> None:
    assert faster_than(arcs(*[100.0] * 40, *[30.0] * 400), WINDOW, 50.0) is None
    assert faster_than(arcs(*[100.0] * 120, *[30.0] * 400), WINDOW, 50.0) is not None


def test_what_was_logged_outside_the_window_is_not_asked() -> None:
    claimed = arcs(*[100.0] * 100, *[30.0] * 100)

    assert faster_than(claimed, (3000.0, 1e9), 50.0) is None


def test_records_whose_times_are_not_known_are_taken_together() -> None:
    """Lumps: nine records in a moment, then a long one; over both the pace is possible."""
    claimed: list[Arc] = []
    for k in range(20):
        begin = 600.0 * k
        claimed += [Arc(begin, begin + 70.0, 70.0 * 200, None, blur_s=600.0)]
        claimed += [Arc(begin + 70.0, begin + 600.0, 530.0 * 10, None, blur_s=600.0)]

    assert faster_than(claimed, WINDOW, 50.0) is None

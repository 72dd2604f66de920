"""Who leads, by when data last went and came on both sides."""

import itertools

import pytest

from slurm_guard.networks import LOOPBACK, OUTSIDE
from slurm_guard.sampler.initiative import (
    AT_ONCE_MS,
    KEEP_ALIVE_B,
    LONG_REST_MS,
    MAJORITY,
    PING_B,
    REST_MS,
    SURE_RESTS,
    Rests,
    is_led,
)
from slurm_guard.sampler.moved import Moved
from slurm_guard.sampler.ownwords import Side, Totals

REST = REST_MS + 200
NOTHING = Totals()


def after(k: int, *, more_in: int = 40, more_out: int = 40) -> Totals:
    """`k` questions of 3,000 bytes from outside and their answers of 5,000: so many more outside."""
    outer = Side(k * (3000 + more_in), k * (5000 + more_out), 3 * k, 4 * k, 0.9 * k, 0.5 * k)
    return Totals(outer, Side(5000 * k, 3000 * k, k, k, k, k))


def outer(sent_ms: int, recv_ms: int, *, more: int = 40, rtt_ms: int | None = 20) -> Moved:
    """`more`: bytes that only this side had, each way."""
    ends = (True, 443, "10.0.0.5:5000", "203.0.113.1:443", sent_ms, recv_ms, 0, rtt_ms)
    return Moved(1, OUTSIDE, 5000 + more, 3000 + more, 4, 3, *ends)


def inner(sent_ms: int | None, recv_ms: int | None) -> Moved:
    ends = (True, 8000, "127.0.0.1:6000", "127.0.0.1:8000", sent_ms, recv_ms)
    return Moved(2, LOOPBACK, 3000, 5000, 3, 4, *ends)


def test_a_question_from_outside_and_its_answer_with_rest_after_them_is_led() -> None:
    assert is_led(outer(REST, REST), [inner(REST, REST)]) is True
    assert is_led(outer(REST, REST + 800), [inner(REST + 799, REST + 2)]) is True


def _early() -> Rests:
    rests = Rests()
    for k in range(SURE_RESTS):
        rests.begin()
        rests.look(outer(REST_MS - 1, REST_MS - 1), [inner(REST_MS - 1, REST_MS - 1)], after(k))
    return rests


def test_before_there_is_rest_nothing_is_said_for_it() -> None:
    assert _early().n_led == 0


def test_a_ping_alone_after_the_answer_shows_that_there_was_rest() -> None:
    def pinged(in_b: int, out_b: int) -> int:
        rests = _early()
        for _ in range(2):
            rests.ping(outer(20, 40)._replace(in_b=in_b, out_b=out_b), [inner(900, 900)])
        return rests.n_led

    assert pinged(6, 10) == 1
    assert pinged(PING_B + 1, 0) == 0
    rests = Rests()
    rests.ping(outer(20, 40)._replace(in_b=6, out_b=10), [inner(900, 900)])
    assert rests.n_led == 0


@pytest.mark.parametrize("out_b", [PING_B + 1, 64, KEEP_ALIVE_B, KEEP_ALIVE_B + 1])
def test_a_keep_alive_alone_says_nothing(out_b: int) -> None:
    rests = Rests()
    for _ in range(2):
        rests.begin()
        rests.ping(
            outer(300, 2300)._replace(in_b=0, out_b=out_b), [inner(2300, 2300)._replace(in_b=0, out_b=0)]
        )
    assert (rests.n_led, rests.n_asked) == (0, int(out_b > KEEP_ALIVE_B))


def test_an_acknowledgement_alone_speaks_against_it() -> None:
    rests = Rests()
    for _ in range(2):
        rests.begin()
        rests.ping(outer(600, 400)._replace(in_b=180, out_b=0), [inner(900, 601)._replace(in_b=0, out_b=0)])
    assert (rests.n_led, rests.n_asked) == (0, 1)


def test_what_the_far_end_acknowledges_was_asked_for_here() -> None:
    """A worker at rest: asked outside, asked nearby, answered outside, acknowledged there."""
    assert is_led(outer(REST + 30, REST, more=250), [inner(REST + 400, REST + 31)]) is False


def test_a_question_of_ones_own_is_no_tunnels_even_before_its_answer() -> None:
    """The next prompt is asked for and handed in; its answer is not there yet."""
    assert is_led(outer(250, 200, more=300), [inner(198, 900)]) is False


def test_what_the_inner_side_said_last_and_nobody_was_told_is_no_tunnels() -> None:
    """A mirror: got outside, put nearby, and the store's thanks go nowhere."""
    assert is_led(outer(REST + 600, REST + 200), [inner(REST + 199, REST)]) is False


def test_a_ping_after_the_answer_says_nothing() -> None:
    assert is_led(outer(REST, REST - 20, more=30), [inner(REST + 600, REST + 600)]) is None


def test_what_is_within_the_clocks_steps_has_no_order() -> None:
    """Next door, and answered at once: a worker's acknowledgement would fall into the same step."""
    assert is_led(outer(REST, REST, rtt_ms=1), [inner(REST, REST)]) is None
    assert is_led(outer(REST, REST, rtt_ms=None), [inner(REST, REST)]) is None
    assert is_led(outer(REST, REST + 40, rtt_ms=1), [inner(REST + 40, REST)]) is True


def test_a_long_answer_takes_round_trips_to_leave() -> None:
    long = outer(REST, REST + 120)._replace(out_b=60_000)
    answered = inner(REST + 120, REST + 118)._replace(in_b=59_000)
    assert is_led(long, [answered]) is True
    assert is_led(long._replace(out_b=5300), [answered._replace(in_b=5000)]) is False


def test_how_a_connection_begins_speaks_against_nobody() -> None:
    late = [inner(REST + 400, REST + 400)]
    assert is_led(outer(REST, REST, more=900), late) is False
    rests = Rests()
    for n_asked in range(3):
        rests.begin()
        rests.look(outer(REST, REST, more=900), late, NOTHING)
        assert rests.n_asked == n_asked


def test_windows_that_are_opened_for_a_long_answer_are_no_answers() -> None:
    def led(out_b: int) -> bool | None:
        out = outer(REST + 30, REST, more=160)._replace(out_b=out_b)
        return is_led(out, [inner(REST + 100, REST + 31)._replace(in_b=out_b)])

    assert led(5000) is False
    assert led(180_000) is None


def test_a_connection_that_ended_hides_the_order_from_nobody_who_is_led() -> None:
    ended = inner(None, None)._replace(ident=3)
    assert is_led(outer(REST, REST), [inner(REST, REST), ended]) is True
    assert is_led(outer(REST + 30, REST, more=250), [inner(REST + 400, REST + 31), ended]) is None
    assert is_led(outer(REST, REST), [ended]) is None


LED = (outer(REST, REST), [inner(REST, REST)])
ASKED = (outer(REST + 30, REST, more=250), [inner(REST + 400, REST + 31)])


def _play(looks: list[tuple[Moved, list[Moved]]], **more: int) -> Rests:
    rests = Rests()
    for k, (out, near) in enumerate(looks):
        rests.begin()
        rests.look(out, near, after(k, **more))
    return rests


def test_a_few_rests_after_the_first_are_enough_and_fewer_are_not() -> None:
    assert not _play([LED] * SURE_RESTS).is_led
    assert _play([LED] * (1 + SURE_RESTS)).is_led


def test_a_long_rest_counts_twice() -> None:
    long = (outer(LONG_REST_MS, LONG_REST_MS), [inner(LONG_REST_MS, LONG_REST_MS)])
    n = -(-SURE_RESTS // 2)
    assert not _play([long] * n).is_led
    assert _play([long] * (1 + n)).is_led


@pytest.mark.parametrize("n_asked", range(1, 4))
def test_a_far_end_that_answered_now_and_then_needs_a_majority(n_asked: int) -> None:
    few, enough = MAJORITY * n_asked - 1, MAJORITY * n_asked
    asked = [ASKED] * n_asked
    for order in itertools.permutations([LED, LED, LED, ASKED]):
        assert not _play([LED, *asked, *order]).is_led
    assert not _play([LED, *asked] + [LED] * few).is_led
    assert _play([LED, *asked] + [LED] * enough).is_led


def test_what_was_said_once_stays_said() -> None:
    assert _play([LED] * (1 + SURE_RESTS) + [ASKED] * 50).is_led


def test_a_rest_says_one_thing_and_a_long_one_says_it_again() -> None:
    rests = _play([LED])
    rests.begin()
    for more in (0, 1000, 2000, 3000):
        rests.look(outer(REST + more, REST + more), [inner(REST + more, REST + more)], NOTHING)
    assert rests.n_led == 1
    for more in (6000, 60_000):
        rests.look(outer(more, more), [inner(more, more)], NOTHING)
    assert rests.n_led == 3


def test_a_rest_that_nobody_handed_on_before_says_nothing_for_it() -> None:
    rests = _play([LED])
    rests.look(*LED, NOTHING)
    rests.miss(*LED)
    rests.look(*LED, NOTHING)
    assert (rests.n_led, rests.n_asked) == (0, 0)
    rests.miss(*ASKED)
    assert (rests.n_led, rests.n_asked) == (0, 1)


def test_framing_only_adds() -> None:
    """An uplink's thanks are now longer, now shorter than the next question nearby."""
    n = 1 + SURE_RESTS
    assert _play([LED] * n, more_in=60).is_led
    assert not _play([LED] * n, more_in=-90).is_led
    assert not _play([LED] * n, more_out=-90).is_led


def test_a_rest_before_which_this_end_spoke_for_itself_speaks_against_it() -> None:
    """The far end takes its time to acknowledge: each look falls into what looks like a tunnel at rest."""
    rests = _play([LED] * 50, more_in=240, more_out=320)
    assert (rests.n_led, rests.n_asked) == (0, 49)


def test_a_rest_that_spoke_against_it_says_nothing_for_it_later() -> None:
    rests = _play([LED] * 2, more_in=240, more_out=320)
    rests.look(outer(6000, 6000), [inner(6000, 6000)], after(1, more_in=240, more_out=320))
    assert (rests.n_led, rests.n_asked) == (0, 1)


def test_a_rest_before_which_bytes_are_missing_says_nothing() -> None:
    """A connection that came and went is told late: next time its bytes are there, and fit."""
    rests, told, totals = Rests(), [], NOTHING
    for k in range(4):
        totals = after(k)
        if k == 2:
            totals = totals._replace(inner=after(1).inner)
        rests.begin()
        rests.look(*LED, totals)
        told.append((rests.n_led, rests.n_asked))
    assert told == [(0, 0), (1, 0), (1, 0), (1, 0)]
    rests.begin()
    rests.look(*LED, after(4))
    assert (rests.n_led, rests.n_asked) == (2, 0)


def test_an_answer_is_at_once_up_to_the_limit() -> None:
    assert is_led(outer(REST, REST + AT_ONCE_MS), [inner(REST + AT_ONCE_MS, REST + AT_ONCE_MS)]) is True

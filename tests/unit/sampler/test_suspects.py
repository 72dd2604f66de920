"""Who is looked at in rounds: never too many, never for ever."""

from slurm_guard.sampler.suspects import AGAIN_S, IDLE_S, LONGEST_S, MOST, State, Suspects


def _noted(keys: range, run: str = "r", n: int = 1, mono_s: float = 0.0) -> Suspects:
    suspects = Suspects()
    for pid in keys:
        suspects.note((pid, 1), run, State(n, is_own=True), mono_s)
    return suspects


def test_each_run_has_its_share() -> None:
    suspects = _noted(range(100))
    suspects.note((500, 1), "other", State(1, is_own=True), 0.0)
    suspects.choose(0.0, {(pid, 1) for pid in (*range(100), 500)})
    assert len(suspects.chosen) == MOST
    assert (500, 1) in suspects.chosen


def test_those_whose_inner_connections_are_known_come_first_and_who_is_there_stays() -> None:
    suspects = Suspects()
    for pid in range(2 * MOST):
        suspects.note((pid, 1), "r", State(1, is_own=pid >= MOST), 0.0)
    alive = {(pid, 1) for pid in range(3 * MOST)}
    suspects.choose(0.0, alive)
    first = set(suspects.chosen)
    assert first == {(pid, 1) for pid in range(MOST, 2 * MOST)}
    for pid in range(2 * MOST, 3 * MOST):
        suspects.note((pid, 1), "r", State(1, is_own=True), 9.0)
    suspects.choose(10.0, alive)
    assert set(suspects.chosen) == first


def test_what_is_decided_or_gone_is_let_go() -> None:
    suspects = _noted(range(3))
    alive = {(pid, 1) for pid in range(3)}
    suspects.choose(0.0, alive)
    suspects.note((0, 1), "r", State(0, is_own=True), 1.0)
    assert (0, 1) not in suspects.chosen
    suspects.choose(10.0, alive - {(1, 1)})
    assert suspects.chosen == [(2, 1)]


def test_silence_ends_it_until_bytes_are_handed_on_again() -> None:
    suspects, alive = _noted(range(1)), {(0, 1)}
    suspects.choose(0.0, alive)
    suspects.note((0, 1), "r", State(1, is_own=True), IDLE_S)
    assert suspects.chosen == [(0, 1)]
    suspects.note((0, 1), "r", State(1, is_own=True), IDLE_S + 1)
    assert suspects.chosen == []
    suspects.choose(IDLE_S + 2, alive)
    assert suspects.chosen == []
    suspects.note((0, 1), "r", State(2, is_own=True), IDLE_S + 10)
    suspects.choose(IDLE_S + 10, alive)
    assert suspects.chosen == [(0, 1)]


def test_who_is_not_decided_for_long_is_left_to_the_looks_for_longer() -> None:
    suspects, alive = Suspects(), {(0, 1)}
    n_chosen = 0
    seconds = int(LONGEST_S + AGAIN_S)
    for k in range(0, seconds, 10):
        suspects.note((0, 1), "r", State(1 + k, is_own=True), float(k))
        suspects.choose(float(k), alive)
        n_chosen += bool(suspects.chosen)
    assert n_chosen == LONGEST_S / 10 + 1
    suspects.note((0, 1), "r", State(seconds + 50, is_own=True), seconds + 20.0)
    suspects.choose(seconds + 20.0, alive)
    assert suspects.chosen == [(0, 1)]


def test_who_waited_is_looked_at_at_once_and_let_go_where_nothing_comes_of_it() -> None:
    suspects, key = Suspects(), (1, 1)
    assert suspects.take_up(key, "r", 5.0)
    assert suspects.chosen == [key]
    assert not suspects.take_up(key, "r", 6.0)
    suspects.note(key, "r", State(0, is_own=False), 6.0)
    suspects.choose(10.0, {key})
    assert suspects.chosen == [key]
    suspects.note(key, "r", State(0, is_own=False), 5.0 + IDLE_S + 1)
    assert suspects.chosen == []
    suspects.choose(5.0 + IDLE_S + 2, {key})
    assert suspects.chosen == []


def test_who_waited_and_hands_on_is_a_suspect_like_any_other() -> None:
    suspects, key = Suspects(), (1, 1)
    suspects.take_up(key, "r", 5.0)
    suspects.note(key, "r", State(1, is_own=True), 6.0)
    suspects.note(key, "r", State(0, is_own=True), 7.0)
    assert suspects.chosen == []


def test_who_is_decided_at_once_is_let_go() -> None:
    suspects, key = Suspects(), (1, 1)
    suspects.take_up(key, "r", 5.0)
    suspects.note(key, "r", State(0, is_own=True), 6.0)
    assert suspects.chosen == []


def test_there_is_no_more_room_for_who_waited_than_for_others() -> None:
    suspects = Suspects()
    assert sum(suspects.take_up((pid, 1), "r", 5.0) for pid in range(2 * MOST)) == MOST
    suspects.note((500, 1), "other", State(1, is_own=True), 6.0)
    suspects.choose(10.0, {(pid, 1) for pid in (*range(2 * MOST), 500)})
    assert (500, 1) in suspects.chosen

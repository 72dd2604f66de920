"""Pauses that log and GPU share, and what outweighs them."""

from dataclasses import fields

from slurm_guard.audit.agree import Agreement, shares_pauses
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.spans import Kind


def _pauses(pattern: str) -> bool | None:
    """One GPU and slots of a minute: `t` it trains, `p` log and GPU pause, `b` the log alone does."""
    own = [0.0 if mark == "p" else 54_000.0 for mark in pattern]
    kinds = [{Kind.TRAIN if mark == "t" else Kind.PAUSE: 1.0} for mark in pattern]
    lists = {field.name: own for field in fields(Slots)}
    slots = Slots(**{**lists, "from_at": 0.0, "width_s": 60.0})  # type: ignore[arg-type]
    return shares_pauses(slots, kinds, 1)


def test_one_long_pause_is_one_however_many_slots_it_covers() -> None:
    """What suspends a job stops both: a forger that slept once was believed over this."""
    assert _pauses("ttttt" + "pppppp" + "ttttt") is None
    assert _pauses("tttpptttpptt") is None


def test_three_pauses_of_both_agree_unless_the_gpu_works_through_most() -> None:
    assert _pauses("tttptttptttptt") is True
    assert _pauses("tttptbtbtbtptbtptt") is None
    assert _pauses("ppp") is None


def test_a_rhythm_that_denies_is_not_outvoted() -> None:
    assert Agreement(None, True, None).agreed
    assert Agreement(None, None, True).agreed
    assert not Agreement(False, True, True).agreed

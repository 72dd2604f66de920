"""What losses are known by: digits, hashes, and which stretches say too little."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from slurm_guard.audit.traces import GRAM, LEAST, Heard, all_grams, grams, hear, lay, plan, prints_of, tokens
from slurm_guard.audit.track import Mark
from tests.builders import AT, World, run_of

_MASK = (1 << 64) - 1
_MIX, _STEP = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95


def curve(n: int, seed: int, noise: float = 0.02) -> list[float]:
    """The losses of a training whose seed is this one."""
    rng = random.Random(seed)
    return [2 / (1 + k / 100) + 0.5 + noise * rng.gauss(0, 1) for k in range(n)]


def words(losses: list[float]) -> list[str]:
    """The trace of one log."""
    return prints_of(lay([Heard(0, "log", tuple(losses), ())]))[0].split()


def _mix(value: int) -> int:
    for _ in range(2):
        value = value * _MIX & _MASK
        value ^= value >> 32
    return value


def _token(loss: float) -> int:
    """Naive: by the digits that Python prints."""
    digits, power = f"{abs(loss):.3e}".split("e") if loss else ("0.000", "0")
    signed = round(float(digits) * 1000) * (-1 if loss < 0 else 1)
    return _mix((int(power) + 1000) * 40_000 + signed + 20_000)


def _hash(tokens: list[int]) -> int:
    value = 0
    for token in tokens:
        value = (value * _STEP + token) & _MASK
    return _mix(value)


def test_tokens_and_grams_agree_with_plain_arithmetic() -> None:
    rng = random.Random(3)
    losses = [rng.choice((-1, 1)) * 10 ** rng.uniform(-9, 9) for _ in range(400)]
    losses += [0.0, 1.0, -1.0, 1000.0, 9.9996, 0.00099996, 999.96, 1e-5, 2.5e7]

    token = tokens(pl.Series(losses))

    assert token.to_list() == [_token(loss) for loss in losses]
    assert grams(token).to_list()[: 1 - GRAM] == [
        _hash(token.to_list()[k : k + GRAM]) for k in range(len(losses) - GRAM + 1)
    ]


@pytest.mark.parametrize("n", [LEAST, 65, 100, 1000, 30_000])
def test_a_trace_is_at_most_64_words_of_the_grams_at_its_places(n: int) -> None:
    losses = curve(n, 1)
    token = [_token(loss) for loss in losses]
    expected = [f"{_hash([token[at + s * k] for k in range(GRAM)]):016x}" for s, at in plan(n)]

    found = words(losses)

    assert len(plan(n)) == len(found) <= 64
    assert all(word in (one, "-") for word, one in zip(found, expected, strict=True))
    assert sum(word != "-" for word in found) > 0.8 * len(found)


@pytest.mark.parametrize("n", [LEAST, 100, 997, 2000, 30_000])
def test_prints_of_every_second_record_lie_in_both_parities_and_within_the_log(n: int) -> None:
    places = plan(n)
    parities = [place % 2 for stride, place in places if stride == 2]

    assert all(place >= 0 and place + stride * (GRAM - 1) < n for stride, place in places)
    assert abs(parities.count(0) - parities.count(1)) <= 1


@pytest.mark.parametrize("form", [".6g", ".5g", ".4e", ".17g"])
def test_the_same_losses_with_other_digits_have_most_tokens_in_common(form: str) -> None:
    losses = curve(2000, 4)
    again = [float(format(loss, form)) for loss in losses]
    same = (tokens(pl.Series(losses)) == tokens(pl.Series(again))).sum()

    assert same >= 0.93 * len(losses)


_SAY_NOTHING: dict[str, Callable[[int], float]] = {
    "constant": lambda k: 0.693147,
    "zero": lambda k: 0.0,
    "a formula": lambda k: 1.0 / (1 + k),
    "a smooth curve": lambda k: 2.0 + 3.0 * math.exp(-k / 300),
    "a straight line": lambda k: 5.0 - 1e-3 * k,
    "two values": lambda k: 0.5 if k % 2 else 0.1,
    "a cycle of eight": lambda k: (0.31, 0.77, 0.52, 0.12, 0.98, 0.45, 0.66, 0.23)[k % 8],
    "a running mean": lambda k: round(1.5 + 0.3 * math.sin(k / 50), 4),
}


@pytest.mark.parametrize("name", _SAY_NOTHING)
def test_losses_that_others_may_have_by_themselves_leave_no_trace(name: str) -> None:
    found = words([_SAY_NOTHING[name](k) for k in range(2000)])

    # The first few values of a formula bend more than their last digits.
    assert sum(word != "-" for word in found) == 0


def test_two_digits_of_a_flat_curve_leave_no_trace() -> None:
    rng = random.Random(5)

    assert words([round(0.69 + 0.01 * rng.gauss(0, 1), 2) for _ in range(2000)]) == []


def test_trainings_with_other_seeds_have_no_gram_in_common() -> None:
    logs = [Heard(k, "log", tuple(curve(2000, k)), ()) for k in range(40)]
    rows = pl.concat(all_grams(lay(logs)))

    assert rows.height == 40 * (2000 - GRAM + 1)
    assert rows["h"].n_unique() == rows.height


# --- Which records came during the run


def _mark(k: int, loss: float | None, **parts: Any) -> Mark:
    at, look = AT + 10.0 * k, AT + 60.0 * (k // 6)
    return replace(Mark(at, at, True, k, None, None, loss, "train", 0, (), None, look), **parts)


def _heard(marks: list[Mark], *more: tuple[str, list[Mark]]) -> list[Heard]:
    return hear({0: [("a", marks), *more]}, [run_of(World())], 120.0)


def test_only_losses_of_the_training_count() -> None:
    marks = [_mark(k, loss) for k, loss in enumerate(curve(100, 1))]
    others = [_mark(7, None), _mark(8, 0.3, phase="eval"), _mark(9, math.inf), _mark(9, 1e300)]

    (found,) = _heard([*marks[:50], *others, *marks[50:]])

    assert found.losses == tuple(curve(100, 1))


def test_records_that_stood_there_before_the_run_are_left_out() -> None:
    """Nobody saw the file without them, and their own clock says a day before."""
    old = [_mark(k, x, low_at=None, claimed_at=AT - 86_400) for k, x in enumerate(curve(500, 1))]
    new = [_mark(k, x) for k, x in enumerate(curve(70, 2))]

    (found,) = _heard([*old, *new])

    assert found.losses == tuple(curve(70, 2))


def test_records_without_a_clock_that_nobody_saw_come_are_left_out() -> None:
    assert _heard([_mark(k, x, low_at=None, claimed_at=None) for k, x in enumerate(curve(500, 1))]) == []


@pytest.mark.parametrize("flags", [(), ("bulk",)])
def test_what_was_put_there_at_once_is_left_out(flags: tuple[str, ...]) -> None:
    """A log folder that is copied to go on from: all in one look, where six come in the others."""
    old = [_mark(0, x, flags=flags) for x in curve(500, 1)]
    new = [_mark(k, x) for k, x in enumerate(curve(300, 2), start=6)]

    (found,) = _heard([*old, *new])

    assert found.losses == tuple(curve(300, 2))


def test_a_short_log_has_none_and_two_readings_of_one_are_one() -> None:
    short, whole = ([_mark(k, x) for k, x in enumerate(curve(n, 1))] for n in (LEAST - 1, LEAST))

    assert _heard(short) == []
    assert [one.log for one in _heard(whole, ("b", whole), ("c", short))] == ["a"]

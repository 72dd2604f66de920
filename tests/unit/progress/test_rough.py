"""Counters whose print changes as they grow."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from slurm_guard.progress.protocol import UNREAD, Found
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.rough import bounds_of
from slurm_guard.progress.track import build
from tests.unit.progress.logs import steps

FORMS = [
    "step: {} loss: 0.5",
    "step {} loss 0.5",
    "iter {}: loss 0.5",
    "[step={}] loss: 0.5",
    "| step | {} |",
]


def short(n: int) -> str:
    return f"{n / 1000:.1f}k" if n >= 1000 else str(n)


def grouped(between: str) -> Callable[[int], str]:
    return lambda n: f"{n:,}".replace(",", between)


def read(text: str) -> Found:
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    return reader.finish()


def lines(form: str, said: Callable[[int], str], values: Iterable[int]) -> str:
    return "".join(form.format(said(n)) + "\n" for n in values)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("between", [" ", "'", "’", "\u202f", "\xa0", "."])
def test_groups_of_digits_are_read_where_the_series_leads_there(form: str, between: str) -> None:
    assert steps(lines(form, grouped(between), range(0, 12_000, 100))) == list(range(0, 12_000, 100))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", [".3g", ".2g", "<8.3g", ".4g", "k"])
@pytest.mark.parametrize(("begin", "every"), [(0, 10), (0, 7), (3, 100), (20_000, 10)])
def test_a_coarse_print_claims_no_more_than_is_sure(form: str, spec: str, begin: int, every: int) -> None:
    said = short if spec == "k" else f"{{:{spec}}}".format
    true = range(begin, begin + 40_000, every)
    found = read(lines(form, said, true))
    claims = found.series[0].claims
    ends = {}
    end = 0
    for n in true:
        end += len(form.format(said(n)).encode()) + 1
        ends[end] = n

    assert all((claim.step or 0) <= ends[claim.offset] for claim in claims)
    marks = [mark for mark in build("t", [(0, claim) for claim in claims], [], ()) if mark.step is not None]
    assert {mark.segment for mark in marks} == {0}
    gross = sum(max(0, (b.step or 0) - (a.step or 0)) for a, b in pairwise(marks))
    assert 0.9 * (true[-1] - true[0]) <= gross <= true[-1] - true[0]
    assert not found.problems


def test_of_six_digits_as_g_prints_them_half_a_unit_is_left_out_at_most() -> None:
    true = range(900_000, 3_000_000, 1000)

    assert steps(lines("step: {}", "{:g}".format, true)) == [n if n <= 1_000_000 else n - 5 for n in true]


def test_a_print_that_stands_still_is_no_restart_and_no_end() -> None:
    found = read(lines("step: {} loss: 0.5", "{:.1g}".format, range(0, 9_400, 10)))

    assert [mark.segment for mark in build("t", [(0, c) for c in found.series[0].claims], [], ())][-1] == 0
    assert [(mark.phase, mark.offset) for mark in found.phases] == [(UNREAD, found.read_b)]


def test_a_resume_in_coarse_numbers_is_one() -> None:
    text = lines("step: {}", "{:.3g}".format, range(0, 30_000, 10))
    text += lines("step: {}", "{:.3g}".format, range(20_000, 40_000, 10))
    marks = build("t", [(0, claim) for claim in read(text).series[0].claims], [], ())

    assert [mark.step for mark in marks if "step-back" in mark.flags] == [20_050]
    assert marks[-1].step == 39_950


def test_a_log_that_goes_on_unread_does_not_end_and_says_where() -> None:
    plain = lines("step: {} loss: 0.5", str, range(500))
    found = read(plain + lines("step: {} loss: 0.5", lambda n: f"{n}k", range(300, 500)))

    assert [claim.step for claim in found.series[0].claims] == list(range(500))
    assert {(mark.phase, mark.advances, mark.clock()) for mark in found.phases} == {(UNREAD, False, None)}
    assert found.phases[-1].offset == found.read_b
    (problem,) = found.problems
    first = len(plain) + len("step: 300k loss: 0.5\n")
    assert problem.startswith("unread-counter: 200 records ")
    assert f" from byte {first} on (300k): print whole plain numbers" in problem
    marks = build("t", [(0, c) for c in found.series[0].claims], [(0, c) for c in found.phases], ())
    assert marks[-1].offset == found.read_b


def test_a_log_of_which_less_was_read_than_follows_tells_nothing() -> None:
    found = read(
        lines("step: {} loss: 0.5", str, range(50))
        + lines("step: {} loss: 0.5", lambda n: f"{n}k", range(300, 500))
    )

    assert found.series == []
    assert found.phases == []
    assert found.problems[0].startswith("unread-counter: 200 records")


@pytest.mark.parametrize(
    ("other", "values"),
    [("step 1.{}", range(999, 100, -3)), ("step: {}k", [2] * 100), ("step {} 300", range(5))],
)
def test_a_steps_time_or_a_size_is_no_counter(other: str, values: Iterable[int]) -> None:
    plain = lines("step: {} loss: 0.5", str, range(500))
    found = read(plain + "".join(other.format(n) + " loss 0.5\n" for n in values))

    assert [claim.step for claim in found.series[0].claims] == list(range(500))
    assert found.problems == []
    assert found.phases == []


@pytest.mark.parametrize("between", [" ", "'", "’", "\u202f", "."])
def test_a_total_with_groups_of_digits_is_no_hindrance(between: str) -> None:
    said = grouped(between)
    text = lines("step {} loss: 0.5", lambda n: f"{said(n)}/{said(50_000)}", range(0, 12_000, 100))

    assert steps(text) == list(range(0, 12_000, 100))


@pytest.mark.parametrize(
    "took", ["345ms", "345 ms", "120 secs", "512 MiB", "547 tok/s", "345 img/s", "312 W"]
)
def test_a_measure_behind_a_counter_is_no_group_of_its_digits(took: str) -> None:
    assert steps(lines("step {} " + took + " loss: 2.3", str, range(3000))) == list(range(3000))


def test_a_sentence_about_a_later_step_is_no_jump() -> None:
    plain = [f"step {n} loss: 2.3\n" for n in range(1000)]
    plain.insert(500, "Decay at step 1e+04 lr 0.1\n")

    assert steps("".join(plain)) == list(range(1000))
    # the same print where the counter leads beyond it, and where it begins anew behind it, is its own
    wide = lines("step: {} loss: 0.5", "{:.4g}".format, range(0, 30_000, 10))
    assert max(step for step in steps(wide) if step is not None) > 29_900
    anew = steps(wide + lines("step: {} loss: 0.5", str, range(0, 500, 10)))
    assert max(step for step in anew if step is not None) > 29_900


def test_two_numbers_are_no_group_in_a_series_that_does_not_lead_there() -> None:
    text = "".join(f"step {n} {32 * n} loss 0.5\n" for n in range(90))

    assert set(steps(text)) <= set(range(90))


@pytest.mark.parametrize(
    ("text", "digits", "bounds"),
    [
        ("1e+03", 3, (1000, 1005)), ("1.01e+03", 3, (1005, 1015)), ("1e+04", 3, (9995, 10_050)),
        ("1.234560e+06", 0, (1_234_560, 1_234_560)), ("1e3", 0, (950, 1500)), ("1.5e+00", 0, None),
        ("1e+99", 0, None), ("0.998", 0, None), ("1.2k", 0, (1150, 1300)), ("3M", 0, (2_500_000, 4_000_000)),
        ("5m", 0, None), ("12'345", 0, (12_345, 12_345)),
    ],
)  # fmt: skip
def test_what_a_print_says(text: str, digits: int, bounds: tuple[int, int] | None) -> None:
    rough = bounds_of(text, digits)

    assert (None if rough is None else (rough.low, rough.high)) == bounds

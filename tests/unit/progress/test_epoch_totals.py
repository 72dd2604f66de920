"""Evaluations in the training's own words that name the epoch, and epochs of unlike length."""

from itertools import pairwise

import pytest

from slurm_guard.progress.mark import Mark
from slurm_guard.progress.pick import pick
from slurm_guard.progress.protocol import UNREAD, Claim
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.track import build

FORMS = [
    "Epoch: [{e}][{b}/{n}] Loss 0.3",
    "Epoch {e}/90 Step {b}/{n} loss 0.3",
    "Epoch [{e}/90], Step [{b}/{n}], Loss: 0.3",
    "[Epoch {e}/90] [Batch {b}/{n}] loss: 0.3",
    "epoch {e} iter {b}/{n} loss 0.3",
]


def loop(epoch: int, total: int, every: int, form: str = FORMS[0], begin: int = 0, end: int = 0) -> str:
    """One loop's lines: batch `begin` to `end` (its total) of an epoch."""
    batches = range(begin, end or total, every)
    return "".join(form.format(e=epoch, b=b, n=total) + "\n" for b in batches)


def marks(text: str) -> list[Mark]:
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    series = pick(reader.finish().series)[0].series
    return build("t", [(0, claim) for claim in series.claims], [], ())


def counted(text: str) -> tuple[int, int]:
    """(gross steps, restarts) of the track."""
    found = marks(text)
    gross = sum((b.step or 0) - (a.step or 0) for a, b in pairwise(found) if a.segment == b.segment)
    return gross, sum("step-back" in mark.flags for mark in found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("n", "every", "n_eval", "eval_every", "first"),
    [(100, 10, 20, 5, 0), (103, 10, 35, 5, 0), (100, 10, 20, 10, 0), (100, 10, 25, 1, 10),
     (100, 50, 90, 7, 0), (100, 7, 20, 20, 1), (100, 10, 160, 10, 0)],
)  # fmt: skip
@pytest.mark.parametrize("n_epochs", [2, 5, 20])
def test_an_evaluation_behind_each_epoch_counts_nothing(
    form: str, n: int, every: int, n_eval: int, eval_every: int, first: int, n_epochs: int
) -> None:
    text = alone = ""
    for e in range(1, n_epochs + 1):
        alone += loop(e, n, every, form, first)
        text += loop(e, n, every, form, first) + loop(e, n_eval, eval_every, form)

    assert counted(text) == counted(alone)
    assert counted(text)[1] == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_test", [60, 500])
@pytest.mark.parametrize("n_eval", [0, 20])
def test_a_test_behind_the_last_epoch_counts_nothing(form: str, n_test: int, n_eval: int) -> None:
    alone = "".join(loop(e, 100, 5, form) for e in range(11))
    text = "".join(loop(e, 100, 5, form) + (loop(e, n_eval, 5, form) if n_eval else "") for e in range(11))

    assert counted(text + loop(10, n_test, 5, form)) == counted(alone)
    assert counted(text + loop(11, n_test, 5, form))[0] > counted(alone)[0]  # an epoch of its own
    cut = loop(11, 100, 5, form, end=40)  # a resume on other batches makes up for it
    assert counted(alone + cut + loop(11, n_test, 5, form))[0] > counted(alone + cut)[0]


def test_an_evaluation_that_counts_nothing_is_marked_from_its_first_to_its_last_record() -> None:
    text = "".join(loop(e, 100, 10) + loop(e, 20, 5) for e in range(3))
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    found = reader.finish()
    (chosen,) = pick(found.series)
    track = build("t", [(0, c) for c in chosen.series.claims], [(0, c) for c in found.phases], ())

    assert [m.phase for m in track] == 3 * (10 * ["train"] + 2 * ["eval"])
    assert track[-1].offset == len(text)
    assert found.problems == []


def test_lines_of_a_test_loop_are_marks_of_its_begin_and_end() -> None:
    test = "".join(f"Test: [ {b}/196]  Time 0.1 (0.2)  Loss 6.1\n" for b in range(0, 196, 10))
    text = loop(0, 100, 10) + test + loop(1, 100, 10) + test
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    found = reader.finish()
    filed = [(0, claim) for claim in found.series[0].claims]
    track = build("t", filed, [(0, claim) for claim in found.phases], ())
    marked = [(mark.phase, mark.offset) for mark in track if mark.phase != "train"]

    first = len(test.splitlines()[0]) + 1
    ends = [len(loop(0, 100, 10)), len(text) - len(test)]
    assert marked == [("eval", end + n) for end in ends for n in (first, len(test))]


def test_loops_that_train_by_turns_are_said_to_be_left_out() -> None:
    text = "".join(loop(e, 30, 5) + loop(e, 100, 5) for e in range(5))
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)

    assert reader.finish().problems[0].startswith("other-loops: 100 of 130 records have another total")


def test_epochs_with_a_comma_go_on() -> None:
    text = "".join(f"Epoch {n:,}/5,000 | loss: 0.3\n" for n in range(980, 1500))

    assert [(m.step or 0) // 1_000_000 for m in marks(text)] == [*range(980, 1500)]


def test_an_evaluation_within_epochs_or_after_some_counts_nothing() -> None:
    inside = "".join(
        loop(e, 100, 10, end=50) + loop(e, 20, 5) + loop(e, 100, 10, begin=50) + loop(e, 20, 5)
        for e in range(4)
    )
    some = "".join(loop(e, 100, 10) + (loop(e, 20, 5) if e % 3 == 2 else "") for e in range(12))
    tested = "".join(loop(e, 100, 10) + loop(e, 20, 5) + loop(e, 50, 5) for e in range(4))
    checked = loop(0, 20, 10) + "".join(loop(e, 100, 10) + loop(e, 20, 5) for e in range(4))
    one = loop(0, 100, 10) + loop(0, 20, 5) + loop(1, 100, 10, end=60)

    assert [counted(text) for text in (inside, some, tested, checked, one)] == [
        (390, 0), (1190, 0), (390, 0), (390, 0), (150, 0)
    ]  # fmt: skip


def test_an_evaluation_before_each_epoch_counts_nothing() -> None:
    assert counted("".join(loop(e, 20, 5) + loop(e, 100, 10) for e in range(5))) == (490, 0)


def test_an_evaluation_between_epochs_of_unlike_length_counts_nothing() -> None:
    lengths = [97, 103, 95, 105, 99, 101, 98, 96, 104, 100]
    text = "".join(loop(e, n, 10) + loop(e, 20, 5) for e, n in enumerate(lengths))

    assert counted(text) == counted("".join(loop(e, n, 10) for e, n in enumerate(lengths)))


@pytest.mark.parametrize("total", [50, 200])
@pytest.mark.parametrize("ends_at", [40, 90])
def test_a_resume_on_other_batches_keeps_every_point(total: int, ends_at: int) -> None:
    text = loop(0, 100, 10) + loop(1, 100, 10, end=ends_at) + loop(1, total, 10)
    text += loop(2, total, 10) + loop(3, total, 10)

    _, n_back = counted(text)
    assert n_back == 1
    assert {mark.step for mark in marks(text) if mark.segment} == {
        100 + b + k * total for k in range(3) for b in range(0, total, 10)
    }


@pytest.mark.parametrize("n_epochs", [1, 2, 10])
@pytest.mark.parametrize("total", [20, 60, 300])
def test_a_second_training_of_other_epochs_keeps_every_point(n_epochs: int, total: int) -> None:
    first = "".join(loop(e, 100, 10) for e in range(n_epochs))
    second = "".join(loop(e, total, 10) for e in range(n_epochs))

    assert counted(first + second) == (counted(first)[0] + counted(second)[0], 1)


def test_folds_of_one_epoch_each_keep_every_point() -> None:
    text = "".join(loop(0, n, 10) for n in (100, 60, 100, 60, 100, 60))

    assert counted(text) == (3 * 90 + 3 * 50, 5)


def test_two_trainings_that_write_at_once_lose_no_record() -> None:
    text = "".join(
        f"Epoch: [{e}][{b}/100] Loss 0.3\n" + (f"Epoch: [{e}][{b // 2}/50] Loss 0.2\n" if b % 20 == 0 else "")
        for e in range(5)
        for b in range(0, 100, 10)
    )
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)

    assert len(reader.finish().series[0].claims) == 5 * 15


@pytest.mark.parametrize(
    "lengths",
    [
        [97, 103, 95, 105, 99], [25] * 4 + [100] * 4, [100] * 4 + [25] * 4, [100, 25] * 5, [100, 60] * 5,
        [100, 100, 25, 100, 100], list(range(20, 161, 20)), list(range(160, 19, -20)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("every", [1, 5, 10])
def test_each_epoch_counts_its_own_length(lengths: list[int], every: int) -> None:
    text = "".join(loop(e, n, every) for e, n in enumerate(lengths))
    last = (lengths[-1] - 1) // every * every

    assert counted(text) == (sum(lengths[:-1]) + last, 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("begin", "ends_at"), [(0, 90), (50, 90), (90, 50), (50, 50)])
def test_epochs_between_of_which_nothing_is_told_count(form: str, begin: int, ends_at: int) -> None:
    """The middle of a large log is not read; or each tenth epoch is printed."""
    read = [loop(e, 100, 10, form) for e in (0, 1, 2)] + [loop(3, 100, 10, form, end=ends_at + 10)]
    far = [loop(40, 100, 10, form, begin=begin)] + [loop(e, 100, 10, form) for e in (41, 42)]
    reader = TEXT.reader()
    reader.feed("".join(read + far).encode(), 0)
    filed = [(0, claim) for claim in pick(reader.finish().series)[0].series.claims]
    edge = len("".join(read)) + 1
    unread = [(0, Claim(at, "phase", phase=UNREAD, advances=False)) for at in (edge - 1, edge)]
    found = [mark for mark in build("t", filed, unread, ()) if mark.phase != UNREAD]

    assert (found[0].step, found[-1].step) == (0, 4290)
    assert found[len("".join(read).splitlines())].step == 4000 + begin
    assert counted("".join(loop(e, 100, 10, form) for e in range(0, 200, 10))) == (19_090, 0)


@pytest.mark.parametrize(
    "epochs", [(*range(0, 100, 10), 99), (0, *range(9, 100, 10)), (0, 10, 20, 30, 31), (0, 10, 20, 30, 99)]
)
def test_of_epochs_that_are_printed_now_and_then_the_first_and_the_last_may_stand_beside_them(
    epochs: tuple[int, ...],
) -> None:
    rises = [b - a for a, b in pairwise(epochs)]
    passed = sum(rise for rise in rises if rise <= 10) + sum(rise > 10 for rise in rises)  # a jump is none

    assert counted("".join(loop(e, 100, 10) for e in epochs)) == (100 * passed + 90, 0)


@pytest.mark.parametrize("begin", [0, 30, 70])
@pytest.mark.parametrize("last", [20, 50, 90])
def test_epochs_without_totals_count_over_a_gap_as_the_longest_before_it(begin: int, last: int) -> None:
    lines = [f"epoch {e} batch {b} loss 0.3\n" for e in range(41) for b in range(0, 100, 10)]
    before = "".join(lines[: 50 + last // 10 + 1])  # into epoch 5
    behind = "".join(lines[400 + begin // 10 :])  # from epoch 40 on
    reader = TEXT.reader()
    reader.feed((before + behind).encode(), 0)
    filed = [(0, claim) for claim in pick(reader.finish().series)[0].series.claims]
    unread = [(0, Claim(len(before) + at, "phase", phase=UNREAD, advances=False)) for at in (0, 1)]
    found = [mark.step for mark in build("t", filed, unread, ()) if mark.phase != UNREAD]

    assert (found[0], found[-1]) == (0, 40 * 90 + 90)


def test_epochs_that_nobody_ran_do_not_count() -> None:
    """A second stage that begins with epoch 50, a check before a resume, a shard's number for an epoch."""
    stages = "".join(loop(e, 100, 10) for e in (0, 1, 2, 3, 50, 51, 52))
    checked = loop(0, 100, 10) + "".join(loop(e, 100, 10) for e in range(100, 105))
    shards = "".join(loop(e, 100, 10) for e in (17, 230, 231, 1900))

    assert counted(stages)[0] == 690
    assert counted(checked)[0] == 590
    assert counted(shards)[0] == 390


def test_epochs_of_which_only_the_end_is_told_count_their_own_length() -> None:
    lengths = [100, 120, 80, 130, 130, 90]
    text = "".join(f"epoch {e} step {n}/{n} loss: 0.5\n" for e, n in enumerate(lengths))

    assert [mark.step for mark in marks(text)] == [sum(lengths[: n + 1]) for n in range(6)]


@pytest.mark.parametrize("form", FORMS)
def test_a_log_that_begins_in_a_later_epoch_goes_on_from_there(form: str) -> None:
    """A requeued job whose output was truncated."""
    went_on = "".join(loop(e, 100, 10, form, begin=60 if e == 30 else 0) for e in (30, 31, 32))
    found = marks(went_on)
    assert (found[0].step, found[-1].step) == (3060, 3290)
    assert counted(went_on) == (230, 0)
    once = marks(loop(30, 100, 10, begin=60))  # no other epoch follows
    assert (once[0].step, once[-1].step) == (3060, 3090)
    # a counter through all epochs beside a later one is a counter already
    through = "".join(f"Epoch: [{10 + b // 100}][{b}/9000] Loss 0.3\n" for b in range(1000, 1300, 10))
    assert (marks(through)[0].step, marks(through)[-1].step) == (1000, 1290)


def test_a_counter_that_goes_on_through_the_epochs_is_not_added_up() -> None:
    text = "".join(f"epoch {n // 100} step {n}/1000 loss: 0.5\n" for n in range(0, 1001, 10))
    stands = "".join(
        f"epoch {(n + k) // 100} step {n}/1000 loss: 0.5\n" for n in range(0, 1001, 50) for k in (0, 50)
    )

    assert counted(text) == (1000, 0)
    assert counted(stands) == (1000, 0)

"""From claims to a track: what is a restart, what is another rank, what is a batch size."""

import random

import pytest

from slurm_guard.progress.mark import Mark
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.track import _without_copies, build, thin
from slurm_guard.progress.values import STEP_LIMIT

T0 = 1_795_000_000.0


def track(*steps: int | Claim, **common: object) -> list[Mark]:
    """A track of these steps (or claims), at offsets 10, 20, …"""
    claims = [
        one._replace(offset=10 * (n + 1)) if isinstance(one, Claim) else Claim(10 * (n + 1), "step", step=one)
        for n, one in enumerate(steps)
    ]
    return build("t:x", [(0, claim._replace(**common)) for claim in claims], [], ())  # type: ignore[arg-type]


def shape(marks: list[Mark]) -> list[tuple[int, int | None]]:
    return [(mark.segment, mark.step) for mark in marks]


def test_each_step_counts_once_however_many_ranks_print_it() -> None:
    assert shape(track(10, 10, 20, 20, 20, 30)) == [(0, 10), (0, 20), (0, 30)]


def test_a_resume_below_the_mark_opens_a_segment() -> None:
    marks = track(10, 20, 30, 15, 25, 35)

    assert shape(marks) == [(0, 10), (0, 20), (0, 30), (1, 15), (1, 25), (1, 35)]
    assert [mark.flags for mark in marks][3] == ("step-back",)


def test_a_line_of_a_rank_that_lags_is_no_restart() -> None:
    assert shape(track(10, 20, 10, 30, 20, 40, 30, 50)) == [(0, 10), (0, 20), (0, 30), (0, 40), (0, 50)]


def test_two_lines_an_epoch_are_not_taken_for_lagging_ranks() -> None:
    assert shape(track(50, 100, 50, 100, 50, 100)) == [
        (0, 50), (0, 100), (1, 50), (1, 100), (2, 50), (2, 100),
    ]  # fmt: skip


def test_a_counter_that_restarts_each_epoch_is_made_cumulative() -> None:
    claims = [
        Claim(0, "batch", step=step, epoch=float(epoch), total=100)
        for epoch in range(3)
        for step in (50, 100)
    ]

    assert shape(track(*claims)) == [(0, 50), (0, 100), (0, 150), (0, 200), (0, 250), (0, 300)]


def test_an_evaluations_counter_ends_no_epoch() -> None:
    claims = [
        Claim(0, "step", step=step, epoch=float(epoch), phase="eval" if step == 625 else "train")
        for epoch in range(1, 4)
        for step in (50, 3650, 7300, 625)
    ]

    marks = track(*claims)

    assert [mark.step for mark in marks if mark.phase == "train"] == [
        7300 * epoch + step for epoch in range(3) for step in (50, 3650, 7300)
    ]
    assert [mark.flags for mark in marks if mark.flags] == []


def test_a_resume_in_an_earlier_epoch_goes_back_to_where_that_epoch_began() -> None:
    claims = [
        Claim(0, "step", step=step, epoch=float(epoch), total=100)
        for epoch in (0, 1, 2, 3, 1, 2, 3, 4)
        for step in (50, 100)
    ]

    assert shape(track(*claims)) == [
        *((0, step) for step in range(50, 401, 50)),
        *((1, step) for step in range(150, 501, 50)),
    ]


def test_a_total_beyond_all_counts_takes_only_what_is_counted_from_it() -> None:
    claims = [
        Claim(0, "step", step=step, epoch=float(epoch), total=STEP_LIMIT - 1)
        for epoch in range(3)
        for step in (5, 10, 15)
    ]

    assert [mark.step for mark in track(*claims)] == [5, 10, 15]


@pytest.mark.parametrize("n", [1, 2])
def test_a_printed_setting_above_all_records_is_none(n: int) -> None:
    marks = track(
        *[Claim(0, "epoch", step=100)] * n, *(Claim(0, "epoch", step=s, loss=0.5) for s in (1, 2, 3))
    )

    assert shape(marks) == [(0, 1), (0, 2), (0, 3)]


def test_a_first_record_is_kept_where_it_measured_or_is_reached_or_no_other_measured() -> None:
    rest = [Claim(0, "epoch", step=s, loss=0.5) for s in (1, 2, 3)]

    assert shape(track(Claim(0, "epoch", step=100, loss=0.4), *rest))[0] == (0, 100)
    assert shape(track(Claim(0, "epoch", step=100), *rest, Claim(0, "epoch", step=100)))[0] == (0, 100)
    assert shape(track(100, 1, 2, 3))[0] == (0, 100)


def test_tokens_that_never_rise_are_a_batch_size_and_left_out() -> None:
    marks = track(*(Claim(0, "step", step=n, tokens=4096, samples=8 * n) for n in range(1, 6)))

    assert [(mark.tokens, mark.samples) for mark in marks] == [(None, 8 * n) for n in range(1, 6)]


def test_an_evaluation_at_a_new_step_is_progress_and_at_an_old_one_a_phase() -> None:
    marks = track(
        Claim(0, "step", step=10),
        Claim(0, "step", step=10, phase="eval"),
        Claim(0, "step", step=20, phase="eval"),
        Claim(0, "step", step=5, phase="eval"),
        Claim(0, "step", step=30),
    )

    assert [(mark.step, mark.phase, mark.segment) for mark in marks] == [
        (10, "train", 0), (10, "eval", 0), (20, "train", 0), (5, "eval", 0), (30, "train", 0),
    ]  # fmt: skip


def test_of_evaluations_at_the_last_step_the_first_and_the_last_stay_for_no_training_follows() -> None:
    evaluation = Claim(0, "step", step=20, phase="eval")
    marks = track(10, *[evaluation._replace(step=10)] * 4, 20, *[evaluation] * 4)

    assert [(mark.offset, mark.phase) for mark in marks] == [
        (10, "train"), (20, "eval"), (60, "train"), (70, "eval"), (100, "eval"),
    ]  # fmt: skip


def test_a_small_fall_at_the_very_end_is_no_restart_but_a_deep_one_is() -> None:
    assert shape(track(10, 20, 30, 25))[-1] == (0, 30)
    assert shape(track(10, 20, 30, 1))[-1] == (1, 1)


def gross(marks: list[Mark]) -> int:
    """Steps that the audit would add up."""
    parts: dict[int, list[int]] = {}
    for mark in marks:
        parts.setdefault(mark.segment, []).append(mark.step or 0)
    return sum(part[-1] - part[0] for part in parts.values())


def flushed(ranks: int, top: int, per: int = 200) -> list[tuple[int, int]]:
    """(step, rank) as ranks print each step and flush whole buffers, each of a slightly different length."""
    rng = random.Random(1)
    blocks = []
    for rank in range(ranks):
        at = 1
        while at <= top:
            block = range(at, min(top + 1, at + per + rng.randrange(-3, 4)))
            blocks.append((block[-1] + rng.random() / 2, rank, block))
            at = block[-1] + 1
    return [(step, rank) for _, rank, block in sorted(blocks, key=lambda b: b[0]) for step in block]


def jittered(ranks: int, top: int, spread: float) -> list[int]:
    """Steps as ranks without buffers print them, each a little early or late."""
    rng = random.Random(3)
    rows = [(step + rng.gauss(0, spread), step) for _ in range(ranks) for step in range(1, top + 1)]
    return [step for _, step in sorted(rows)]


@pytest.mark.parametrize("ranks", [2, 8])
def test_ranks_that_flush_whole_buffers_of_the_same_lines_are_one_training(ranks: int) -> None:
    claims = [Claim(0, "step", step=step, loss=5 / step) for step, _ in flushed(ranks, 1_500)]

    marks = track(*claims)

    assert (gross(marks), {mark.segment for mark in marks}) == (1_499, {0})


def test_records_without_a_clock_between_them_are_no_falls_of_ranks_that_flush_buffers() -> None:
    """`build` leaves such records out before; here they would be falls to 0, a training that is run again."""
    blocks = [range(begin, begin + 12) for begin in range(1, 121, 12)]
    written = [
        (0, Claim(n, "step", step=None if step % 3 == 0 else step, loss=step / 1000))
        for n, step in enumerate(step for block in blocks for _ in range(2) for step in block)
    ]

    kept = _without_copies(written)

    assert [claim.loss for _, claim in kept] == [step / 1000 for step in range(1, 121)]


def test_ranks_that_flush_whole_buffers_with_local_times_are_one_training() -> None:
    claims = [
        Claim(0, "step", step=step, loss=5 / step + rank, at=T0 + step, naive=True)
        for step, rank in flushed(8, 1_500)
    ]

    assert gross(track(*claims)) == 1_499


@pytest.mark.parametrize(("spread", "most"), [(0.1, 1.0), (0.3, 1.02), (0.6, 1.05)])
def test_ranks_a_little_apart_are_one_training(spread: float, most: float) -> None:
    """Measured: before, 5 and 14 times the steps at 0.3 and 0.6."""
    assert 399 <= gross(track(*jittered(64, 400, spread))) <= most * 399


def test_a_training_that_is_run_again_alike_counts_each_time() -> None:
    steps = [*range(1, 301)] * 3

    assert gross(track(*(Claim(0, "step", step=n, loss=5 / n) for n in steps))) == 3 * 299


def test_a_resume_that_repeats_its_losses_to_the_digit_counts_what_was_done_again() -> None:
    steps = [*range(1, 1001), *range(801, 2001), *range(1801, 3001)]

    assert gross(track(*(Claim(0, "step", step=n, loss=5 / n) for n in steps))) == 999 + 1199 + 1199


def test_a_sweep_of_short_trainings_of_growing_length_counts_all() -> None:
    lengths = [3] * 64 + [9] * 20 + [27] * 7

    assert gross(track(*(n for length in lengths for n in range(1, length + 1)))) == sum(lengths) - 91


def test_a_restart_with_local_times_is_one_all_the_same() -> None:
    steps = [10, 20, 30, 15, 25, 35]
    claims = [Claim(0, "step", step=n, at=T0 + 60 * k, naive=True) for k, n in enumerate(steps)]

    assert shape(track(*claims)) == [(0, 10), (0, 20), (0, 30), (1, 15), (1, 25), (1, 35)]


def test_thinning_keeps_both_ends_of_every_segment() -> None:
    marks = track(*range(1000), *range(500, 1500))

    kept = thin(marks, 100)

    assert len(kept) == 100
    assert {(0, 0), (0, 999), (1, 500), (1, 1499)} <= set(shape(kept))
    assert kept == sorted(kept, key=lambda mark: (mark.segment, mark.step or 0))


def test_more_segments_than_room_still_keeps_the_limit_and_the_last() -> None:
    marks = [mark._replace(segment=n) for n, mark in enumerate(track(*range(100)))]

    kept = thin(marks, 10)

    assert len(kept) == 10
    assert kept[-1] == marks[-1]


def test_a_step_of_nothing_is_a_counter_beside_samples() -> None:
    """An evaluation before the first step, of a training that tells steps and samples."""
    train = [Claim(100 * n, "step", n, samples=4096 + 64 * n) for n in range(1, 5)]
    first = Claim(50, "step", 0, samples=4096)
    own = Claim(75, "phase", 3000, phase="eval", advances=False)

    track = build("t", [(0, claim) for claim in (first, *train)], [(0, own)], ())

    assert [(m.phase, m.step) for m in track if m.phase == "eval"] == [("eval", None)]

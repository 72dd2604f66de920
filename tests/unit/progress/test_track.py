"""From claims to a track: what is a restart, what is another rank, what is a batch size."""

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.track import Mark, build, thin


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


def test_a_small_fall_at_the_very_end_is_no_restart_but_a_deep_one_is() -> None:
    assert shape(track(10, 20, 30, 25))[-1] == (0, 30)
    assert shape(track(10, 20, 30, 1))[-1] == (1, 1)


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

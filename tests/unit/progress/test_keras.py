"""Keras' bars and the epochs before them, in the forms of Keras 2 and 3."""

import pytest

from slurm_guard.progress.pick import pick
from slurm_guard.progress.protocol import Found, Series
from slurm_guard.progress.registry import TEXT

KERAS_2 = "100/100 [====================] - 5s 50ms/step - loss: 2.1 - accuracy: 0.5\n"
KERAS_3 = "\x1b[1m100/100\x1b[0m \x1b[32m━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m5s\x1b[0m 9ms/step - loss: 2.1\n"
VERBOSE_2 = "100/100 - 5s - 50ms/step - loss: 2.1\n"


def read(text: str) -> Found:
    """All that the text source finds."""
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    return reader.finish()


def best(text: str) -> Series:
    """The file's first choice."""
    return pick(read(text).series)[0].series


@pytest.mark.parametrize("bar", [KERAS_2, KERAS_3, VERBOSE_2], ids=["2", "3", "verbose=2"])
def test_batches_count_on_over_the_epochs(bar: str) -> None:
    series = best("".join(f"Epoch {epoch}/3\n{bar}" for epoch in (1, 2, 3)))

    assert (series.source, series.key) == ("keras", "step")
    assert [(c.step, c.total, c.loss) for c in series.claims] == [(n, 300, 2.1) for n in (100, 200, 300)]


def test_a_bar_that_is_redrawn_counts_within_its_epoch() -> None:
    text = "Epoch 1/3\n" + "".join(
        f"{n:3d}/100 [{'=' * (n // 10)}>....] - ETA: 5s - loss: 2.3\r" for n in (1, 50, 99)
    )

    assert [c.step for c in best(text).claims] == [1, 50, 99]


def test_a_bar_of_another_length_is_an_evaluation() -> None:
    found = read(f"Epoch 1/1\n{KERAS_2}10/10 [====] - 0s 5ms/step - loss: 2.0\n")

    assert [c.step for one in found.series if one.key == "step" for c in one.claims] == [100]
    assert [c.phase for c in found.phases] == ["eval"]


def test_a_bar_as_long_as_the_trainings_behind_the_complete_one_is_an_evaluation() -> None:
    half = "50/100 [====>....] - ETA: 5s - loss: 2.3\r"
    fit = "".join(f"Epoch {epoch}/2\n{half}{KERAS_2}{KERAS_2}" for epoch in (1, 2))
    found = read(f"{fit}{half}{KERAS_2}{half}{KERAS_2}Epoch 1/2\n{half}")

    assert [c.step for one in found.series if one.key == "step" for c in one.claims] == [
        *(50, 100, 100, 150, 200, 200),
        50,
    ]
    assert [c.phase for c in found.phases] == ["eval"] * 2  # of a row the first and the last


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_alone_count_what_is_behind_them(first: int) -> None:
    series = best("".join(f"Epoch {epoch}/24\n----------\n" for epoch in range(first, first + 4)))

    assert (series.key, [c.step for c in series.claims]) == ("epoch", [0, 1_000_000, 2_000_000, 3_000_000])


def test_a_second_training_in_the_file_begins_at_its_own_first_epoch() -> None:
    claims = best("".join(f"Epoch {epoch}/3\n{KERAS_2}" for epoch in (1, 2, 3, 1, 2, 3))).claims

    assert [c.step for c in claims] == [100, 200, 300, 100, 200, 300]

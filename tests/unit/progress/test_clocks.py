"""Which number of a line is its clock: commas, and words that make another count of it."""

import pytest

from slurm_guard.progress.pick import pick
from slurm_guard.progress.protocol import MICRO, Series
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.track import build


def all_series(text: str) -> list[Series]:
    """The tracks' series."""
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    return [chosen.series for chosen in pick(reader.finish().series)]


def steps(text: str) -> list[int | None]:
    """The first track's counters; empty: there is none."""
    found = all_series(text)
    return (
        [mark.step for mark in build("t", [(0, claim) for claim in found[0].claims], [], ())] if found else []
    )


@pytest.mark.parametrize(
    "form",
    [
        "Epoch: {:03d}, Loss: 0.5, Train: 0.9",
        "epoch={}, loss=0.5",
        "epoch: {}, lr: 1.00e-03 - train loss: 2.31 - valid loss: 2.1",
    ],
)
def test_a_comma_behind_an_epoch_is_not_part_of_it(form: str) -> None:
    text = "".join(form.format(epoch) + "\n" for epoch in range(1, 6))

    assert steps(text) == [epoch * MICRO for epoch in range(1, 6)]


@pytest.mark.parametrize(
    "form", ["Epoch: {}, Step: {}, Loss: 0.5", "INFO - __main__ - epoch: {}, step: {}, loss: 1"]
)
def test_steps_are_added_up_over_epochs_with_a_comma(form: str) -> None:
    text = "".join(form.format(epoch, step) + "\n" for epoch in range(3) for step in (10, 20, 30))

    assert steps(text) == [10, 20, 30, 40, 50, 60, 70, 80, 90]


@pytest.mark.parametrize(
    ("line", "step", "total"),
    [
        ("iter: 5,20 loss: 0.5", 5, None),
        ("step: 1,234,567 loss: 0.5", 1_234_567, None),
        ("step: 12,345,6 loss: 0.5", 12_345, None),
        ("step 7/1,000, loss: 0.5", 7, 1000),
        ("step 7/100,20 loss: 0.5", 7, 100),
        ("step=1_000, loss=0.5", 1000, None),
    ],
)
def test_commas_group_three_digits(line: str, step: int, total: int | None) -> None:
    claim = all_series(line + "\n")[0].claims[0]

    assert (claim.step, claim.total) == (step, total)

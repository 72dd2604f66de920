"""Which of a file's clocks is a track."""

import pytest

from slurm_guard.progress.pick import pick
from slurm_guard.progress.protocol import MICRO, Claim, Series
from tests.unit.progress.logs import all_series, steps


def series(source: str, steps: list[int], begin: int = 0, key: str = "step", rank: str = "") -> Series:
    return Series(source, key, rank, [Claim(begin + 10 * n, key, step=s) for n, s in enumerate(steps)])


def test_two_clocks_of_the_same_lines_are_one_track() -> None:
    chosen = pick([series("keyvalue", list(range(9))), series("keyvalue", list(range(9)), 3, "global_step")])

    assert len(chosen) == 1


def test_epochs_and_bars_stand_back_behind_steps() -> None:
    chosen = pick([
        series("tqdm", list(range(99)), key="bar99"),
        series("jsonl", list(range(50)), key="epoch"),
        series("keyvalue", list(range(9))),
    ])  # fmt: skip

    assert [(one.series.source, one.series.key) for one in chosen] == [("keyvalue", "step")]


def test_a_bar_speaks_where_nothing_better_does() -> None:
    assert pick([series("tqdm", [1, 2, 3], key="bar3")])[0].series.source == "tqdm"


def test_a_second_training_later_in_the_file_is_a_track_of_its_own() -> None:
    chosen = pick([series("megatron", [1, 2, 3, 4]), series("hf", [1, 2, 3], begin=1000)])

    assert [(one.series.source, one.suffix) for one in chosen] == [("megatron", ""), ("hf", ".2")]


def test_ranks_that_agree_are_one_and_ranks_that_differ_are_several() -> None:
    same = [series("keyvalue", [10, 20, 30], rank=str(rank)) for rank in range(8)]
    other = series("keyvalue", [7, 14, 21, 28], begin=3, rank="9")

    chosen = pick([*same, other])

    assert [one.series.rank for one in chosen] == ["9", "0"]


def test_a_stray_line_is_no_second_track() -> None:
    assert len(pick([series("megatron", [1, 2, 3]), series("keyvalue", [7], begin=9000)])) == 1


def test_settings_of_a_configuration_are_no_track_beside_a_training() -> None:
    settings = "".join(f"step: {s}\nlr: 0.1\n" for s in (1000, 2000, 5000))
    epochs = "".join(f"Epoch {n}: loss 0.5\n" for n in range(1, 30))

    assert steps(settings + epochs) == [n * MICRO for n in range(1, 30)]
    assert len(all_series(settings + epochs)) == 1


@pytest.mark.parametrize("beside", [" loss: 0.5", "/9000", " epoch: 1"])
def test_a_few_steps_that_tell_something_are_a_track(beside: str) -> None:
    few = "".join(f"step: {s}{beside}\n" for s in (1000, 2000, 5000))

    assert steps(few + "".join(f"Epoch {n}: loss 0.5\n" for n in range(1, 30))) == [1000, 2000, 5000]


def test_a_few_bare_steps_are_a_track_where_nothing_else_is() -> None:
    assert steps("step: 1\nstep: 2\nstep: 3\n") == [1, 2, 3]

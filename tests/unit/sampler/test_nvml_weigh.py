"""Process utilisation: samples of working times become at most what was worked."""

from typing import NamedTuple

import pytest

from slurm_guard.sampler.nvml_board import _weigh


class Sample(NamedTuple):
    pid: int
    timeStamp: int
    smUtil: int


T0, S = 1_000_000_000, 1_000_000


def test_work_up_to_now_counts_whole() -> None:
    assert _weigh([Sample(1, T0 + 10 * S, 90)], T0, 10 * S) == {1: 90.0}


def test_work_that_ended_after_a_second_counts_for_that_second() -> None:
    assert _weigh([Sample(1, T0 + 1 * S, 90)], T0, 10 * S) == {1: 9.0}


def test_several_samples_are_weighted_by_their_spacing() -> None:
    samples = [Sample(1, T0 + 8 * S, 50), Sample(1, T0 + 2 * S, 100)]

    assert _weigh(samples, T0, 10 * S) == {1: pytest.approx((2 * 100 + 6 * 50) / 10)}


def test_a_long_silence_before_is_not_booked() -> None:
    assert _weigh([Sample(1, T0 + 600 * S, 40)], T0, 10 * S) == {1: 40.0}


def test_the_first_look_knows_no_spacing() -> None:
    assert _weigh([Sample(1, T0, 40), Sample(1, T0 + S, 60), Sample(2, T0, 5)], 0, None) == {1: 50.0, 2: 5.0}

"""A wall clock that does not jump with the machine's."""

import pytest

from slurm_guard.clock import HOLD_S, FakeClock, SteadyClock


@pytest.mark.parametrize("step_s", [120.0, -120.0, 0.8])
def test_a_step_that_is_taken_back_moves_nothing(step_s: float) -> None:
    machine = FakeClock()
    clock = SteadyClock(machine)
    begin_at = clock.now_at()

    machine.step_s(step_s)
    seen = []
    for _ in range(6):
        machine.sleep(1.0)
        seen.append(clock.now_at() - begin_at)
    machine.step_s(-step_s)
    machine.sleep(1.0)

    assert seen == pytest.approx([1, 2, 3, 4, 5, 6])
    assert clock.now_at() - begin_at == pytest.approx(7)
    assert [followed for _, followed in clock.steps] == [False]


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_step_that_lasts_is_followed_and_told_twice(step_s: float) -> None:
    machine = FakeClock()
    clock = SteadyClock(machine)

    machine.step_s(step_s)
    for _ in range(int(HOLD_S) + 2):
        machine.sleep(1.0)
        clock.now_at()

    assert clock.now_at() == pytest.approx(machine.now_at())
    assert [followed for _, followed in clock.steps] == [False, True]
    assert [off_s for off_s, _ in clock.steps] == pytest.approx([step_s, step_s])


def test_slewing_is_followed_at_once_and_told_to_nobody() -> None:
    machine = FakeClock()
    clock = SteadyClock(machine)

    for _ in range(1000):
        machine.sleep(1.0)
        machine.step_s(0.0005)
        assert clock.now_at() == pytest.approx(machine.now_at())

    assert clock.steps == []

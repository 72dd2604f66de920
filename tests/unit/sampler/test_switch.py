"""The admin's switch: two files, of which one may lie on a file system that hangs."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_guard.config import NodeConfig
from slurm_guard.sampler.helper import Answer, Ask, Helper
from slurm_guard.sampler.switch import Switch
from slurm_guard.sampler.writer import Instant


class Slow(Helper):
    """A child whose answers the test gives."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(deadline_s)
        self.asked: list[tuple[Ask, Callable[[Answer], None]]] = []
        self.willing = True

    @property
    def busy(self) -> bool:
        return bool(self.asked)

    def submit(self, ask: Ask, done: Callable[[Answer], None]) -> bool:
        if self.willing:
            self.asked.append((ask, done))
        return self.willing

    def poll(self, at: float, mono_s: float) -> None:
        pass

    def answer(self, error: str | None) -> None:
        _, done = self.asked.pop()
        done(Answer(5.0, None, None, None, None, error))


def switch_of(tmp_path: Path, shared: str = "/shared/disabled") -> tuple[Switch, Slow]:
    config = NodeConfig(disabled=str(tmp_path / "own"), disabled_everywhere=shared, table_interval_s=10.0)
    switch = Switch(config, Slow)
    assert isinstance(switch.helper, Slow)
    return switch, switch.helper


def at(mono_s: float) -> Instant:
    return Instant(5.0, mono_s)


def test_either_file_switches_off_and_the_answer_names_it(tmp_path: Path) -> None:
    switch, child = switch_of(tmp_path)

    assert switch.look(at(0)) is None
    child.answer(None)
    assert switch.look(at(1)) == "/shared/disabled"
    (tmp_path / "own").symlink_to("/nowhere")
    assert switch.look(at(2)) == str(tmp_path / "own")


def test_the_clusters_file_is_asked_for_twice_in_the_tables_time(tmp_path: Path) -> None:
    switch, child = switch_of(tmp_path)
    n = 0

    for mono_s in range(61):
        switch.look(at(float(mono_s)))
        if child.asked:
            n += 1
            child.answer("No such file or directory")

    assert n == 13


@pytest.mark.parametrize("error", ["no answer within 10 s", "Input/output error", "Permission denied"])
def test_a_file_system_that_fails_leaves_the_switch_as_it_was(tmp_path: Path, error: str) -> None:
    switch, child = switch_of(tmp_path)
    switch.look(at(0))
    child.answer(error)
    on = switch.look(at(5))
    child.answer("not a regular file")
    switch.look(at(10))
    child.answer(error)

    off = switch.look(at(11))

    assert (on, off) == (None, "/shared/disabled")
    assert switch.tell()["doubt"] == error


def test_a_switch_that_went_is_heard_of(tmp_path: Path) -> None:
    switch, child = switch_of(tmp_path)
    switch.look(at(0))
    child.answer(None)
    off = switch.look(at(5))
    child.answer(os.strerror(2))

    assert (off is not None, switch.look(at(6))) == (True, None)


def test_with_too_many_hanging_children_it_says_so_and_goes_on(tmp_path: Path) -> None:
    switch, child = switch_of(tmp_path)
    child.willing = False

    assert switch.look(at(0)) is None
    assert "too many" in switch.tell()["doubt"]


def test_a_real_child_sees_a_real_file(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    config = NodeConfig(disabled=str(tmp_path / "own"), disabled_everywhere=str(shared), table_interval_s=0.2)
    switch = Switch(config)
    try:
        for wanted in (None, str(shared), None):
            if wanted is not None:
                shared.touch()
            else:
                shared.unlink(missing_ok=True)
            until_s = time.monotonic() + 60
            while switch.look(at(time.monotonic())) != wanted and time.monotonic() < until_s:
                time.sleep(0.05)
            assert switch.look(at(time.monotonic())) == wanted
    finally:
        switch.close(at(0))


def test_without_a_clusters_file_there_is_no_child(tmp_path: Path) -> None:
    assert Switch(NodeConfig(disabled=str(tmp_path / "own"))).helper is None

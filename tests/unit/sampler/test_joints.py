"""Pipes that go to and fro between two processes, and pipes that do not."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from slurm_guard.sampler.joints import Ends, ends_of
from slurm_guard.sampler.procfs import Proc


@pytest.fixture
def there() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_process_and_its_filter_are_joined(there: subprocess.Popen[bytes]) -> None:
    proc = Proc()
    assert ends_of(proc, os.getpid()).meets(ends_of(proc, there.pid))


def test_a_pipe_that_goes_one_way_joins_nobody() -> None:
    writer, reader = Ends(frozenset(), frozenset({5})), Ends(frozenset({5}), frozenset())
    other = Ends(frozenset(), frozenset({5}))
    assert not writer.meets(reader)
    assert not writer.meets(other)
    assert Ends(frozenset({6}), frozenset({5})).meets(Ends(frozenset({5}), frozenset({6})))


def test_a_process_that_is_gone_has_none() -> None:
    assert ends_of(Proc(), 2**22 + 5) == Ends(frozenset(), frozenset())

"""Where Python's search for objects that refer to each other is left off, and that it goes on afterwards."""

import gc
from collections.abc import Iterator

import pytest

from slurm_guard.garbage import uncollected


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    collects = gc.isenabled()
    yield
    (gc.enable if collects else gc.disable)()


@pytest.mark.parametrize("collects", [True, False])
def test_it_is_as_it_was_afterwards_even_after_an_error(collects: bool) -> None:
    (gc.enable if collects else gc.disable)()

    with pytest.raises(KeyError):
        _fail()

    assert gc.isenabled() is collects


@uncollected()
def _fail() -> None:
    assert not gc.isenabled()
    raise KeyError


def test_one_within_another_does_not_end_it() -> None:
    gc.enable()

    with uncollected():
        with uncollected():
            pass
        assert not gc.isenabled()

    assert gc.isenabled()

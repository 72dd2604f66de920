"""What the sampler does after each round, apart from looks at the tables."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from slurm_guard import wire
from slurm_guard.config import NetworkConfig
from slurm_guard.sampler.hearing import Hearing
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.sockets import SocketTable
from slurm_guard.sampler.writer import Instant

_NOW = Instant(5.0, 5.0)
_EVENT = wire.Event(5.0, "r", "bridge", {}, 5.0)


@pytest.mark.parametrize("off", [False, True])
def test_what_a_round_shows_goes_to_its_runs_stream_unless_switched_off(off: bool) -> None:
    told: list[tuple[str | None, Any]] = []
    sockets = SimpleNamespace(hear=lambda _: None, closer=lambda _: [_EVENT])
    loop = SimpleNamespace(
        off=off,
        tables=SimpleNamespace(sockets=sockets),
        now=lambda: _NOW,
        out=lambda run, record: told.append((run, record)),
    )
    Hearing(cast("Any", loop)).tick(_NOW)
    assert told == ([] if off else [("r", _EVENT)])


def test_without_the_kernels_diagnostics_there_are_no_rounds() -> None:
    sockets = SocketTable(Proc(), NetworkConfig(), None)
    assert sockets.closer(_NOW) == []

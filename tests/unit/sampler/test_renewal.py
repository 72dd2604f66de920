"""A sampler that held too much memory begins anew, but not on and on."""

import _signal  # type: ignore[import-not-found]
import os

import pytest

from slurm_guard.sampler.renewal import RENEW_S, may_renew, renew


class _Loop:
    """Ended for a reason."""

    def __init__(self, reason: str) -> None:
        self.stop_reason = reason


@pytest.mark.parametrize(
    ("environ", "may"),
    [
        ({}, True),
        ({"SLURM_GUARD_RENEWED_S": f"{1000 - RENEW_S:.3f}"}, True),
        ({"SLURM_GUARD_RENEWED_S": f"{1001 - RENEW_S:.3f}"}, False),
        ({"SLURM_GUARD_RENEWED_S": "nonsense"}, False),
        ({"SLURM_GUARD_RENEWED_S": "5000.000"}, True),  # of another boot
        ({"INVOCATION_ID": "x"}, False),
    ],
)
def test_once_in_five_minutes_and_never_under_systemd(environ: dict[str, str], may: bool) -> None:
    assert may_renew(environ, 1000.0) is may


@pytest.mark.parametrize("reason", ["SIGTERM", "idle", "error: x"])
def test_only_memory_is_a_reason(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it began anew"))

    renew(_Loop(reason), 1000.0)  # type: ignore[arg-type]


def test_told_to_stop_at_the_last_moment_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = _Loop("memory")
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    monkeypatch.setattr(_signal, "signal", lambda *_: setattr(loop, "stop_reason", "SIGTERM"))
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it began anew"))

    renew(loop, 1000.0)  # type: ignore[arg-type]

    assert loop.stop_reason == "SIGTERM"

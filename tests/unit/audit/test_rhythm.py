"""Which windows may speak about the claimed step."""

from slurm_guard.audit.rhythm import Beat, compare
from slurm_guard.audit.track import Arc

ARCS = tuple(Arc(60.0 * k, 60.0 * (k + 1), 10.0, 10.0) for k in range(20))  # a step every 6 s


def _beats(period_s: float, *, mixed: bool) -> list[Beat]:
    return [Beat(60.0 * k, 60.0 * (k + 1), 1.0, (period_s,), 0.9, 0.5, 40.0, mixed) for k in range(20)]


def test_another_rhythm_on_every_window_denies_the_step() -> None:
    assert compare(_beats(7.4, mixed=False), ARCS).denies


def test_what_beats_where_several_processes_work_denies_nobodys_step() -> None:
    assert not compare(_beats(7.4, mixed=True), ARCS).denies


def test_the_step_that_shows_through_another_process_agrees() -> None:
    assert compare(_beats(6.0, mixed=True), ARCS).agrees

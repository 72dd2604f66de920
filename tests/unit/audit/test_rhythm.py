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


def test_a_period_that_never_changes_has_to_hit_the_step_and_not_only_its_band() -> None:
    """All windows are one draw then: 5.48 s beside steps of 9.94 s hits the band of their half each time."""
    assert not compare(_beats(6.6, mixed=False), ARCS).agrees
    assert compare(_beats(6.1, mixed=False), ARCS).agrees

"""Silence over the edge of a night: what ended yesterday, what is not read any more, what begins tomorrow."""

from dataclasses import replace

import polars as pl
import pytest

from slurm_guard.audit.facts import Facts
from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.spans import Kind, Span, cut
from slurm_guard.audit.track import Arc, Track
from slurm_guard.config import AuditConfig
from slurm_guard.model import Account, Judgement, Verdict
from tests.builders import AT, Log, Tenant, build
from tests.shapes import FLAT, HONEST, facts_of

CONFIG = AuditConfig()
HOUR = 3600.0


def _track(*stretches: tuple[float, float], read_until: float | None = None) -> Track:
    """A record a minute in each stretch, which is a training of its own."""
    arcs = [
        Arc(float(t), t + 60.0, 10.0, 10.0, segment=k)
        for k, (a, b) in enumerate(stretches)
        for t in range(int(a), int(b), 60)
    ]
    return Track(("kv",), "step", (), tuple(arcs), read_until=read_until)


def _cut(track: Track, from_at: float, until_at: float) -> list[Span]:
    return list(cut(track, from_at, until_at, CONFIG))


def _later(facts: Facts, s: float) -> Judgement:
    """The verdict of a night that begins `s` seconds after the run."""
    windows = facts.frames["windows"].filter(pl.col("start_at") >= AT + s)
    runs = tuple(replace(run, from_at=AT + s) for run in facts.runs)
    frames = {**facts.frames, "windows": windows}
    found = audit_facts(replace(facts, from_at=AT + s, runs=runs, frames=frames))
    return next(j for j in found.judgements if j.run.job_id == 7)


def test_a_log_that_ended_the_day_before_is_silent_all_day() -> None:
    track = _track((0, HOUR))

    assert _cut(track, 10 * HOUR, 20 * HOUR) == [Span(10 * HOUR, 20 * HOUR, Kind.SILENT)]


def test_a_log_that_ends_just_before_midnight_has_its_tail_after_it() -> None:
    track = _track((0, HOUR))

    edge = HOUR + CONFIG.silence_s
    assert _cut(track, HOUR + 60, 3 * HOUR) == [
        Span(HOUR + 60, edge, Kind.TAIL),
        Span(edge, 3 * HOUR, Kind.SILENT),
    ]


def test_a_night_between_two_trainings_of_a_run_is_silent() -> None:
    track = _track((0, HOUR), (30 * HOUR, 31 * HOUR))

    assert _cut(track, 10 * HOUR, 20 * HOUR) == [Span(10 * HOUR, 20 * HOUR, Kind.SILENT)]
    assert _cut(track, 25 * HOUR, 31 * HOUR)[0] == Span(25 * HOUR, 30 * HOUR, Kind.SILENT)


def test_an_earlier_jobs_records_in_the_same_log_make_no_silence_of_a_start() -> None:
    track = _track((0, HOUR), (11 * HOUR, 12 * HOUR))
    alone = _track((11 * HOUR, 12 * HOUR))

    for until_at in (10.5 * HOUR, 12 * HOUR):
        spans = cut(track, 10 * HOUR, until_at, CONFIG, start_at=10 * HOUR)
        assert spans == cut(alone, 10 * HOUR, until_at, CONFIG)
        assert Kind.SILENT not in {span.kind for span in spans}
    assert cut(_track((0, HOUR)), 10 * HOUR, 20 * HOUR, CONFIG, start_at=10 * HOUR)[0].kind is Kind.NONE


def test_a_start_over_midnight_is_one_on_both_days() -> None:
    track = _track((1000, HOUR))

    assert _cut(track, 0.0, 600.0) == [Span(0.0, 600.0, Kind.STARTUP)]
    assert _cut(track, 600.0, HOUR)[0] == Span(600.0, 1000.0, Kind.STARTUP)


def test_without_any_progress_nothing_is_told() -> None:
    assert _cut(Track(), 0.0, HOUR) == [Span(0.0, HOUR, Kind.NONE)]


def test_what_came_after_the_last_reading_is_not_known_to_be_silence() -> None:
    track = _track((0, HOUR), read_until=2 * HOUR)

    edge = 2 * HOUR + CONFIG.slack_s
    assert _cut(track, 0.0, 9 * HOUR)[-2:] == [
        Span(HOUR + CONFIG.silence_s, edge, Kind.SILENT),
        Span(edge, 9 * HOUR, Kind.NONE),
    ]
    assert _cut(track, 3 * HOUR, 9 * HOUR) == [Span(3 * HOUR, 9 * HOUR, Kind.NONE)]


@pytest.mark.parametrize("s", [5460, 7200, 9000])
def test_work_that_goes_on_into_the_next_night_is_asked_about_there(s: int) -> None:
    told = _later(facts_of("filler-tail"), s)

    assert told.verdict is Verdict.REVIEW
    assert [f.check for f in told.findings] == ["busy-while-silent"]
    silent_ms = 1000 * min(10_800 - s, 10_800 - 5400 - CONFIG.silence_s)
    assert told.unexplained.lo_gpu_ms >= 0.9 * silent_ms
    assert told.ledger_gpu_ms[Account.RESIDUAL] == pytest.approx(told.unexplained.mid_gpu_ms, rel=0.02)
    assert "before this night began" in told.findings[0].sentence


@pytest.mark.parametrize("s", [7200, 9000])
def test_a_hang_that_lasts_into_the_next_night_is_a_note_there(s: int) -> None:
    told = _later(facts_of("hang"), s)

    assert (told.verdict, told.unexplained.lo_gpu_ms) == (Verdict.NOTE, 0)


@pytest.mark.parametrize(
    ("power", "pipe", "verdict"),
    [
        (1.0, 0.9, Verdict.REVIEW),
        (0.3, 0.9, Verdict.REVIEW),
        (0.3, 0.02, Verdict.NOTE),
        (1.0, 0.02, Verdict.REVIEW),
    ],
)
def test_without_training_that_night_power_and_pipes_tell_work_from_waiting(
    power: float, pipe: float, verdict: Verdict
) -> None:
    after = Tenant("train", 5400, 1e9, 1.0, power, pipe=pipe)
    world = replace(HONEST, tenants=(replace(FLAT, until_s=5400, pipe=0.6), after), log=Log(until_s=5400))

    told = _later(build(world), 7200)

    assert told.verdict is verdict
    assert ("hang" in told.classes) is (verdict is Verdict.NOTE)


def test_a_log_that_was_not_read_any_more_accuses_nobody() -> None:
    facts = facts_of("honest")
    logs = facts.frames["logs"]
    other = logs.with_columns(path=pl.lit("/home/ann/notes"), file=pl.lit(9), n=pl.lit(0))  # tells nothing
    read = {
        "points": facts.frames["points"].filter(pl.col("at") < AT + 5400),
        "logs": pl.concat([logs.with_columns(read_at=pl.lit(AT + 5400.0)), other], how="vertical_relaxed"),
    }

    told = audit_facts(replace(facts, frames={**facts.frames, **read})).judgements[0]

    assert told.verdict is Verdict.NOTE
    assert (told.findings, told.unexplained.lo_gpu_ms) == ((), 0)
    assert told.ledger_gpu_ms[Account.RESIDUAL] > 4_000_000
    assert "Its log was last read 1.5 hours before the end of that." in told.sentence


@pytest.mark.parametrize("lost", [0, 30])  # steps after the checkpoint from which it goes on
def test_a_resumed_job_is_judged_as_if_the_earlier_one_had_had_a_log_of_its_own(lost: int) -> None:
    # It loads its data for 80 minutes, on its GPU, and its records go on behind those of ten hours before.
    alone = build(replace(HONEST, tenants=(replace(FLAT, pipe=0.6),), log=Log(from_s=4800, goes_on=(2000,))))
    points = alone.frames["points"]
    before = points.head(60).with_columns(
        pl.col("at") - 36_000,
        pl.col("step") - points["step"][59] + points["step"][0] - 5 + lost,
        pl.col("offset") - points["offset"][59] - 100,
        obs_lo_at=pl.lit(None, pl.Float64),
        obs_hi_at=pl.lit(AT + 5.0),
    )
    frames = {**alone.frames, "points": pl.concat([before, points])}

    apart, behind = (audit_facts(facts).judgements[0] for facts in (alone, replace(alone, frames=frames)))

    assert behind.progress.n_points == apart.progress.n_points + 60
    assert (behind.verdict, behind.unexplained) == (apart.verdict, apart.unexplained)
    assert behind.ledger_gpu_ms == apart.ledger_gpu_ms

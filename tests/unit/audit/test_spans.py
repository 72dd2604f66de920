"""How a run's time is cut by its log: phases that it names, also after the last step, and their bounds."""

from dataclasses import replace

import polars as pl

from slurm_guard.audit.facts import Facts
from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.spans import Kind, cut, stepping
from slurm_guard.audit.track import Arc, Mark, Track
from slurm_guard.config import AuditConfig
from slurm_guard.model import Judgement, Verdict
from tests.builders import AT, Log, build
from tests.shapes import HONEST, TRAIN

CONFIG = AuditConfig()
HOUR = 3600.0


def _mark(at: float, phase: str) -> Mark:
    return Mark(at, at, True, None, None, None, None, phase, 0, ())


def _track(arcs: list[Arc], marks: list[tuple[float, str]]) -> Track:
    told = tuple(_mark(at, phase) for at, phase in marks)
    return Track(("kv",), "step", told, tuple(arcs), named_at=tuple(m.at for m in told if m.phase != "train"))


def _hour_of_steps() -> list[Arc]:
    return [Arc(60.0 * k, 60.0 * (k + 1), 10.0, 10.0) for k in range(60)]


def _lengths(track: Track, until_at: float) -> dict[Kind, float]:
    found: dict[Kind, float] = {}
    for span in cut(track, 0.0, until_at, CONFIG):
        found[span.kind] = found.get(span.kind, 0.0) + span.length_s
    return found


def test_an_evaluation_after_the_last_step_is_a_phase_where_the_log_tells_its_begin_and_its_end() -> None:
    spans = _lengths(_track(_hour_of_steps(), [(HOUR + 5, "eval"), (1.5 * HOUR, "train")]), 1.5 * HOUR + 60)

    assert spans[Kind.MARKED] == 0.5 * HOUR
    assert spans[Kind.TAIL] == 60.0
    assert Kind.SILENT not in spans


def test_a_log_that_goes_on_with_a_counter_that_is_not_read_is_not_silent() -> None:
    marks = [(HOUR + 60.0 * k, "unread") for k in range(1, 60)]
    spans = _lengths(_track(_hour_of_steps(), marks), 2 * HOUR)

    assert spans[Kind.MARKED] == HOUR - 60.0
    assert spans[Kind.TAIL] == 60.0
    assert Kind.SILENT not in spans


def test_a_final_evaluation_behind_the_word_that_training_has_ended_is_named() -> None:
    marks = [(HOUR + 2, "end"), *((HOUR + 30.0 * k, "eval") for k in range(1, 60))]
    spans = _lengths(_track(_hour_of_steps(), marks), 1.5 * HOUR)

    assert spans[Kind.MARKED] == 0.5 * HOUR - 30.0
    assert Kind.SILENT not in spans


def test_the_word_that_training_has_ended_after_a_long_silence_names_nothing() -> None:
    marks = [(2 * HOUR, "end"), *((2 * HOUR + 30.0 * k, "eval") for k in range(1, 20))]

    assert Kind.MARKED not in _lengths(_track(_hour_of_steps(), marks), 3 * HOUR)


def test_an_evaluation_that_is_told_when_it_has_ended_is_one_too() -> None:
    spans = _lengths(_track(_hour_of_steps(), [(1.5 * HOUR, "eval")]), 1.5 * HOUR + 60)

    assert (spans[Kind.MARKED], spans[Kind.TAIL]) == (0.5 * HOUR, 60.0)


def test_a_name_without_an_end_explains_no_more_than_the_phases_before_it_took() -> None:
    """One line that says `evaluation` is no licence for the rest of the night."""
    spans = _lengths(_track(_hour_of_steps(), [(HOUR + 5, "eval")]), 4 * HOUR)

    assert spans[Kind.MARKED] == 5.0
    assert spans[Kind.SILENT] == 3 * HOUR - CONFIG.silence_s - 5.0


def test_the_end_of_the_run_ends_no_phase() -> None:
    spans = _lengths(_track(_hour_of_steps(), [(HOUR + 5, "eval"), (4 * HOUR - 15, "end")]), 4 * HOUR)

    assert spans[Kind.MARKED] == 5.0


def test_a_phase_that_is_longer_than_the_training_is_explained_as_far_as_that() -> None:
    before = _lengths(_track(_hour_of_steps(), [(HOUR + 5, "eval"), (5 * HOUR, "train")]), 5 * HOUR)
    arcs = [*_hour_of_steps(), Arc(6 * HOUR, 6 * HOUR + 60, 10.0, 10.0)]
    inside = _lengths(_track(arcs, [(HOUR + 5, "eval")]), 6 * HOUR + 60)

    assert before[Kind.MARKED] == HOUR + 5
    assert before[Kind.OVERLONG] == 3 * HOUR - 5
    assert inside[Kind.MARKED] == HOUR + 60
    assert inside[Kind.OVERLONG] == 4 * HOUR - 60


def test_named_phases_after_the_last_step_are_bounded_together() -> None:
    """As many phases as one likes, each shorter than the training, are not the rest of the week."""
    marks = [(HOUR + 1800.0 * k, "eval") for k in range(1, 100)]

    spans = _lengths(_track(_hour_of_steps(), marks), 50 * HOUR)

    assert spans[Kind.MARKED] == 6 * HOUR
    assert spans[Kind.OVERLONG] > 40 * HOUR


def test_the_last_of_pauses_that_recur_may_come_after_the_last_step() -> None:
    whole = [(r, k) for r in range(9) for k in range(30)]
    arcs = [Arc(400.0 * r + 10 * k, 400.0 * r + 10 * (k + 1), 1.0, 1.0, 30.0 * r + k) for r, k in whole]

    spans = _lengths(_track(arcs, []), 3600.0)

    assert spans[Kind.RECURRING] == 900.0
    assert Kind.TAIL not in spans


def test_the_length_of_a_step_comes_from_records_that_hold_steps_alone() -> None:
    """Ten records of a minute, one that holds an evaluation which the log names, one that holds a pause."""
    arcs = [Arc(60.0 * k, 60.0 * (k + 1), 10.0, 10.0) for k in range(10)]
    arcs += [Arc(600.0, 669.0, 10.0, 10.0), Arc(669.0, 869.0, 10.0, 10.0)]

    kept = stepping(_track(arcs, [(665.0, "eval")]))

    assert [a.from_at for a in kept] == [60.0 * k for k in range(10)]


def _with_marks(facts: Facts, marks: list[tuple[float, str]]) -> Facts:
    """The same with marks that count nothing, seconds after the run's begin."""
    points = facts.frames["points"]
    new = pl.DataFrame(
        [
            {
                **points.row(0, named=True),
                "at": AT + s,
                "obs_lo_at": AT + s // 60 * 60,
                "obs_hi_at": AT + s // 60 * 60 + 60,
                "step": None,
                "tokens": None,
                "loss": None,
                "phase": phase,
                "offset": 1_000_000 + k,
            }
            for k, (s, phase) in enumerate(marks)
        ],
        schema=points.schema,
    )
    return replace(facts, frames={**facts.frames, "points": pl.concat([points, new])})


def _of(facts: Facts) -> Judgement:
    return next(j for j in audit_facts(facts).judgements if j.run.job_id == 7)


def test_a_run_that_ends_in_a_named_evaluation_is_clear() -> None:
    ended = build(replace(HONEST, log=Log(until_s=8000)))

    assert _of(ended).verdict is Verdict.REVIEW
    assert _of(_with_marks(ended, [(8005, "eval"), (10_790, "train")])).verdict is Verdict.CLEAR


def test_work_long_after_a_line_that_says_evaluation_is_asked_about() -> None:
    """The log ends with the result of an evaluation, and the GPUs work on for more than half of the run."""
    ended = build(replace(HONEST, log=Log(until_s=4000)))

    assert _of(_with_marks(ended, [(4100, "eval")])).verdict is Verdict.REVIEW
    assert _of(_with_marks(ended, [(4100, "eval"), (10_790, "end")])).verdict is Verdict.REVIEW


def test_an_evaluation_without_end_leaves_a_note_over_what_is_longer_than_the_training() -> None:
    ended = build(replace(HONEST, log=Log(until_s=4000)))

    told = _of(_with_marks(ended, [(4005, "eval"), (10_790, "train")]))

    assert told.verdict is Verdict.NOTE
    assert told.unexplained.mid_gpu_ms > 2_500_000


def test_a_run_of_which_half_is_an_evaluation_beyond_belief_is_asked_about() -> None:
    """Ten minutes of training, and lines of a test loop once a minute to the end."""
    ended = build(replace(HONEST, log=Log(until_s=600)))
    named = [(float(t), "eval") for t in range(630, 10_790, 60)]

    told = _of(_with_marks(ended, named))
    assert told.verdict is Verdict.REVIEW
    assert "for longer than one is believed to last" in told.findings[0].sentence
    # of half an hour of training an evaluation six times as long is believed
    ended = build(replace(HONEST, log=Log(until_s=1800)))
    assert _of(_with_marks(ended, [m for m in named if m[0] > 1800])).verdict is Verdict.CLEAR


def test_a_tail_within_the_window_of_the_last_step_tells_nothing_of_whose_work_it_was() -> None:
    short = build(replace(HONEST, length_s=120.0, tenants=(replace(TRAIN, from_s=5, until_s=70),),
                          log=Log(step_s=1.0, every=1, from_s=5, until_s=66)))  # fmt: skip

    assert _of(short).verdict is Verdict.CLEAR


def test_time_in_evaluations_is_no_part_of_the_steps_length() -> None:
    """Steps of 1 s, which looks at 1 Hz miss, and 200 s of evaluation between any two records, at one load:
    not a step of 3 s that the GPU denies."""
    rest = tuple((t, t + 200.0) for t in range(220, 10_800, 300))
    flat = replace(TRAIN, period_s=None, share=0.99)
    log = Log(step_s=1.0, every=100, jitter=0.001, pauses=rest)
    facts = build(replace(HONEST, tenants=(flat,), log=log))

    told = _of(_with_marks(facts, [(b, "eval") for _, b in rest]))

    assert told.verdict is Verdict.CLEAR
    assert not [f for f in told.findings if f.check == "no-step-rhythm"]


def test_a_named_phase_takes_no_steps_out_where_the_printed_step_times_leave_it_no_time() -> None:
    arcs = _hour_of_steps()
    named = [(arc.until_at - 1.0, "checkpoint") for arc in arcs[::2]]
    bare = _track(arcs, named)
    full, short, long = (
        replace(bare, marks=(*bare.marks, *(replace(_mark(a.until_at, "train"), took_s=t) for a in arcs)))
        for t in (5.9, 3.0, 12.0)
    )

    assert stepping(bare) == tuple(arcs[1::2])
    assert stepping(short) == stepping(long) == tuple(arcs[1::2])  # an evaluation is in the time of a step
    assert stepping(full) == tuple(arcs)

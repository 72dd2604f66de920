"""One track out of several logs."""

from dataclasses import replace
from random import Random

from slurm_guard.audit.track import Mark, arcs_of, begun_anew, build, read_mark


def _marks(
    n: int, every: float = 10.0, first: float = 100.0, tokens: bool = False, segment: int = 0
) -> list[Mark]:
    return [
        Mark(first + every * k, None, True, 5 * (k + 1), None, 500 * (k + 1) if tokens else None, None,
             "train", segment, ())
        for k in range(n)
    ]  # fmt: skip


def test_marks_that_only_name_the_phase_take_no_unit_away() -> None:
    counted = _marks(20)
    named = [replace(mark, step=None, at=mark.at + 1.0) for mark in counted]

    assert build([("log", [*counted, *named])], None, ()).unit == "step"
    assert build([("log", named)], None, ()).unit is None


def test_two_logs_of_the_same_work_are_not_added() -> None:
    one, both = _marks(50), [("stdout", _marks(50)), ("events", _marks(50))]

    track = build(both, None, ())

    assert track.units == build([("stdout", one)], None, ()).units
    assert track.n_tracks == 1
    assert any("not added" in note for note in track.notes)


def test_logs_one_after_the_other_are_all_counted() -> None:
    track = build([("a", _marks(50)), ("b", _marks(50, first=5000.0))], None, ())

    assert track.units == 2 * build([("a", _marks(50))], None, ()).units


def test_a_restart_loses_nothing_and_gains_nothing() -> None:
    track = build([("a", _marks(20) + _marks(20, first=1000.0, segment=1))], None, ())

    assert sum(a.units for a in track.arcs if a.from_at >= 1000) == 19 * 5
    assert not any(a.from_at < 900 < a.until_at and a.units > 5 for a in track.arcs)


def test_an_evaluation_of_an_older_checkpoint_moves_nothing() -> None:
    marks = _marks(50)
    looks = [replace(m, at=m.at + 1, step=5, phase="eval") for m in marks[20:40]]

    assert build([("log", [*marks, *looks])], None, ()).arcs == build([("log", marks)], None, ()).arcs


def test_the_unit_with_the_steadiest_cost_is_taken() -> None:
    series = [("a", _marks(50, tokens=True))]

    assert build(series, {"tokens": 0.3, "step": 0.1}, ()).unit == "step"
    assert build(series, {"tokens": 0.1, "step": 0.1}, ()).unit == "tokens"


def test_a_time_outside_the_trusted_bracket_is_brought_to_its_end() -> None:
    row: dict[str, object] = {"at": 900.0, "obs_lo_at": 100.0, "obs_hi_at": 160.0, "step": 1,
           "samples": None, "tokens": None, "loss": None, "phase": "train", "segment": 0,
           "flags": []}  # fmt: skip

    late, early = read_mark(row, 120.0), read_mark({**row, "at": -900.0}, 120.0)
    set_forward = read_mark({**row, "at": -900.0}, 120.0, 40.0, late_s=1030.0)

    assert late is not None
    assert late.at == 160.0
    assert early is not None
    assert early.at == -20.0
    assert set_forward is not None
    assert set_forward.at == 130.0


def test_what_records_of_one_instant_gain_is_not_lost() -> None:
    marks = [replace(m, at=100.0 + 60.0 * (k // 6)) for k, m in enumerate(_marks(60))]

    arcs = arcs_of(marks, "step")

    assert (
        sum(a.units for a in arcs) == 60 * 5 - 6 * 5
    )  # when the first look's records were made is not known
    assert sum(a.steps or 0.0 for a in arcs) == 60 * 5 - 6 * 5


def test_units_of_a_segment_are_its_last_less_its_first_in_whatever_order_its_records_come() -> None:
    marks = _marks(60)
    order = Random(3)
    mixed = sorted((replace(m, at=m.at + order.uniform(-90, 90)) for m in marks), key=lambda m: m.at)

    assert sum(a.units for a in arcs_of(mixed, "step")) <= 59 * 5
    assert sum(a.units for a in arcs_of(marks, "step")) == 59 * 5


def test_a_record_without_any_time_is_no_mark() -> None:
    row: dict[str, object] = dict.fromkeys(
        ("at", "obs_lo_at", "obs_hi_at", "step", "samples", "tokens", "loss")
    )

    assert read_mark({**row, "phase": "train", "segment": 0, "flags": None}, 1.0) is None
    assert read_mark({**row, "at": float("nan"), "phase": "train", "segment": 0, "flags": None}, 1.0) is None


def test_a_counter_that_falls_to_zero_begins_anew() -> None:
    track = build([("a", _marks(20) + _marks(20, first=1000.0, segment=1))], None, ())

    (begin,) = begun_anew(track.arcs)

    assert 985.0 < begin <= 1000.0


def test_a_counter_that_falls_back_to_a_checkpoint_goes_on() -> None:
    again = [replace(m, step=(m.step or 0) + 60, at=m.at + 1000.0, segment=1) for m in _marks(20)]

    assert begun_anew(build([("a", _marks(20) + again)], None, ()).arcs) == []


def test_the_time_between_two_jobs_of_one_log_is_no_records() -> None:
    marks = _marks(20)
    later = [replace(m, step=(m.step or 0) + 100, at=m.at + 36_000.0) for m in marks]

    track = build([("log", marks + later)], None, (), since_at=36_000.0)

    alone = build([("log", later)], None, (), since_at=36_000.0)
    assert tuple(a for a in track.arcs if a.until_at > 36_000) == alone.arcs
    assert not any(a.from_at < 36_000 < a.until_at for a in track.arcs)
    assert track.n_points == 40
    assert build([("log", marks + later)], None, ()).arcs != track.arcs  # nor is it asked of one job


def test_records_that_were_seen_to_come_are_the_jobs_own_whatever_their_clock_says() -> None:
    seen = [replace(m, low_at=m.at + 50_000.0) for m in _marks(20)]

    assert build([("log", seen)], None, (), since_at=36_000.0) == build([("log", seen)], None, ())


def test_a_log_of_which_all_was_there_before_keeps_its_track() -> None:
    marks = _marks(20)

    assert build([("log", marks)], None, (), since_at=36_000.0) == build([("log", marks)], None, ())


def test_a_counter_that_only_rises_never_began_anew() -> None:
    assert begun_anew(build([("a", _marks(50))], None, ()).arcs) == []
    assert begun_anew(()) == []


def _weak(marks: list[Mark]) -> list[Mark]:
    return [replace(mark, flags=("weak",)) for mark in marks]


def test_names_of_checkpoints_add_nothing_to_a_surer_log() -> None:
    csv, names = _marks(60, every=60.0), _weak(_marks(10, every=3600.0))

    track = build([("csv:m", csv), ("checkpoint:w", names)], None, ())

    assert track.sources == ("csv:m",)
    assert track.units == build([("csv:m", csv)], None, ()).units
    assert track.notes == ("1 more log of the same time, or weaker, was not added.",)


def test_a_surer_log_speaks_before_a_finer_bar() -> None:
    bar = _weak(_marks(150, every=4.0, first=80.0))

    assert build([("tqdm:out", bar), ("jsonl:m", _marks(60))], None, ()).sources == ("jsonl:m",)


def test_an_engines_bars_while_it_starts_are_no_progress_of_its_work() -> None:
    bar, work = _weak(_marks(67, every=0.3)), _marks(500, first=130.0)

    assert build([("tqdm:out", bar), ("jsonl:m", work)], None, ()) == replace(
        build([("jsonl:m", work)], None, ()),
        n_points=567,
        notes=("1 more log of the same time, or weaker, was not added.",),
    )


def test_a_bar_of_the_work_outlasts_the_log_of_its_preparation() -> None:
    prepared, bar = _marks(20), _weak(_marks(20, first=400.0))

    track = build([("keyvalue:prepare", prepared), ("tqdm:out", bar)], None, ())

    assert track.sources == ("keyvalue:prepare", "tqdm:out")
    assert track.arcs[-1].until_at == bar[-1].at


def test_a_bar_that_goes_on_after_the_last_whole_epoch_is_heard() -> None:
    epochs, bar = _marks(3, every=3600.0, first=3600.0), _weak(_marks(1500))

    track = build([("csv:results", epochs), ("tqdm:out", bar)], None, ())

    assert track.arcs[-1].until_at == bar[-1].at


def test_a_run_of_weak_logs_only_keeps_them() -> None:
    bar, stray = _weak(_marks(50)), _marks(2, first=4000.0)

    assert build([("tqdm:out", bar)], None, ()).units == build([("log", _marks(50))], None, ()).units
    assert build([("tqdm:out", bar), ("keyvalue:x", stray)], None, ()).units >= 49 * 5
    assert build([("checkpoint:w", _weak(_marks(9)))], None, ()).units > 0

"""What of a log repeats what had been made: in one run, over requeues, chains and nights."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from slurm_guard.audit.redone import Repeats, find_repeats
from slurm_guard.audit.track import Mark, Track, build
from slurm_guard.audit.trainings import Kin, Shelf
from slurm_guard.history import PastGround
from tests.builders import AT, World, run_of

RUN = run_of(World())
STEP_S = 6.0
Stretch = tuple[float, int, int]  # (begins at, first counter, last counter), a record every 5 steps


def _log(*stretches: Stretch, every: int = 5, segment: int = 0) -> list[Mark]:
    """Records of one log; each stretch is a segment and begins `every` behind its first counter."""
    return [
        Mark(AT + at + STEP_S * (step - low), None, True, step, None, None, None, "train", segment + k, ())
        for k, (at, low, high) in enumerate(stretches)
        for step in range(low + every, high + 1, every)
    ]


def _track(**logs: list[Mark]) -> Track:
    return build(list(logs.items()), None, ())


def _kin(shelf: Shelf | None = None, job_id: int = 7, line: str | None = None, start: int = 0) -> Kin:
    run = replace(RUN, id=f"c/{job_id}/{start}", job_id=job_id)
    return Kin(run, line, (0.0, 1.0), shelf or Shelf())


def _repeats(track: Track, kin: Kin | None = None) -> Repeats:
    found = find_repeats(track, kin or _kin())
    assert found is not None
    return found


def _sums(track: Track, kin: Kin | None = None) -> tuple[float, float, float, float]:
    """(gross, redone, of that by earlier runs, perhaps)."""
    found = _repeats(track, kin)
    return track.units, sum(found.redone), sum(found.earlier), sum(found.perhaps)


def test_a_run_without_a_restart_repeats_nothing() -> None:
    assert _sums(_track(log=_log((0, 0, 1000)))) == (1000, 0, 0, 0)


def test_what_lies_below_the_mark_of_a_resume_is_redone() -> None:
    """0 -> 1000, resume at 800 -> 1500. From its first record on, as the gross units."""
    track = _track(log=_log((0, 0, 1000), (7000, 800, 1500)))

    assert _sums(track) == (1000 + 695, 195, 0, 0)
    assert len(_repeats(track).resumed_at) == 1


def test_three_crashes_repeat_three_times_and_not_more() -> None:
    track = _track(log=_log((0, 0, 1000), (7000, 900, 1000), (8000, 900, 1000), (9000, 900, 2000)))

    gross, redone, _, _ = _sums(track)

    assert redone == 3 * 95
    assert gross - redone == 2000
    assert len(_repeats(track).resumed_at) == 3


def test_a_counter_that_falls_to_its_first_value_counts_as_new_and_is_told_beside() -> None:
    track = _track(log=_log((0, 0, 500), (4000, 0, 300), (8000, 0, 700)))
    found = _repeats(track)

    assert sum(found.redone) == 0
    assert sum(found.perhaps) == pytest.approx(295 + 295)  # each on the ground of the training before
    assert (len(found.resumed_at), len(found.begun_at)) == (0, 2)


def test_a_resume_goes_on_with_the_latest_training_of_its_log() -> None:
    track = _track(log=_log((0, 0, 1000), (7000, 0, 500), (11_000, 400, 600)))
    found = _repeats(track)

    assert sum(found.redone) == 95
    assert len(found.grounds) == 2


def test_another_log_goes_on_with_the_one_training_that_had_passed_its_counter() -> None:
    track = _track(a=_log((0, 0, 1000)), b=_log((7000, 800, 1500)))

    assert _sums(track) == (1700, 200, 0, 0)  # a file's first record opens: from where it went on


def test_where_two_trainings_had_passed_the_counter_nobody_can_tell() -> None:
    """Two trainings, each in its own log; a third log goes on with one of them."""
    track = _track(a=_log((0, 0, 1000)), b=_log((7000, 0, 1000)), c=_log((14_000, 800, 1500)))
    found = _repeats(track)

    assert sum(found.redone) == 0
    assert (len(found.resumed_at), len(found.untold_at)) == (0, 1)


def test_a_fall_below_all_that_was_seen_is_new_up_to_where_the_log_began() -> None:
    """A run that goes on at 5000 with a job nobody knows, and falls back to 3000."""
    track = _track(log=_log((0, 5000, 6000), (7000, 3000, 6500)))
    found = _repeats(track)

    assert sum(found.redone) == 1000
    assert len(found.untold_at) == 1


def test_files_of_one_training_are_one_log() -> None:
    """Event files of one folder bear one track's name; a sweep beside them changes nothing."""
    one, two = "tfevents:/run/e.1 (tfevents:run~ab12)", "tfevents:/run/e.2 (tfevents:run~ab12)"
    track = build(
        [(one, _log((0, 0, 1000))), ("kv:sweep", _log((7000, 0, 1000))), (two, _log((14_000, 800, 1500)))],
        None,
        (),
    )

    assert sum(_repeats(track).redone) == 200


def test_records_of_several_writers_tell_nothing() -> None:
    marks = _log(*[(1000.0 * k, 0, 100) for k in range(9)])
    said = ("/a/out.log: many-writers: its counter falls 8 times",)

    assert find_repeats(build([("keyvalue:/a/out.log", marks)], None, said), _kin()) is None
    assert find_repeats(build([("keyvalue:/b/train.log", marks)], None, said), _kin()) is not None


def test_evaluations_do_not_count() -> None:
    marks = _log((0, 0, 1000))
    looks = [replace(m, at=m.at + 1, step=100, phase="eval") for m in marks[40:60]]

    assert _sums(_track(log=[*marks, *looks])) == (1000, 0, 0, 0)


# --- Over several jobs


def _shelf(*parts: tuple[Kin, Track]) -> Shelf:
    """Earlier runs, in order."""
    shelf = Shelf()
    for kin, track in parts:
        shelf.add(_repeats(track, replace(kin, shelf=shelf)).grounds)
    return shelf


def test_a_requeued_job_repeats_what_its_run_before_had_made() -> None:
    shelf = _shelf((_kin(start=0), _track(out=_log((0, 0, 1000)))))

    sums = _sums(_track(out=_log((7000, 800, 1500))), _kin(shelf, start=7000))

    assert sums == (700, 200, 200, 0)


def test_a_requeued_job_that_begins_again_at_the_first_step_is_not_told_to_repeat() -> None:
    shelf = _shelf((_kin(start=0), _track(out=_log((0, 0, 1000)))))

    assert _sums(_track(out=_log((7000, 0, 1500))), _kin(shelf, start=7000)) == (1500, 0, 0, 1000)


def test_a_chain_goes_on_over_three_jobs_with_logs_of_their_own() -> None:
    jobs = [(7, (0, 0, 1000)), (8, (7000, 900, 2000)), (9, (14_000, 800, 2500))]
    shelf = _shelf(*((_kin(job_id=j, line="l"), _track(**{f"out-{j}": _log(s)})) for j, s in jobs[:2]))

    found = _repeats(_track(out_9=_log(jobs[2][1])), _kin(shelf, 9, "l"))

    assert sum(found.redone) == sum(found.earlier) == 1200
    assert [(g.chain, g.low, g.high) for g in found.grounds] == [("c/7/0#0", 0, 2500)]


def test_of_two_seeds_of_one_line_none_is_taken() -> None:
    shelf = _shelf(*((_kin(job_id=j, line="l"), _track(**{f"out-{j}": _log((0, 0, 1000))})) for j in (7, 8)))
    found = _repeats(_track(out=_log((7000, 800, 1500))), _kin(shelf, 9, "l"))

    assert (sum(found.redone), len(found.untold_at)) == (0, 1)


def test_the_same_log_tells_two_seeds_apart() -> None:
    """Each seed appends to a file of its own."""
    logs = {7: "seed-1.csv", 8: "seed-2.csv"}
    highs = {7: 1000, 8: 900}
    shelf = _shelf(
        *((_kin(job_id=j, line="l"), build([(logs[j], _log((0, 0, highs[j])))], None, ())) for j in logs)
    )

    assert _sums(build([(logs[8], _log((7000, 800, 1500)))], None, ()), _kin(shelf, 9, "l"))[1] == 100


@pytest.mark.parametrize(
    ("what", "value"), [("uid", 1001), ("unit", "tokens"), ("last_at", AT + 99_999.0), ("uid", None)]
)
def test_another_user_another_unit_and_a_training_that_goes_on_are_no_earlier_run(
    what: str, value: object
) -> None:
    ground = _repeats(_track(out=_log((0, 0, 1000)))).grounds[0]
    shelf = Shelf()
    shelf.add([replace(ground, **{what: value})])  # type: ignore[arg-type]

    found = _repeats(_track(out=_log((7000, 800, 1500))), _kin(shelf, start=7000))

    assert (sum(found.redone), len(found.untold_at)) == (0, 1)


def test_a_run_is_not_its_own_earlier_run() -> None:
    ground = _repeats(_track(out=_log((0, 0, 1000)))).grounds[0]
    shelf = Shelf()
    shelf.add([ground])

    assert sum(_repeats(_track(out=_log((7000, 800, 1500))), _kin(shelf)).redone) == 0


def _grounds(shelf: Sequence[PastGround]) -> list[tuple[float, float]]:
    return [(g.low, g.high) for g in shelf]


def test_a_run_leaves_the_ground_of_each_of_its_trainings() -> None:
    assert _grounds(_repeats(_track(log=_log((0, 0, 500), (4000, 0, 300)))).grounds) == [(0, 500), (5, 300)]

"""Losses of another run: what is told of a log that is printed again, what is not, and who is left out."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import polars as pl
import pytest

from slurm_guard.audit import replays
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import SPEAKS
from slurm_guard.audit.checks import losses_seen_before
from slurm_guard.audit.facts import Facts, split
from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.night import case_of, measure
from slurm_guard.audit.replays import MOST_ALIKE, Seen, Spans, find_traces
from slurm_guard.audit.run import audit_and_remember, audit_facts
from slurm_guard.audit.traces import Heard
from slurm_guard.audit.track import Mark
from slurm_guard.audit.whole import whole_of
from slurm_guard.history import PastTrace
from slurm_guard.lake.history import frame_of
from slurm_guard.model import Judgement, Run, Verdict
from tests.builders import AT, UID, Log, World, build, run_of
from tests.shapes import HONEST, SHAPES, as_traces, facts_of, traces_of
from tests.unit.audit.test_traces import curve

WINDOW = (AT - 60, AT + 86_400.0)
PRINT = Fingerprint("s", "c", "h100", 1, 1, "kv", "step", "r")
OTHER = 2001


def _run(job_id: int, uid: int = UID) -> Run:
    return run_of(World(), job_id, uid)


def _heard(i: int, losses: list[float], from_s: float = 0.0, pace_s: float = 10.0) -> Heard:
    def mark(k: int, loss: float) -> Mark:
        at = AT + from_s + pace_s * k
        return Mark(at, at, True, k, None, None, loss, "train", 0, (), None, at - 30.0)

    return Heard(i, f"log{i}", tuple(losses), tuple(mark(k, x) for k, x in enumerate(losses)))


def _past(losses: list[float], job_id: int = 6, uid: int = OTHER, night: int = 1) -> list[PastTrace]:
    """What an audit left of a run of these losses some nights before."""
    (rows,) = find_traces([_run(job_id, uid)], [_heard(0, losses)], WINDOW, ([PRINT], {}), None).rows.values()
    before_s = 86_400.0 * night
    return [
        replace(r, run=f"c/{job_id}/{night}", from_at=r.from_at - before_s, until_at=r.until_at - before_s)
        for r in rows
    ]


def _seen(
    losses: list[float], past: list[PastTrace], again: Spans = (), run: Run | None = None
) -> Seen | None:
    """What is told of a log beside rows of earlier nights."""
    known = ([PRINT], {0: again})
    rows = frame_of("traces", past)
    return find_traces([run or _run(7)], [_heard(0, losses)], WINDOW, known, rows).seen.get(0)


OLD = curve(2000, 1)
NEW = curve(2000, 2)


def _noisy(losses: list[float]) -> list[float]:
    """One digit of the fourth, in one of sixteen losses."""
    return [x * 1.001 if k % 16 == 0 else x for k, x in enumerate(losses)]


_TOLD: dict[str, tuple[Callable[[], list[float]], int, int]] = {
    "whole": (lambda: OLD, 1950, 2000),
    "six digits": (lambda: [float(f"{x:.6g}") for x in OLD], 1900, 2000),
    "five digits": (lambda: [float(f"{x:.5g}") for x in OLD], 1700, 2000),
    "four decimals": (lambda: [round(x, 4) for x in OLD], 1700, 2000),
    "other numbers first": (lambda: NEW[:777] + OLD, 1950, 2000),
    "cut at both ends": (lambda: OLD[313:1711], 1290, 1398),
    "every second": (lambda: OLD[::2], 880, 1000),
    "every second, from the next on": (lambda: OLD[1::2], 880, 1000),
    "its middle in another log": (lambda: NEW[:900] + OLD[700:1300] + NEW[1500:], 500, 600),
    "with a tenth of noise": (lambda: [*OLD[:900], *_noisy(OLD[900:1100]), *OLD[1100:]], 1900, 2000),
}


@pytest.mark.parametrize("name", _TOLD)
def test_a_log_printed_again_is_told_however_it_is_cut(name: str) -> None:
    make, least, most = _TOLD[name]

    found = _seen(make(), _past(OLD))

    assert found is not None
    assert (found.run, found.uid, found.of) == ("c/6/1", OTHER, len(make()))
    assert least <= found.n <= most


_NOT_TOLD: dict[str, Callable[[], list[float]]] = {
    "another seed": lambda: NEW,
    "noise in one of sixteen": lambda: _noisy(OLD),
    "every third": lambda: OLD[::3],
    "backwards": lambda: OLD[::-1],
    "shuffled": lambda: random.Random(4).sample(OLD, len(OLD)),
    "a fiftieth of it": lambda: NEW[:900] + OLD[900:940] + NEW[940:],
}


@pytest.mark.parametrize("name", _NOT_TOLD)
def test_what_is_not_told_is_what_the_check_says_it_does_not_tell(name: str) -> None:
    assert _seen(_NOT_TOLD[name](), _past(OLD)) is None


def test_the_check_says_that_noise_and_every_third_record_escape_it() -> None:
    said = losses_seen_before.CHECK.does_not_detect

    assert "one of every sixteen losses" in said
    assert "every third record" in said


# --- Whose


def test_the_same_job_requeued_and_the_run_itself_on_another_night_are_left_out() -> None:
    run = _run(7)
    itself = [replace(row, run=run.id, job_id=8) for row in _past(OLD, 7, UID)]

    assert _seen(OLD, _past(OLD, 7, UID)) is None
    assert _seen(OLD, itself) is None


@pytest.mark.parametrize(("uid", "told"), [(UID, 1000), (OTHER, 2000)])
def test_what_was_made_again_after_a_restart_is_left_out_beside_runs_of_the_same_user(
    uid: int, told: int
) -> None:
    found = _seen(OLD, _past(OLD, 6, uid), again=[(AT - 1, AT + 10.0 * 999)])

    assert found is not None
    assert told - 60 <= found.n <= told


def test_the_first_run_that_logged_them_is_named_and_the_others_counted() -> None:
    rows = [*_past(OLD, 6, OTHER, night=2), *_past(OLD, 8, UID, night=1), *_past(NEW, 9, 2002)]

    found = _seen(OLD, rows)

    assert found is not None
    assert (found.run, found.uid, found.n_runs, found.n_users) == ("c/6/2", OTHER, 2, 1)
    assert not found.is_same_user


def test_hundreds_of_runs_with_the_same_losses_hide_no_other_user_and_cost_no_more() -> None:
    """A nightly test: 300 runs of the same user before, one of somebody else."""
    one = _past(OLD, 100, UID)[0]
    own = [replace(one, job_id=100 + k, run=f"c/{100 + k}/1") for k in range(300)]
    other = replace(one, job_id=99, run="c/99/1", uid=OTHER, from_at=one.from_at + 1)

    found = _seen(OLD, [*own, other])

    assert found is not None
    assert found.n_runs == MOST_ALIKE
    assert found.n_users == 1


def _tonight(*logs: Heard, runs: list[Run]) -> dict[int, Seen]:
    return dict(find_traces(runs, list(logs), WINDOW, ([PRINT] * len(runs), {}), None).seen)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(("later_s", "sure"), [(45.0, False), (400.0, True)])
def test_of_two_runs_of_one_night_the_later_one_is_told(first: int, later_s: float, sure: bool) -> None:
    logs = [_heard(i, OLD, from_s=0.0 if i == first else later_s) for i in (0, 1)]
    runs = [_run(6), _run(7)]

    found = _tonight(*logs, runs=runs)

    assert list(found) == [1 - first]
    one = found[1 - first]
    assert (one.run, one.night_at, one.is_later) == (runs[first].id, None, sure)


def test_stamps_within_a_look_do_not_make_the_first_one_the_copy() -> None:
    """Who prints another's log as it comes can claim any time within the look, and no other."""
    first, copy = _heard(0, OLD), _heard(1, OLD, from_s=20.0)
    early = tuple(replace(mark, at=mark.at - 30.0) for mark in copy.marks)

    found = _tonight(first, replace(copy, marks=early), runs=[_run(6), _run(7)])

    assert list(found) == [1]


def test_a_copy_that_was_audited_first_does_not_turn_on_the_run_that_it_was_taken_from() -> None:
    """A run of two nights whose log another user printed in the first: all lies before that night's end."""
    row = _past(OLD)[0]
    long = replace(_heard(0, [*OLD, *NEW[:500]]), i=0)
    end_at = long.marks[1999].at + 1.0
    rows = frame_of("traces", [replace(row, until_at=end_at)])

    assert find_traces([_run(7)], [long], WINDOW, ([PRINT], {}), rows).seen == {}


def test_several_logs_of_one_run_are_no_replay_of_each_other() -> None:
    logs = [_heard(0, OLD), replace(_heard(0, OLD, 5.0), log="b"), replace(_heard(0, OLD[::2]), log="c")]

    assert _tonight(*logs, runs=[_run(7)]) == {}


def test_the_order_of_runs_and_of_rows_changes_nothing() -> None:
    rows = [*_past(OLD, 6), *_past(OLD, 8, 2002, night=2), *_past(NEW, 9)]
    logs = [_heard(0, OLD), _heard(1, NEW, 9.0), _heard(2, OLD[100:], 3.0)]
    runs = [_run(20), _run(21), _run(22)]
    one = find_traces(runs, logs, WINDOW, ([PRINT] * 3, {}), frame_of("traces", rows))

    turned = [replace(log, i=2 - log.i) for log in logs[::-1]]
    mixed = frame_of("traces", rows[::-1])
    other = find_traces(runs[::-1], turned, WINDOW, ([PRINT] * 3, {}), mixed)

    assert {runs[i].id: seen for i, seen in one.seen.items()} == {
        runs[2 - i].id: seen for i, seen in other.seen.items()
    }
    assert len(one.seen) == 3


@pytest.mark.parametrize("text", ["", "- - -", "zz", "0123456789abcdef" * 3, "0123456789abcdeg", "é" * 8])
def test_a_row_that_holds_anything_is_no_error(text: str) -> None:
    row = replace(_past(OLD)[0], prints=text)

    assert _seen(OLD, [row, replace(row, n=-5), replace(row, n=0)]) is None


def test_runs_without_losses_and_an_empty_store_are_no_error() -> None:
    assert find_traces([], [], WINDOW, ([], {}), None).seen == {}
    assert find_traces([_run(7)], [], WINDOW, ([PRINT], {}), frame_of("traces", _past(OLD))).seen == {}
    assert find_traces([_run(7)], [_heard(0, OLD)], WINDOW, ([PRINT], {}), frame_of("traces", [])).seen == {}


# --- What is said of it


def _seven(facts: Facts) -> Judgement:
    return next(j for j in audit_facts(facts).judgements if j.run.job_id == 7)


@cache
def _case() -> Case:
    facts = facts_of("printed-again")
    runs, _ = split(facts.runs)
    (i,) = (i for i, run in enumerate(runs) if run.job_id == 7)
    night, told = measure(runs, facts)
    return case_of(i, runs[i], night, (whole_of(runs, facts, told), facts))


def _weight(**parts: Any) -> float:
    case = _case()
    assert case.seen is not None
    seen = replace(case.seen, **parts)
    (finding,) = losses_seen_before.find(replace(case, seen=seen), losses_seen_before.CHECK.params)
    return finding.weight


def test_few_losses_or_a_small_part_of_a_log_are_not_mentioned() -> None:
    case, check = _case(), losses_seen_before.CHECK
    assert case.seen is not None
    few, part = (replace(case.seen, n=n, of=of) for n, of in ((31, 64), (199, 1000)))

    assert check.find(replace(case, seen=few), check.params) == []
    assert check.find(replace(case, seen=part), check.params) == []
    assert check.find(replace(case, seen=replace(part, n=200)), check.params) != []


def test_what_the_same_program_would_print_is_context_and_no_witness() -> None:
    same = _weight(is_same_program=True, is_same_model=True)
    unknown = _weight(is_same_program=None)
    own = _weight(is_same_user=True, uid=UID, is_same_program=False, is_same_model=False)
    nobody = _weight(uid=None, is_same_program=False)
    course = _weight(is_same_program=False, n_users=2)
    unsure = _weight(is_same_program=False, is_later=False)
    elsewhere = _weight(is_same_program=True, is_same_model=False)

    assert max(same, unknown, own, nobody, course, unsure, elsewhere) < SPEAKS
    assert same == 0.0 < own < elsewhere  # the same command line once more is nothing to note


def test_another_users_losses_from_another_program_weigh_more() -> None:
    assert SPEAKS < _weight(n_users=1, is_same_program=False) <= 2.0


def test_a_run_repeated_by_its_user_stays_clear_and_the_repetition_is_told() -> None:
    judgement = _seven(facts_of("repeated"))

    assert judgement.verdict is Verdict.CLEAR
    (found,) = (f for f in judgement.findings if f.check == "losses-seen-before")
    assert found.weight == 0.0
    assert "a program that runs once more with the same seed may print the same" in found.sentence


def test_another_users_losses_alone_are_never_more_than_a_note() -> None:
    judgement = _seven(facts_of("printed-again"))

    assert judgement.verdict is Verdict.NOTE
    assert judgement.findings[0].check == "losses-seen-before"


def test_families_add_up_where_the_gpu_or_the_clock_denies_the_log_as_well() -> None:
    """A log of another day over flat work: REVIEW by itself; whose it is adds to the score."""
    log = replace(SHAPES["replayed-days-later"].log or Log(), loss_seed=9)
    alone = build(replace(SHAPES["replayed-days-later"], log=log))
    told = replace(alone, traces=as_traces(traces_of("seeded", OTHER)))

    one, other = _seven(alone), _seven(told)

    assert one.verdict is Verdict.REVIEW
    assert other.score >= one.score
    assert "losses-seen-before" in [f.check for f in other.findings]


def test_a_replay_is_seen_by_the_next_night_and_leaves_its_own_trace() -> None:
    rows: list[PastTrace] = []
    audit_and_remember(build(HONEST), None, None, rows.append)

    assert [(row.job_id, row.uid, row.n) for row in rows] == [(7, UID, 355)]
    assert rows[0].prints.count(" ") == 63
    assert rows[0].recipe is not None


def test_twice_the_same_points_leave_the_same_trace_and_document() -> None:
    facts = facts_of("repeated")
    points = facts.frames["points"]
    mixed = pl.concat([points, points]).sample(fraction=1.0, shuffle=True, seed=3)

    assert audit_facts(replace(facts, frames={**facts.frames, "points": mixed})) == audit_facts(facts)


def test_a_comparison_that_fails_costs_no_run_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(replays, "find_traces", fail)
    audit = audit_facts(facts_of("repeated"))

    assert [j.verdict for j in audit.judgements] == [Verdict.CLEAR]
    assert [(s.reason, s.detail) for s in audit.skips] == [("check-failed", "ValueError: no")]

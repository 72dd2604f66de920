"""A night with a job that is requeued and goes on from a checkpoint: what was made twice, what it took."""

import csv
import io
import itertools
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.audit import whole
from slurm_guard.audit.facts import Facts, Grounds
from slurm_guard.audit.run import audit_and_remember, audit_facts
from slurm_guard.document import from_json, to_json
from slurm_guard.history import PastGround
from slurm_guard.lake.history import Reach, frame_of, read_before, snapshot, write_night
from slurm_guard.model import Audit, Judgement, Redone, Run
from slurm_guard.report.formats import render_csv
from slurm_guard.report.page import Options, build_page, only_job
from slurm_guard.report.text import ALL, Style, render_text
from tests.builders import AT, Log, Tenant, World, build, key
from tests.shapes import facts_of

HOUR = 3600.0
STEP_S = 6.0
WORK = Tenant("train", 10, 1e9)
FIRST = World(length_s=HOUR, tenants=(WORK,), log=Log())
LATER_S = HOUR + 300.0


def _moved(facts: Facts, by_s: float, job_id: int) -> Facts:
    """The same night later, as another run of a job."""
    (run,) = facts.runs
    at = AT + by_s
    moved = replace(
        run, id=f"c/{job_id}/{int(at)}", job_id=job_id, job=str(job_id), submit_at=at - 60, start_at=at,
        end_at=(run.end_at or 0.0) + by_s, from_at=run.from_at + by_s, until_at=run.until_at + by_s,
    )  # fmt: skip
    old, new = key(7), key(job_id, at)
    frames = {}
    for name, frame in facts.frames.items():
        times = [c for c in frame.columns if c.split("_")[-1] == "at" and frame.schema[c] == pl.Float64]
        names = [pl.col(c).replace(old, new) for c in frame.columns if c in ("run", "window_run")]
        jobs = [pl.lit(job_id, pl.Int64).alias(c) for c in frame.columns if c == "job_id"]
        frames[name] = frame.with_columns(*(pl.col(c) + by_s for c in times), *names, *jobs)
    return replace(facts, runs=(moved,), frames=frames, until_at=facts.until_at + by_s)


def _resumed(at_step: int, job_id: int = 7) -> Facts:
    world = replace(FIRST, log=replace(FIRST.log or Log(), goes_on=(at_step,)), seed=2)
    return _moved(build(world), LATER_S, job_id)


def _together(one: Facts, other: Facts) -> Facts:
    frames = {name: pl.concat([one.frames[name], other.frames[name]]) for name in one.frames}
    return replace(one, runs=(*one.runs, *other.runs), frames=frames, until_at=other.until_at)


def _by_start(audit: Audit) -> list[Judgement]:
    return sorted(audit.judgements, key=lambda j: j.run.start_at)


def _redone(judgement: Judgement) -> Redone:
    found = judgement.progress.redone
    assert found is not None
    return found


@cache
def _first_high() -> int:
    """How far the first run comes."""
    return max(int(step) for step in build(FIRST).frames["points"]["step"])


@cache
def _requeued(back: int = 200, job_id: int = 7) -> Audit:
    return audit_facts(_together(build(FIRST), _resumed(_first_high() - back, job_id)))


def test_a_requeued_job_repeats_the_steps_behind_its_checkpoint() -> None:
    first, second = _by_start(_requeued())
    told = _redone(second)

    assert _redone(first).redone_units == 0
    assert told.redone_units == told.earlier_units == pytest.approx(200, abs=1)
    assert told.net_units + told.redone_units == pytest.approx(second.progress.units)
    assert (told.n_resumes, told.n_begun_anew, told.n_untold) == (1, 0, 0)


def test_redone_work_is_the_part_of_progress_that_its_steps_took() -> None:
    """200 steps of 6 s in which the process has 0.9 of one GPU."""
    told = _redone(_by_start(_requeued())[1])

    assert told.gpu_ms == told.earlier_gpu_ms == pytest.approx(200 * STEP_S * 0.9 * 1000, rel=0.05)


@pytest.mark.parametrize(("name", "told"), [("train", 200), ("another", 0)])
def test_a_job_with_a_log_of_its_own_goes_on_by_its_name_folder_and_command_line(
    name: str, told: int
) -> None:
    second = _resumed(_first_high() - 200, 8)
    logs = second.frames["logs"].with_columns(pl.lit("/home/ann/train-8.log").alias("path"))
    second = replace(
        second, runs=(replace(second.runs[0], name=name),), frames={**second.frames, "logs": logs}
    )

    found = _redone(_by_start(audit_facts(_together(build(FIRST), second)))[1])

    assert found.earlier_units == found.redone_units == pytest.approx(told, abs=1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_redone_work_agrees_with_a_look_at_each_window_and_each_pair_of_records(seed: int) -> None:
    """Naive: the counter between two records as a straight line; of each window's work, the part in which it
    stood below the highest one before. A slot lies across each edge at most."""
    log = Log(restarts=(2000.0, 4500.0), goes_on=(0, 200, 100), every=3)
    facts = build(World(tenants=(replace(WORK, share=0.7),), log=log, seed=seed))
    points = facts.frames["points"].sort("at").select("at", "step", "segment").rows()
    windows = facts.frames["windows"].filter(pl.col("run").is_not_null())
    naive, high, before = 0.0, 0, 0
    for (a, low, one), (b, step, other) in itertools.pairwise(points):
        if one != other:
            before = high
            continue
        share = max(0, min(step, before) - low) / (step - low)
        high = max(high, step)
        for start, end, busy in windows.select("start_at", "end_at", "busy_ms").rows():
            naive += share * busy * max(0.0, min(b, end) - max(a, start)) / (end - start)

    judgement = audit_facts(facts).judgements[0]
    told = _redone(judgement)

    assert told.n_resumes == 2
    assert naive > 500_000
    assert abs(told.gpu_ms - naive) <= 0.02 * naive + 2 * told.n_resumes * 60_000 * 0.7 * 0.5


def test_what_was_redone_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _requeued()
    monkeypatch.setattr(whole, "repeats_of", lambda runs, *_: dict.fromkeys(range(len(runs))))
    untold = audit_facts(_together(build(FIRST), _resumed(_first_high() - 200)))

    def without(audit: Audit) -> list[Judgement]:
        return [replace(j, progress=replace(j.progress, redone=None)) for j in audit.judgements]

    assert [j.progress.redone for j in untold.judgements] == [None, None]
    assert without(told) == without(untold)


def test_three_crashes_in_one_job_are_no_more_than_an_amount() -> None:
    log = Log(restarts=(2000.0, 3000.0, 4000.0), goes_on=(0, 250, 250, 250))
    crashed = audit_facts(build(World(tenants=(WORK,), log=log))).judgements[0]
    smooth = audit_facts(build(World(tenants=(WORK,), log=Log()))).judgements[0]
    told = _redone(crashed)

    assert told.n_resumes == 3
    assert 0 < told.redone_units < 0.3 * (crashed.progress.units or 0)
    assert told.earlier_units == 0
    assert (crashed.verdict, crashed.classes) == (smooth.verdict, smooth.classes)
    assert 0 < told.gpu_ms < crashed.ledger_gpu_ms["progress"]


def test_a_sweep_is_not_said_to_repeat() -> None:
    sweep = World(tenants=(WORK,), log=Log(restarts=(3600.0, 7200.0)))
    told = _redone(audit_facts(build(sweep)).judgements[0])

    assert (told.redone_units, told.gpu_ms, told.n_resumes) == (0, 0, 0)
    assert told.n_begun_anew == 2
    assert told.perhaps_units > 500


def test_a_run_over_two_nights_repeats_in_the_night_in_which_it_did() -> None:
    """The resume comes in the first half: the second night's part of the run has none of it."""
    facts = build(World(tenants=(WORK,), log=Log(restarts=(3000.0,), goes_on=(0, 300))))
    middle = AT + 5400.0

    def judged(run: Run) -> Judgement:
        window = {"from_at": run.from_at, "until_at": run.until_at}
        return audit_facts(replace(facts, runs=(run,), **window)).judgements[0]  # type: ignore[arg-type]

    (run,) = facts.runs
    whole, one, two = (judged(r) for r in (run, replace(run, until_at=middle), replace(run, from_at=middle)))

    assert _redone(whole).redone_units == _redone(one).redone_units > 100
    assert (_redone(two).redone_units, _redone(two).n_resumes) == (0, 0)


@pytest.mark.parametrize("shape", ["honest", "sweep", "late-diversion", "decoupled", "no-data", "parked"])
def test_gross_is_new_and_redone_in_every_document(shape: str) -> None:
    for judgement in audit_facts(facts_of(shape)).judgements:
        told = judgement.progress.redone
        assert (told is None) == (judgement.progress.units is None)
        if told is not None:
            assert told.net_units + told.redone_units == pytest.approx(judgement.progress.units, abs=1e-6)
            assert 0 <= told.earlier_units <= told.redone_units
            assert 0 <= told.perhaps_units <= told.net_units
            assert 0 <= told.earlier_gpu_ms <= told.gpu_ms <= judgement.ledger_gpu_ms["progress"]


# --- Over nights


def _as_known(rows: list[PastGround]) -> Grounds:
    found = snapshot("grounds", frame_of("grounds", rows))
    return Grounds(found.frame, found.sha256, found.n_nights)


def _left_by(facts: Facts) -> list[PastGround]:
    rows: list[PastGround] = []
    audit_and_remember(facts, None, rows.append)
    return rows


@pytest.mark.parametrize("job_id", [7, 8])
def test_a_chain_over_two_nights_tells_what_one_night_tells(job_id: int, tmp_path: Path) -> None:
    """The same job requeued, and another job with the same log."""
    reach = Reach(30.0, 1000)
    write_night(tmp_path, "grounds", ("c", AT - 60, AT + HOUR), _left_by(build(FIRST)), reach)
    kept, skips = read_before(tmp_path, "grounds", "c", AT + LATER_S, reach)
    second = replace(
        _resumed(_first_high() - 200, job_id), grounds=Grounds(kept.frame, kept.sha256, kept.n_nights)
    )

    told = _redone(audit_facts(second).judgements[0])

    assert skips == ()
    assert told == _redone(_by_start(_requeued(200, job_id))[1])
    assert told.earlier_units > 0


def test_the_order_of_rows_changes_nothing() -> None:
    facts = _together(build(FIRST), _resumed(_first_high() - 200))
    mixed = {name: frame.sample(fraction=1.0, shuffle=True, seed=5) for name, frame in facts.frames.items()}
    twice = {name: pl.concat([f, f]) if name == "points" else f for name, f in mixed.items()}

    assert to_json(audit_facts(replace(facts, frames=twice, runs=facts.runs[::-1]))) == to_json(_requeued())


def test_rows_of_other_runs_in_any_number_change_nothing() -> None:
    (row,) = _left_by(build(FIRST))
    strangers = [replace(row, run=f"c/{k}/1", uid=2000 + k, chain=f"c/{k}/1#0") for k in range(50)]
    late = _resumed(_first_high() - 200)

    told = audit_facts(replace(late, grounds=_as_known([*strangers, row]))).judgements[0]

    assert told.progress.redone == _redone(_by_start(_requeued())[1])


# --- What is said of it


def test_the_document_keeps_it_and_one_of_before_reads_without() -> None:
    text = to_json(_requeued())
    again = from_json(text)

    assert again == _requeued()
    assert to_json(again) == text

    older = json.loads(text)
    for judgement in older["judgements"]:
        del judgement["progress"]["redone"]
    assert [j.progress.redone for j in from_json(json.dumps(older)).judgements] == [None, None]


def test_card_page_and_table_tell_what_was_redone_and_accuse_nobody() -> None:
    audit = only_job(_requeued(), "7")
    page = build_page(audit, Options(scope="job 7"))
    text = " ".join(render_text(page, Style(100, cards=ALL)).split())
    rows = list(csv.DictReader(io.StringIO(render_csv(audit))))

    assert "Redone after a restart: 200 of 5" in text
    assert "after 1 restart; an earlier run had made 200 steps of them" in text
    assert any(fact.label == "Redone" for fact in page.about)
    assert {"progress_net_units", "progress_redone_units", "redone_gpu_ms"} <= rows[1].keys()
    assert rows[1]["progress_redone_units"].startswith("200")
    assert not any(word in text.lower() for word in ("wasted", "lost", "abuse", "suspicious"))

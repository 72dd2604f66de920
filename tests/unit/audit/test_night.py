"""From facts to judgements: binding, idle power, bad rows, and what a failing check does."""

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from slurm_guard.audit import bind, judge, registry, run, work
from slurm_guard.audit.case import Case
from slurm_guard.audit.facts import Facts, runs_frame
from slurm_guard.model import Account, Finding, Judgement, Verdict
from tests.builders import AT, NODE, Log, build, frames_of, key, run_of
from tests.shapes import HONEST, SHAPES, facts_of


def _judged(facts: Facts, job_id: int = 7) -> Judgement:
    return next(j for j in run.audit_facts(facts).judgements if j.run.job_id == job_id)


def _with(facts: Facts, table: str, frame: pl.DataFrame) -> Facts:
    return replace(facts, frames={**facts.frames, table: frame})


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [
        ("honest", Verdict.CLEAR),
        ("short-steps", Verdict.CLEAR),
        ("slow-network", Verdict.NOTE),
        ("slow-network-seen", Verdict.NOTE),
        ("hang-seen", Verdict.NOTE),
        ("light-filler", Verdict.REVIEW),
        ("rare-log", Verdict.CLEAR),
        ("rollout", Verdict.CLEAR),
        ("whole-seconds", Verdict.CLEAR),
        ("brief-leftover", Verdict.CLEAR),
        ("retrained", Verdict.CLEAR),
        ("buffered", Verdict.CLEAR),
        ("buffered-clock", Verdict.CLEAR),
        ("cycles-only", Verdict.CLEAR),
        ("hot", Verdict.CLEAR),
        ("prepares-first", Verdict.CLEAR),
        ("sweep", Verdict.NOTE),
        ("brief-sweep", Verdict.NOTE),
        ("evaluator", Verdict.NOTE),
        ("parked", Verdict.NOTE),
        ("hang", Verdict.NOTE),
        ("victim", Verdict.NOTE),
        ("idle-claims", Verdict.REVIEW),
        ("filler-tail", Verdict.REVIEW),
        ("late-diversion", Verdict.REVIEW),
        ("cycles-only-diversion", Verdict.REVIEW),
        ("helper-stays", Verdict.REVIEW),
        ("co-tenant", Verdict.ALERT),
        ("printed-steps", Verdict.ALERT),
        ("decoupled", Verdict.ALERT),
        ("leftover", Verdict.ALERT),
        ("wrong-gpu", Verdict.ALERT),
        ("no-log", Verdict.NOT_AUDITABLE),
        ("no-data", Verdict.NOT_AUDITABLE),
        ("no-meter", Verdict.NOT_AUDITABLE),
        ("no-ticket", Verdict.NOT_AUDITABLE),
    ],
)
def test_verdict_of(shape: str, verdict: Verdict) -> None:
    assert _judged(facts_of(shape)).verdict is verdict


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_a_co_tenants_share_lies_inside_narrow_bounds(share: float) -> None:
    world = SHAPES["co-tenant"]
    own = world.tenants[0]
    other = replace(world.tenants[1], share=share * own.share / (1 - share), from_s=900, until_s=9000)
    assert world.log is not None
    slow = 6.0 * max(1.0, own.share + other.share) / 1.0
    log = replace(world.log, paces=((0, 6.0), (900, max(6.0, slow)), (9000, 6.0)))
    facts = build(replace(world, tenants=(own, other), log=log))
    shares = facts.frames["shares"].filter(pl.col("pid") == 101)
    judgement = _judged(facts)
    true = int(float(shares["sm_ms"].sum()) / 0.9)

    u = judgement.unexplained

    assert u.lo_gpu_ms <= true <= u.hi_gpu_ms
    assert u.hi_gpu_ms - u.lo_gpu_ms < 0.15 * judgement.run.allocated_gpu_ms


def test_a_sweeps_dearer_trainings_are_in_the_upper_bound_alone() -> None:
    judgement = _judged(facts_of("sweep"))

    u, allocated = judgement.unexplained, judgement.run.allocated_gpu_ms
    assert u.mid_gpu_ms < 0.01 * allocated
    assert u.hi_gpu_ms > 0.15 * allocated  # four of six cost a fifth or a half more than the cheapest


def test_a_counter_begun_anew_hides_no_process_beside_the_training() -> None:
    world = SHAPES["co-tenant"]
    assert world.log is not None
    facts = build(replace(world, log=replace(world.log, restarts=(900,))))

    assert _judged(facts).verdict is Verdict.ALERT


@pytest.mark.parametrize(("shape", "waits"), [("slow-network-seen", True), ("light-diversion", False)])
def test_a_gpu_that_says_its_pipes_are_busy_does_not_wait(shape: str, waits: bool) -> None:
    ledger = _judged(facts_of(shape)).ledger_gpu_ms

    assert (ledger[Account.WAIT.value] > 0) is waits
    assert (ledger[Account.RESIDUAL.value] > 0) is not waits


def test_at_the_power_of_waiting_the_upper_bound_holds_what_could_hide_there() -> None:
    judgement = _judged(facts_of("slow-network"))

    u, waited = judgement.unexplained, judgement.ledger_gpu_ms[Account.WAIT.value]
    assert u.lo_gpu_ms == u.mid_gpu_ms == 0
    assert u.hi_gpu_ms >= waited > 0
    assert judgement.smallest_visible_gpu_ms is not None
    assert judgement.smallest_visible_gpu_ms >= waited


def test_a_stranger_is_in_the_victims_favour_and_outside_every_ledger() -> None:
    audit = run.audit_facts(facts_of("victim"))
    judgement = audit.judgements[0]

    assert [f.weight for f in judgement.findings if f.check == "foreign-process"] == [-1.0]
    assert judgement.ledger_gpu_ms[Account.FOREIGN.value] > 0
    assert audit.outside[0].uid == 2000
    assert audit.outside[0].run is None


@pytest.mark.parametrize("length_s", [0.0, 0.4, 1.0, 20.0])
@pytest.mark.parametrize("shape", ["honest", "idle-claims", "co-tenant", "printed-steps"])
def test_a_run_of_seconds_is_on_nobodys_list_and_no_check_fails_on_it(shape: str, length_s: float) -> None:
    whole = facts_of(shape)
    short = replace(whole.runs[0], end_at=AT + length_s, until_at=AT + length_s)

    audit = run.audit_facts(replace(whole, runs=(short,)))

    assert audit.judgements[0].verdict in (Verdict.NOT_AUDITABLE, Verdict.CLEAR, Verdict.NOTE)
    assert [s for s in audit.skips if s.reason == "check-failed"] == []


def test_records_that_came_in_bulk_while_nobody_looked_are_not_held_against_the_log() -> None:
    facts = build(replace(HONEST, log=Log(flags=("bulk",))))
    gap = ~pl.col("start_at").is_between(AT + 600, AT + 10_000)
    marked = facts.frames["points"].with_columns(
        pl.when(pl.col("at") > AT + 700).then(pl.lit(AT + 600)).otherwise("obs_lo_at").alias("obs_lo_at")
    )
    blind = _with(_with(facts, "windows", facts.frames["windows"].filter(gap)), "points", marked)

    assert any(f.check == "log-integrity" for f in _judged(facts).findings)
    assert not any(f.check == "log-integrity" for f in _judged(blind).findings)


def _said(name: str) -> dict[str, object]:
    detail = {"gpu": "GPU-1", "pid": 101, "start_ticks": 1}
    return {"run": None, "at": AT + 2000, "name": name, "detail": json.dumps(detail)}


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ((), Verdict.ALERT),
        (("gpu-unmapped",), Verdict.REVIEW),
        (("gpu-unmapped", "foreign-process"), Verdict.ALERT),
    ],
)
def test_a_wrong_gpu_is_a_hard_fact_only_where_the_node_was_sure(
    said: tuple[str, ...], verdict: Verdict
) -> None:
    events = frames_of({"events": [_said(name) for name in said]})["events"]

    assert _judged(_with(facts_of("wrong-gpu"), "events", events)).verdict is verdict


def test_windows_of_a_map_that_two_runs_contradict_make_no_hard_fact() -> None:
    facts = facts_of("wrong-gpu")
    doubted = facts.frames["windows"].with_columns(pl.lit("contradicted").alias("map"))

    findings = _judged(_with(facts, "windows", doubted)).findings

    assert [f.hard for f in findings if f.check == "foreign-process"] == [False]


def test_the_prologs_copy_of_the_intent_wins_and_an_edit_is_told() -> None:
    facts = facts_of("edited")
    later = replace(facts, runs=(replace(facts.runs[0], comment="guard:kind=serving"),))

    judgement = _judged(later)

    assert judgement.run.comment == "guard:kind=pretrain"
    assert [f.weight for f in judgement.findings if f.check == "intent-edited"] == [0.0]
    assert judgement.verdict is Verdict.CLEAR


def test_a_run_of_several_nodes_names_the_node_of_each_process() -> None:
    facts = facts_of("co-tenant")
    wide = replace(facts, runs=(replace(facts.runs[0], nodes=(NODE, "n2")),))

    for given, starts in ((facts, "pid "), (wide, f"{NODE}: pid ")):
        timeline = _judged(given).timeline
        assert timeline is not None
        assert all(e.text.startswith(starts) for e in timeline.events if e.lane == "process")


def test_a_run_that_accounting_contradicts_is_refused_and_still_sums() -> None:
    bad = replace(run_of(HONEST, job_id=8), from_at=float("nan"))
    backwards = replace(run_of(HONEST, job_id=9), until_at=AT - 500)
    facts = facts_of("honest")

    audit = run.audit_facts(replace(facts, runs=(*facts.runs, bad, backwards)))

    assert [j.verdict for j in audit.judgements] == [
        Verdict.CLEAR,
        Verdict.NOT_AUDITABLE,
        Verdict.NOT_AUDITABLE,
    ]
    assert {s.subject for s in audit.skips} == {bad.id, backwards.id}


def test_a_run_without_gpus_is_counted_and_not_judged() -> None:
    facts = facts_of("honest")
    cpu = replace(run_of(HONEST, job_id=8), n_gpus=0)

    audit = run.audit_facts(replace(facts, runs=(*facts.runs, cpu)))

    assert len(audit.judgements) == 1
    assert audit.settings["runs_without_gpus"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"energy_mj": pl.lit(-5, pl.Int64)},
        {"covered_ms": pl.lit(10**9, pl.Int64)},
        {"busy_ms": pl.lit(10**9, pl.Int64)},
        {"end_at": pl.lit(float("nan"))},
    ],
)
def test_windows_that_contradict_themselves_are_refused_with_a_reason(change: dict[str, Any]) -> None:
    facts = facts_of("honest")

    audit = run.audit_facts(_with(facts, "windows", facts.frames["windows"].with_columns(**change)))

    judgement = audit.judgements[0]
    assert judgement.verdict is Verdict.NOT_AUDITABLE
    assert "refused" in judgement.classes
    assert sum(judgement.ledger_gpu_ms.values()) == judgement.run.allocated_gpu_ms
    assert any(s.reason == "window-refused" for s in audit.skips)


def test_a_check_that_fails_is_a_skip_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(case: Case, params: object) -> list[Finding]:
        raise ZeroDivisionError("broken on purpose")

    broken = tuple(replace(c, find=fail) if c.id == "work-residual" else c for c in registry.CHECKS)
    monkeypatch.setattr(judge, "CHECKS", broken)

    audit = run.audit_facts(facts_of("co-tenant"))

    assert [s.subject for s in audit.skips] == [f"work-residual on {audit.judgements[0].run.id}"]
    assert any(f.check == "extra-context" for f in audit.judgements[0].findings)


def test_a_requeues_ticket_is_bound_to_the_run_that_it_began() -> None:
    first = replace(run_of(HONEST), end_at=AT + 100, until_at=AT + 100)
    second = replace(run_of(HONEST), id="c/7/2", start_at=AT + 130, from_at=AT + 130)
    keys = [key(7, AT + s) for s in (0.5, 130.5, 99.0)]
    frames = frames_of({"tickets": [{"run": k, "at": AT, "job_id": 7} for k in keys]})

    bound = bind.bind(runs_frame([first, second]), frames)

    assert dict(bound.select("run", "i").iter_rows()) == {keys[0]: 0, keys[1]: 1, keys[2]: 0}


def test_a_ticket_of_no_known_run_is_left_alone() -> None:
    frames = frames_of({"tickets": [{"run": key(7, AT + 90_000), "at": AT, "job_id": 7}]})

    assert bind.bind(runs_frame([run_of(HONEST)]), frames).is_empty()


def test_idle_power_is_learnt_from_the_boards_own_quiet_windows() -> None:
    windows = facts_of("honest").frames["windows"]

    idle = dict(work.idle_power(windows).select("gpu", "idle").iter_rows())

    assert idle["GPU-0"] == pytest.approx(60_000, rel=0.02)
    assert idle["GPU-1"] == pytest.approx(60_000, rel=0.02)


def test_a_gpu_that_cannot_say_whether_it_works_is_unobserved_and_not_idle() -> None:
    facts = facts_of("no-log")
    blind = facts.frames["windows"].with_columns(
        *[pl.lit(None, pl.Int64).alias(c) for c in ("busy_ms", "energy_mj", "power_mw", "sm_cycles")]
    )

    judgement = _judged(_with(facts, "windows", blind))

    assert judgement.ledger_gpu_ms[Account.UNOBSERVED.value] == judgement.run.allocated_gpu_ms
    assert judgement.verdict is Verdict.NOT_AUDITABLE


def test_busy_at_idle_power_through_training_is_a_meter_not_to_be_believed() -> None:
    facts = facts_of("honest")
    fake = facts.frames["windows"].with_columns(pl.lit(60 * 62_000, pl.Int64).alias("energy_mj"))

    judgement = _judged(_with(facts, "windows", fake))

    assert judgement.cost.channel == "busy"
    assert any("idle GPU while busy" in note for note in judgement.notes)


def test_without_per_process_times_nobody_is_called_stray() -> None:
    judgement = _judged(build(replace(SHAPES["co-tenant"], split=False)))

    assert not any(f.check == "extra-context" for f in judgement.findings)
    assert any(f.check == "work-residual" for f in judgement.findings)


def test_a_night_without_facts_is_all_unobserved() -> None:
    facts = replace(facts_of("honest"), frames=frames_of({}))

    judgement = _judged(facts)

    assert judgement.verdict is Verdict.NOT_AUDITABLE
    assert judgement.ledger_gpu_ms[Account.UNOBSERVED.value] == judgement.run.allocated_gpu_ms


def test_nodes_that_ran_jobs_and_sent_nothing_are_listed() -> None:
    audit = run.audit_facts(facts_of("no-data"))

    assert [(n.node, n.note) for n in audit.nodes] == [(NODE, "nothing was heard")]


def test_a_timeline_has_all_accounts_in_parallel_and_sums_near_the_ledger() -> None:
    judgement = _judged(facts_of("co-tenant"))
    timeline = judgement.timeline

    assert timeline is not None
    lengths = {len(v) for v in timeline.accounts.values()} | {
        len(timeline.power_w),
        len(timeline.progress_per_s),
    }
    assert len(lengths) == 1
    drawn = {a: sum(v or 0 for v in values) for a, values in timeline.accounts.items()}
    for account, booked in judgement.ledger_gpu_ms.items():
        assert drawn[account] == pytest.approx(booked, abs=0.02 * judgement.run.allocated_gpu_ms)

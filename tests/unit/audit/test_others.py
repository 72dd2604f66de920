"""Windows of another monitor: whatever they show, they accuse and clear nobody, and teach nothing."""

from dataclasses import replace

import polars as pl
import pytest

from slurm_guard.audit.facts import Facts
from slurm_guard.audit.run import audit_and_remember, audit_facts
from slurm_guard.lake.schema import empty
from slurm_guard.model import Judgement, Verdict
from slurm_guard.readings import IMPORTED
from tests.builders import build
from tests.shapes import SHAPES

LOOKS = (Verdict.ALERT, Verdict.REVIEW)
# What a node half alone can know, and Prometheus does not.
GONE = (
    "shares",
    "held",
    "processes",
    "tickets",
    "ends",
    "seals",
    "segments",
    "flows",
    "relays",
    "files",
    "gpus",
)


def imported(facts: Facts, *, detail: str = '{"interval_s":30,"source":"dcgm-exporter"}') -> Facts:
    """The same GPUs and logs, seen by another monitor alone."""
    run = pl.col("run").str.replace(r"/0123abcd/", f"/{IMPORTED}/")
    blind = (
        "fs_hz",
        "power_q_mw",
        "busy_q_pct",
        "period_s",
        "period_strength",
        "crossings",
        "n_own",
        "n_held",
    )
    windows = facts.frames["windows"].with_columns(
        run, pl.lit(IMPORTED).alias("map"), *(pl.lit(None).alias(name) for name in blind)
    )
    windows = windows.cast(facts.frames["windows"].schema)
    node = windows["node"].unique().to_list()
    event = {"cluster": "c", "node": node[0], "at": facts.from_at, "name": IMPORTED, "detail": detail}
    frames = {
        **facts.frames,
        **{name: empty(name) for name in GONE},
        **{name: facts.frames[name].with_columns(run) for name in ("logs", "points")},
        "windows": windows,
        "events": pl.DataFrame([event], schema=empty("events").schema),
    }
    return replace(facts, frames=frames)


def judged(facts: Facts) -> Judgement:
    (one,) = [j for j in audit_facts(facts).judgements if j.run.job_id == 7]
    return one


FLAGGED = [
    name
    for name in (
        "filler-tail",
        "late-diversion",
        "sweep",
        "decoupled",
        "hashing-under-log",
        "light-diversion",
    )
    if name in SHAPES
]


@pytest.mark.parametrize("name", FLAGGED)
def test_what_the_sampler_would_accuse_is_a_note(name: str) -> None:
    facts = build(SHAPES[name])

    assert judged(imported(facts)).verdict in (Verdict.NOTE, Verdict.NOT_AUDITABLE)


def test_the_sampler_accuses_at_least_one_of_these() -> None:
    """Else the test above would show nothing."""
    assert any(judged(build(SHAPES[name])).verdict in LOOKS for name in FLAGGED)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_no_world_is_accused_or_cleared_by_another_monitor_s_readings(name: str) -> None:
    facts = build(SHAPES[name])
    if facts.frames["windows"].is_empty():
        pytest.skip("nothing was read in it")

    done = audit_facts(imported(facts))

    assert [s for s in done.skips if s.reason in ("run-failed", "check-failed")] == []
    for one in done.judgements:
        if one.coverage_pct > 0:
            assert one.verdict in (Verdict.NOTE, Verdict.NOT_AUDITABLE), one.sentence
            assert sum(one.ledger_gpu_ms.values()) == one.run.allocated_gpu_ms
            assert one.unexplained.lo_gpu_ms == 0


def test_honest_work_with_a_log_is_a_note_that_says_what_was_not_seen() -> None:
    one = judged(imported(build(SHAPES["honest"])))

    assert one.verdict is Verdict.NOTE
    assert one.sentence.startswith("Its GPUs were read by another monitor alone (Prometheus, dcgm-exporter,")
    assert any("cannot show which processes worked" in note for note in one.notes)


def test_nothing_is_learnt_from_them() -> None:
    facts = build(SHAPES["honest"])

    assert audit_and_remember(facts)[1]
    assert not audit_and_remember(imported(facts))[1]


@pytest.mark.parametrize("name", ["honest", "parked", "unlogged-pair"])
def test_no_hook_is_called_silent_where_there_are_none(name: str) -> None:
    one = judged(imported(build(SHAPES[name])))

    assert not {"hook-silent", "run-without-ticket", "unsealed"} & {f.check for f in one.findings}


def test_a_node_s_remark_says_whose_readings_they_are() -> None:
    notes = [n.note for n in audit_facts(imported(build(SHAPES["honest"]))).nodes]

    assert notes == ["read by Prometheus, dcgm-exporter, a reading every 30 s"]


@pytest.mark.parametrize(
    "detail",
    ["", "{", "[]", "null", '{"source":"<b>","interval_s":30}', '{"source":"jobstats","interval_s":"30"}',
     '{"source":"jobstats","interval_s":1e999}', '{"source":["jobstats"],"interval_s":3}'],
)  # fmt: skip
def test_an_odd_event_leaves_the_plain_word(detail: str) -> None:
    notes = [n.note for n in audit_facts(imported(build(SHAPES["honest"]), detail=detail)).nodes]

    assert notes == ["read by Prometheus"]


def test_the_same_facts_give_the_same_document() -> None:
    facts = imported(build(SHAPES["honest"]))
    windows = facts.frames["windows"].sample(fraction=1.0, shuffle=True, seed=3)
    again = replace(facts, frames={**facts.frames, "windows": windows})

    assert audit_facts(facts) == audit_facts(again)

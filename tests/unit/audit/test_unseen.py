"""What a node could not tell is said of it and beside its runs, and held against nobody."""

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from slurm_guard.audit.facts import Facts
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Audit, Judgement, Verdict
from tests.builders import AT, NODE, build, frames_of, key
from tests.shapes import HONEST, SHAPES
from tests.talk import Counted, brief_rows

TUNNEL = SHAPES["tunnel"]  # whose run has a timeline
NAMELESS = Counted(tuple(f"203.0.113.{k}:22" for k in range(32)), 400, 3, failed=True, how=None)


def _with(facts: Facts, table: str, rows: list[dict[str, Any]]) -> Facts:
    more = frames_of({table: rows})[table]
    return replace(facts, frames={**facts.frames, table: pl.concat([facts.frames[table], more])})


def _judged(facts: Facts) -> tuple[Audit, Judgement, list[str]]:
    """The audit, the run's judgement, and what its timeline says was not to be told."""
    audit = audit_facts(facts)
    assert [s for s in audit.skips if s.reason == "check-failed"] == []
    judgement = next(j for j in audit.judgements if j.run.job_id == 7)
    events = () if judgement.timeline is None else judgement.timeline.events
    return audit, judgement, [e.text for e in events if e.text.startswith("not to be told")]


def _remark(audit: Audit) -> str:
    return next(node.note for node in audit.nodes if node.node == NODE)


@pytest.mark.parametrize(
    ("reason", "of_node"), [("kernel", True), ("text", True), ("namespace", False), ("?", None), (7, None)]
)
def test_that_no_bytes_were_told_is_said_of_the_run_and_of_its_node(
    reason: object, of_node: bool | None
) -> None:
    row = {"run": key(7), "at": AT + 60, "name": "flows-uncounted", "detail": json.dumps({"reason": reason})}
    audit, judgement, said = _judged(_with(build(TUNNEL), "events", [row]))
    assert judgement.verdict is audit_facts(build(TUNNEL)).judgements[0].verdict
    assert len(said) == (of_node is not None)
    assert ("no tunnel can be told" in _remark(audit)) is bool(of_node)


@pytest.mark.parametrize("detail", [None, "", "{", "[]", '{"reason": ["kernel"]}'])
def test_an_event_that_is_out_of_form_says_nothing(detail: str | None) -> None:
    row = {"run": key(7), "at": AT + 60, "name": "flows-uncounted", "detail": detail}
    audit, _, said = _judged(_with(build(TUNNEL), "events", [row]))
    assert (said, _remark(audit)) == ([], "")


def test_a_scan_of_nobodys_is_said_and_held_against_no_run() -> None:
    rows = brief_rows((NAMELESS,), None, AT)
    audit, _, said = _judged(_with(build(TUNNEL), "briefs", rows))
    words = "whose about 1,200 short connections to 400 places or more were is not known"
    assert said == [f"not to be told: {words}"]
    assert _remark(audit) == words

    audit, judgement, _ = _judged(_with(build(HONEST), "briefs", rows))
    assert judgement.verdict is Verdict.CLEAR
    assert judgement.findings == audit_facts(build(HONEST)).judgements[0].findings
    assert _remark(audit) == words


@pytest.mark.parametrize(
    "other",
    [
        replace(NAMELESS, n_places=80),
        replace(NAMELESS, in_b=5000),
        replace(NAMELESS, from_s=-9060, until_s=-9000),
    ],
)
def test_few_places_full_connections_and_other_times_are_not(other: Counted) -> None:
    _, _, said = _judged(_with(build(TUNNEL), "briefs", brief_rows((other,), None, AT)))
    assert said == []


def test_many_hours_of_it_are_told_by_the_largest() -> None:
    rows = [
        row
        for k in range(50)
        for row in brief_rows(
            (replace(NAMELESS, n_each=k + 1, from_s=k * 60.0, until_s=k * 60.0 + 60),), None, AT
        )
    ]
    _, _, said = _judged(_with(build(TUNNEL), "briefs", rows))
    assert 1 <= len(said) <= 2
    assert said[0].startswith("not to be told: whose about ")


@pytest.mark.parametrize(
    ("before", "n"), [('{"truncated":true}', 1), ('{"truncated":false}', 0), ("{", 0), ("[]", 0), (None, 0)]
)
def test_that_the_look_before_the_run_was_cut_is_said(before: str | None, n: int) -> None:
    facts = build(TUNNEL)
    tickets = facts.frames["tickets"].with_columns(pl.lit(before, pl.String).alias("net"))
    facts = replace(facts, frames={**facts.frames, "tickets": tickets})
    facts = _with(facts, "ends", [{"run": key(7), "at": AT + 7200, "net": '{"truncated":false}'}])
    told = "not to be told: the look at the network before the run was cut: "
    assert sum(words.startswith(told) for words in _judged(facts)[2]) == n

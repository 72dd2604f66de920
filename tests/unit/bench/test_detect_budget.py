"""ALERTs of a benchmark within an alarm budget."""

from typing import Any

from bench.detect import budget
from bench.detect.night import Record


def _run(verdict: str, score: float = -1.0, *, how: str = "honest", hard: bool = False) -> Record:
    return {"gpu": "A100", "verdict": verdict, "score": score, "how": how, "hard": hard}


def _rows(honest: list[Record], diverting: list[Record], rate: float) -> dict[str, Any]:
    return {row["what"]: row for row in budget.spent(honest, diverting, rate)}


def test_an_alert_stays_one_where_no_honest_run_was_called_at_its_score() -> None:
    rows = _rows([_run("CLEAR", -7.0)] * 1000, [_run("ALERT", how="process")], 0.001)

    assert rows["process, of what is flagged"]["hits"] == 1


def test_what_honest_runs_look_like_as_often_is_asked_about_and_no_alert() -> None:
    honest = [_run("CLEAR", -7.0)] * 1000 + [_run("ALERT")] * 5
    stronger, hard = _run("ALERT", 1.0, how="process"), _run("ALERT", how="process", hard=True)
    rows = _rows(honest, [_run("ALERT", how="process"), stronger, hard], 0.001)

    assert (rows["honest runs, before"]["hits"], rows["honest runs"]["hits"]) == (5, 0)
    assert rows["honest runs"]["met"]
    assert rows["process, of what is flagged"]["hits"] == 2, "the stronger one and the hard fact"


def test_a_run_is_no_reference_for_itself() -> None:
    rows = _rows([_run("CLEAR", -7.0)] * 1000 + [_run("ALERT")], [], 0.001)

    assert rows["honest runs"]["hits"] == 1


def test_too_few_references_change_nothing() -> None:
    rows = _rows([_run("CLEAR", -7.0)] * 100 + [_run("ALERT")] * 9, [], 0.001)

    assert rows["honest runs"]["hits"] == 9
    assert rows["honest runs"]["met"] is False

"""What is odd in one run or one window costs no other run its verdict."""

from dataclasses import replace
from importlib import import_module
from typing import Any

import polars as pl
import pytest

from slurm_guard.audit import run
from slurm_guard.audit.facts import Facts
from slurm_guard.document import from_json, to_json
from slurm_guard.model import Run, Verdict
from tests.shapes import facts_of
from tests.unit.audit.test_night import _judged, _with


def test_counters_that_never_rise_stop_nobodys_audit() -> None:
    facts = facts_of("honest")
    flat = facts.frames["points"].with_columns(
        pl.lit(5, dtype=pl.Int64).alias("step"), pl.lit(None, dtype=pl.Float64).alias("at")
    )

    audit = run.audit_facts(_with(facts, "points", flat))

    assert audit.skips == ()
    assert sum(audit.judgements[0].ledger_gpu_ms.values()) == audit.judgements[0].run.allocated_gpu_ms


def test_a_board_without_a_name_is_a_board() -> None:
    facts = facts_of("honest")
    nameless = facts.frames["windows"].with_columns(pl.lit(None, dtype=pl.String).alias("model"))

    assert _judged(_with(facts, "windows", nameless)).verdict is Verdict.CLEAR


@pytest.mark.parametrize("name", ["from_at", "until_at", "start_at", "end_at"])
def test_a_run_whose_times_are_no_numbers_is_refused_in_a_document_that_can_be_written(name: str) -> None:
    facts = facts_of("honest")
    odd = replace(facts.runs[0], **{name: float("nan")})  # type: ignore[arg-type]

    audit = run.audit_facts(replace(facts, runs=(odd,)))

    assert from_json(to_json(audit)) == audit
    assert audit.judgements[0].verdict is Verdict.NOT_AUDITABLE


def test_windows_that_overlap_are_not_counted_twice() -> None:
    facts = facts_of("honest")
    late = facts.frames["windows"].with_columns(pl.col("start_at") + 30.0, pl.col("end_at") + 30.0)
    both = _with(facts, "windows", pl.concat([facts.frames["windows"], late]))

    once, twice = _judged(facts).ledger_gpu_ms, _judged(both).ledger_gpu_ms

    allocated = _judged(facts).run.allocated_gpu_ms
    assert all(abs(twice[account] - ms) < 0.01 * allocated for account, ms in once.items())


def test_of_a_window_that_was_written_twice_the_one_that_covers_more_holds() -> None:
    facts = facts_of("honest")
    windows = facts.frames["windows"]
    half = windows.with_columns(
        pl.col("end_at") - 30.0, *[pl.col(c) // 2 for c in ("covered_ms", "energy_mj", "busy_ms", "n")]
    )

    both = _with(facts, "windows", pl.concat([half, windows]))

    assert _judged(both) == _judged(facts)


def _one_window(facts: Facts, **values: Any) -> Facts:
    windows = facts.frames["windows"].with_row_index("k")
    odd = pl.col("k") == 3
    return _with(
        facts,
        "windows",
        windows.with_columns(
            pl.when(odd).then(pl.lit(v)).otherwise(pl.col(c)).alias(c) for c, v in values.items()
        ).drop("k"),
    )


@pytest.mark.parametrize(
    "values",
    [
        {"covered_ms": 0, "busy_ms": 0},
        {"energy_mj": 2**61},
        {"sm_cycles": 2**62},
        {"power_mw": 2**60},
        {"int_ms": 2**61},
        {"dram_ms": -5},
    ],
)
def test_one_odd_window_changes_no_verdict_of_the_night(values: dict[str, int]) -> None:
    audit = run.audit_facts(_one_window(facts_of("honest"), **values))

    assert audit.judgements[0].verdict is Verdict.CLEAR
    assert sum(audit.judgements[0].ledger_gpu_ms.values()) == audit.judgements[0].run.allocated_gpu_ms
    assert (audit.skips == ()) == ("covered_ms" in values)


@pytest.mark.parametrize("broken", ["slurm_guard.audit.night.study", "slurm_guard.audit.judge.judge"])
def test_a_run_on_which_the_audit_fails_has_a_verdict_and_the_others_have_theirs(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = facts_of("victim")
    whole = run.audit_facts(facts)
    module, name = broken.rsplit(".", 1)
    real = getattr(import_module(module), name)

    def fails(first: Any, *rest: Any) -> Any:
        one = first if isinstance(first, Run) else first.run
        if one.job_id == 7 and not (name == "study" and not rest[1].arcs):
            raise ZeroDivisionError("odd")
        return real(first, *rest)

    monkeypatch.setattr(import_module(module), name, fails)
    audit = run.audit_facts(facts)

    odd = next(j for j in audit.judgements if j.run.job_id == 7)
    assert odd.verdict is Verdict.NOT_AUDITABLE
    assert sum(odd.ledger_gpu_ms.values()) == odd.run.allocated_gpu_ms
    assert [(s.reason, s.detail) for s in audit.skips] == [("run-failed", "ZeroDivisionError: odd")]
    assert [j for j in audit.judgements if j.run.job_id != 7] == [
        j for j in whole.judgements if j.run.job_id != 7
    ]


@pytest.mark.parametrize(
    "broken", ["traces.hear", "storage.stored_of", "mix.mixes", "boards.claims", "replays.find_traces"]
)
def test_what_looks_at_all_runs_and_fails_is_a_skip(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of("honest")
    whole = run.audit_facts(facts)

    def fails(*_: Any) -> Any:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(f"slurm_guard.audit.{broken}", fails)
    audit = run.audit_facts(facts)

    assert [(s.reason, s.detail) for s in audit.skips] == [("check-failed", "ZeroDivisionError: odd")]
    assert [j.verdict for j in audit.judgements] == [j.verdict for j in whole.judgements]

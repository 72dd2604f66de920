"""The ledger by GPU and minute: the run's accounts, laid out and nothing else."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.audit import minutes
from slurm_guard.audit.facts import Facts
from slurm_guard.audit.minutes import NAMES, SCHEMA
from slurm_guard.audit.run import audit_and_remember, audit_facts
from slurm_guard.document import to_json
from slurm_guard.lake.minutefile import MinuteFile
from slurm_guard.model import Account, Audit
from tests.builders import AT, Log, Tenant, World, build
from tests.shapes import SHAPES, facts_of

TELLING = ("co-tenant", "victim", "sweep", "filler-tail", "hang", "decoupled", "late-diversion", "no-meter",
           "one-of-eight", "dear-all-along", "hashing-after-training", "no-data", "parked")  # fmt: skip


def _laid_out(facts: Facts) -> tuple[Audit, pl.DataFrame]:
    parts: list[pl.DataFrame] = []
    done, _ = audit_and_remember(facts, lambda rows: parts.append(rows.collect()))
    return done, pl.concat(parts)


def _holds(done: Audit, table: pl.DataFrame) -> None:
    assert dict(table.schema) == SCHEMA
    for judgement in done.judgements:
        rows = table.filter(pl.col("run") == judgement.run.id)
        assert {a.value: rows[f"{a.value}_gpu_ms"].sum() for a in Account} == judgement.ledger_gpu_ms
        assert not rows.select(pl.any_horizontal(pl.col(NAMES) < 0).any()).item()
    seen = table.filter(pl.col("gpu").is_not_null())
    assert seen.select(pl.struct("run", "node", "gpu", "start_at").is_unique().all()).item()
    # A GPU has a minute in a minute. The placed residual and rounding may move a few milliseconds of it.
    assert all(total <= 60_050 for total in seen.select(pl.sum_horizontal(NAMES)).to_series())


@pytest.mark.parametrize("shape", TELLING)
def test_its_sums_are_the_accounts_of_the_run(shape: str) -> None:
    done, table = _laid_out(facts_of(shape))

    _holds(done, table)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(1, 5000),
    st.sampled_from([7.0, 30.0, 60.0, 61.0, 150.0]),
    st.integers(1, 3),
    st.floats(0, 1),
    st.floats(0, 2000),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_its_sums_are_the_accounts_whatever_the_run_was_like(
    length_s: float, window_s: float, gpus: int, share: float, other_s: float, logs: bool, seed: int
) -> None:
    train = Tenant("train", 10, 1e9, share=share, gpus=tuple(range(gpus)))
    other = Tenant("other", other_s, 2 * other_s, share=0.4, ppid=900, exe="/tmp/x", uid=1000 + seed % 2)
    world = World(length_s=length_s, window_s=window_s, gpus=gpus, board_gpus=3, tenants=(train, other),
                  log=Log(from_s=20, every=2) if logs else None, seed=seed)  # fmt: skip
    facts = build(world)
    windows = facts.frames["windows"]
    kept = windows.filter(pl.int_range(pl.len()) % 7 != seed % 7)

    done, table = _laid_out(replace(facts, frames={**facts.frames, "windows": kept}))

    _holds(done, table)


def test_foreign_and_idle_minutes_are_those_in_which_it_was_so() -> None:
    """The stranger works from second 1200 to 7200, the run from 60 on: as a look at the windows says."""
    done, table = _laid_out(facts_of("victim"))

    mine = table.filter(pl.col("job_id") == 7)
    foreign = mine.filter(pl.col("foreign_gpu_ms") > 0)["start_at"] - AT
    idle = mine.filter(pl.col("start_at") < AT + 50)["idle_gpu_ms"].sum()

    assert len(done.judgements) >= 1
    assert 1140 <= foreign.min() <= 1200  # type: ignore[operator]
    assert 7080 <= foreign.max() <= 7200  # type: ignore[operator]
    assert idle > 30_000


def test_the_residual_lies_where_steps_became_dearer() -> None:
    _, table = _laid_out(facts_of("late-diversion"))

    late = int(table.filter(pl.col("start_at") > AT + 5400)["residual_gpu_ms"].sum())

    assert late > 0.9 * int(table["residual_gpu_ms"].sum()) > 0


def test_what_nobody_saw_is_one_row_without_a_gpu() -> None:
    _, table = _laid_out(facts_of("no-data"))

    assert table.select("gpu", "start_at", "unobserved_gpu_ms").rows() == [(None, None, 10_800_000)]


def test_batches_and_the_order_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of("wrong-gpu")
    _, whole = _laid_out(facts)
    monkeypatch.setattr(minutes, "BATCH", 1)
    mixed = {name: frame.sample(fraction=1.0, shuffle=True, seed=3) for name, frame in facts.frames.items()}

    _, again = _laid_out(replace(facts, frames=mixed))

    assert again.equals(whole)


def test_the_document_is_the_same_with_and_without(tmp_path: Path) -> None:
    facts = facts_of("co-tenant")
    path = tmp_path / "ledger.parquet"

    with MinuteFile(path) as file:
        done, _ = audit_and_remember(facts, file.take)

    assert to_json(done) == to_json(audit_facts(facts))
    _holds(done, pl.read_parquet(path))
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.parquet"]


def _fail_at_the_end(path: Path) -> None:
    with MinuteFile(path) as file:
        audit_and_remember(facts_of("parked"), file.take)
        raise RuntimeError


def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    path.write_bytes(b"before")

    with pytest.raises(RuntimeError):
        _fail_at_the_end(path)

    assert path.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


def test_every_shape_is_known() -> None:
    assert set(TELLING) <= set(SHAPES) | {"dear-all-along"}

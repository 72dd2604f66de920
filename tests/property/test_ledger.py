"""The ledger against a naive oracle, and its laws."""

import math
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard.audit import ledger
from slurm_guard.audit.facts import Facts
from slurm_guard.audit.ledger import EXPLAINS, PARTS
from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.spans import Kind, Span
from slurm_guard.document import to_json
from slurm_guard.model import Account, Judgement, Verdict
from tests.builders import build
from tests.shapes import SHAPES, TRAIN, facts_of

LENGTH_S = 600.0
_times = st.integers(0, int(LENGTH_S)).map(float)
_share = st.floats(0, 1, allow_nan=False)


@st.composite
def cell(draw: st.DrawFn) -> dict[str, object]:
    """A cell of run 0 or 1: covered in part, blind or divided among its processes."""
    a = draw(_times)
    long = draw(st.integers(1, 90))
    cov = draw(_share) * long * 1000
    blind = draw(st.booleans())
    active = draw(_share) * cov
    own, stray = draw(_share), draw(_share)
    parts = (active * own, active * (1 - own) * stray, active * (1 - own) * (1 - stray))
    return {
        "i": draw(st.integers(0, 1)),
        "start_at": a,
        "end_at": a + long,
        "cov": cov,
        "active": None if blind else sum(parts),
        **dict(zip(("own", "stray", "foreign"), (None,) * 3 if blind else parts, strict=True)),
    }


@st.composite
def tiles(draw: st.DrawFn) -> tuple[Span, ...]:
    """Spans that tile the run."""
    edges = sorted({0.0, LENGTH_S + 100, *draw(st.lists(_times, max_size=6))})
    kinds = draw(st.lists(st.sampled_from(Kind), min_size=len(edges), max_size=len(edges)))
    return tuple(Span(a, b, k) for a, b, k in zip(edges, edges[1:], kinds, strict=False))


SCHEMA = {"i": pl.Int64, **dict.fromkeys(("start_at", "end_at", "cov", "active", *PARTS[2:]), pl.Float64)}


def oracle(
    cells: list[dict[str, object]], spans: dict[int, tuple[Span, ...]]
) -> dict[int, dict[str, dict[str, int]]]:
    """The same sums, one cell and one span at a time."""
    found: dict[int, dict[str, dict[str, int]]] = {}
    for row in cells:
        i, a, b = int(str(row["i"])), float(str(row["start_at"])), float(str(row["end_at"]))
        for span in spans[i]:
            both = min(b, span.until_at) - max(a, span.from_at)
            if both <= 0:
                continue
            into = found.setdefault(i, {}).setdefault(span.kind.value, dict.fromkeys(PARTS, 0))
            for part in PARTS:
                source = "cov" if part == "blind" else part
                value = float(str(row[source])) if row[source] is not None else 0.0
                if part == "blind" and row["active"] is not None:
                    value = 0.0
                into[part] += math.floor(value * (both / (b - a)) * 1000 + 0.5)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(cell(), max_size=12), tiles(), tiles())
def test_the_tally_agrees_with_the_naive_one(
    cells: list[dict[str, object]], one: tuple[Span, ...], two: tuple[Span, ...]
) -> None:
    spans = {0: one, 1: two}

    sums = ledger.tally(pl.DataFrame(cells, schema=SCHEMA, orient="row"), spans)

    assert {i: {k: dict(p) for k, p in s.of.items()} for i, s in sums.items()} == oracle(cells, spans)


@settings(max_examples=60, deadline=None)
@given(st.lists(cell(), max_size=12), tiles(), _share, _share, st.booleans(), st.integers(0, 2_000_000))
def test_accounts_sum_to_the_allocation_whatever_was_seen(
    cells: list[dict[str, object]],
    tile: tuple[Span, ...],
    residual: float,
    wait: float,
    denied: bool,
    allocated: int,
) -> None:
    sums = ledger.tally(pl.DataFrame(cells, schema=SCHEMA, orient="row"), {0: tile, 1: tile})

    for one in sums.values():
        books = ledger.book(one, (residual, min(wait, 1 - residual)), denied=denied)
        accounts = ledger.balance(books, allocated)

        assert sum(accounts.values()) == allocated
        assert all(v >= 0 for v in accounts.values())
        assert set(accounts) == {a.value for a in Account}


@settings(max_examples=40, deadline=None)
@given(st.lists(cell(), min_size=1, max_size=12), tiles(), _share, st.data())
def test_removing_windows_adds_neither_idle_nor_explained_time_for_a_fixed_cost(
    cells: list[dict[str, object]], tile: tuple[Span, ...], residual: float, data: st.DataObject
) -> None:
    spans = {0: tile, 1: tile}
    kept = data.draw(st.lists(st.sampled_from(range(len(cells))), unique=True, max_size=len(cells)))
    whole = ledger.tally(pl.DataFrame(cells, schema=SCHEMA, orient="row"), spans)
    less = ledger.tally(pl.DataFrame([cells[k] for k in kept], schema=SCHEMA, orient="row"), spans)

    for i, one in less.items():
        before = ledger.book(whole[i], (residual, 0.0), denied=False)
        after = ledger.book(one, (residual, 0.0), denied=False)

        # Each part of a cell is rounded to whole µs by itself: halves can go up twice.
        assert all(after[a] <= before[a] + len(cells) for a in Account)


def test_every_kind_of_span_is_explained_by_some_account() -> None:
    assert set(EXPLAINS) == set(Kind)


def _shuffled(facts: Facts, seed: int) -> Facts:
    """Rows in another order, and some of them twice."""
    frames = {
        name: pl.concat([frame, frame.head(3)]).sample(fraction=1.0, shuffle=True, seed=seed)
        for name, frame in facts.frames.items()
    }
    return replace(facts, frames=frames, runs=tuple(reversed(facts.runs)))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["honest", "co-tenant", "victim", "wrong-gpu", "leftover", "filler-tail"]),
    st.integers(0, 99),
)
def test_neither_order_nor_duplicates_matter_and_the_bytes_are_the_same(shape: str, seed: int) -> None:
    facts = facts_of(shape)

    assert to_json(audit_facts(_shuffled(facts, seed))) == to_json(audit_facts(facts))


def _seventh(facts: Facts) -> Judgement:
    return next(j for j in audit_facts(facts).judgements if j.run.job_id == 7)


RANK = [Verdict.CLEAR, Verdict.NOTE, Verdict.NOT_AUDITABLE, Verdict.REVIEW, Verdict.ALERT]


def test_more_true_progress_never_worsens_a_verdict() -> None:
    """The same GPU work, the log read to an ever later record: θ is learnt from the same steps each time."""
    facts = facts_of("honest")
    points = facts.frames["points"].sort("step")
    parts = [points.head(int(points.height * share)) for share in (0.4, 0.6, 0.8, 1.0)]
    ranks = [
        RANK.index(_seventh(replace(facts, frames={**facts.frames, "points": part})).verdict)
        for part in parts
    ]

    assert ranks == sorted(ranks, reverse=True)


def test_windows_split_in_two_change_no_account_by_more_than_rounding() -> None:
    coarse = _seventh(facts_of("honest"))
    fine = _seventh(build(replace(SHAPES["honest"], window_s=30.0, noise=0.0, tenants=(TRAIN,))))
    allocated = coarse.run.allocated_gpu_ms

    for account in Account:
        assert abs(coarse.ledger_gpu_ms[account.value] - fine.ledger_gpu_ms[account.value]) < 0.01 * allocated

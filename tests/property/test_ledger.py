"""The ledger against a naive oracle, and its laws."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard.audit import cost, ledger, night
from slurm_guard.audit.facts import Facts, split
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


PHASES = {Kind.STARTUP, Kind.MARKED, Kind.RECURRING, Kind.PAUSE, Kind.TAIL}


def naive_accounts(
    cells: list[dict[str, object]], spans: tuple[Span, ...], left: tuple[float, float], denied: float
) -> dict[Account, float]:
    """µs in each account, one cell and one span at a time, in the words of the method's table."""
    books = dict.fromkeys(Account, 0.0)
    for row in cells:
        a, b = float(str(row["start_at"])), float(str(row["end_at"]))
        if row["active"] is None:
            continue  # the GPU could not say: unobserved, which nobody books
        cov, own, stray, foreign = (float(str(row[n])) for n in ("cov", "own", "stray", "foreign"))
        for span in spans:
            part = 1000 * max(0.0, min(b, span.until_at) - max(a, span.from_at)) / (b - a)
            books[Account.IDLE] += part * max(0.0, cov - own - stray - foreign)
            books[Account.FOREIGN] += part * foreign
            books[Account.RESIDUAL] += part * stray
            if span.kind is Kind.TRAIN:
                credited = part * own * (1 - left[0] - left[1])
                books[Account.RESIDUAL] += part * own * left[0]
                books[Account.WAIT] += part * own * left[1]
                books[Account.CONTRADICTION] += credited * denied
                books[Account.PROGRESS] += credited * (1 - denied)
            elif span.kind is Kind.WAIT:
                books[Account.WAIT] += part * own
            else:
                books[Account.PHASE if span.kind in PHASES else Account.RESIDUAL] += part * own
    return books


@settings(max_examples=60, deadline=None)
@given(st.lists(cell(), min_size=1, max_size=12), tiles(), _share, _share, _share)
def test_the_accounts_agree_with_the_naive_ones(
    cells: list[dict[str, object]], tile: tuple[Span, ...], residual: float, wait: float, denied: float
) -> None:
    left = (residual, min(wait, 1 - residual))
    sums = ledger.tally(pl.DataFrame(cells, schema=SCHEMA, orient="row"), {0: tile, 1: tile})

    for i, one in sums.items():
        books = ledger.book(one, left, denied)
        naive = naive_accounts([row for row in cells if row["i"] == i], tile, left, denied)

        assert all(abs(books[a] - naive[a]) <= 8 * len(cells) * len(tile) for a in Account)


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


@settings(max_examples=60, deadline=None)
@given(st.lists(cell(), min_size=1, max_size=12), tiles(), st.data())
def test_cells_split_anywhere_make_the_same_sums(
    cells: list[dict[str, object]], tile: tuple[Span, ...], data: st.DataObject
) -> None:
    whole = ledger.tally(pl.DataFrame(cells, schema=SCHEMA, orient="row"), {0: tile, 1: tile})
    parts = [half for row in cells for half in _halves(row, data.draw(st.floats(0.01, 0.99)))]

    split = ledger.tally(pl.DataFrame(parts, schema=SCHEMA, orient="row"), {0: tile, 1: tile})

    for i, sums in whole.items():
        for kind, values in sums.of.items():
            for part, value in values.items():
                assert abs(value - split[i].of.get(kind, dict.fromkeys(PARTS, 0))[part]) <= 2 * len(parts)


def _halves(row: dict[str, object], where: float) -> list[dict[str, object]]:
    """The same cell as two, its amounts in proportion to time."""
    a, b = float(str(row["start_at"])), float(str(row["end_at"]))
    middle = a + where * (b - a)

    def half(begin: float, end: float) -> dict[str, object]:
        share = (end - begin) / (b - a)
        told = [n for n in ("cov", "active", *PARTS[2:]) if row[n] is not None]
        amounts = {n: float(str(row[n])) * share for n in told}
        return {**row, "start_at": begin, "end_at": end, **amounts}

    return [half(a, middle), half(middle, b)]


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
@pytest.mark.patient
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


RANK = [Verdict.CLEAR, Verdict.NOTE, Verdict.REVIEW, Verdict.ALERT]


def _fix_costs(facts: Facts, patch: pytest.MonkeyPatch) -> None:
    """From now on every channel costs what these facts teach."""
    runs, _ = split(facts.runs)
    of_run = night.measure(runs, facts)[0].studies[next(i for i, r in enumerate(runs) if r.job_id == 7)]
    learnt = {channel: fit.theta for channel, fit in of_run.own.items() if fit.theta is not None}
    assert learnt
    values = sorted(learnt.values(), key=lambda theta: theta.value)

    def fixed(blocks: list[cost.Block]) -> cost.Theta | None:
        """The cost of the channel that the blocks are of: their work per unit is nearest to it."""
        units, work = sum(b.units for b in blocks), sum(b.work for b in blocks)
        if units <= 0 or work <= 0:
            return None
        return min(values, key=lambda theta: abs(math.log(work / units / theta.value)))

    patch.setattr(cost, "learn", fixed)


EXPLAINED = (Account.IDLE, Account.PROGRESS, Account.PHASE, Account.WAIT)


@pytest.mark.parametrize("shape", ["honest", "late-diversion", "filler-tail", "hang", "parked", "no-meter"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.floats(0.05, 0.9))
def test_windows_that_are_lost_leave_nothing_more_idle_or_explained(
    shape: str, monkeypatch: pytest.MonkeyPatch, seed: int, lost: float
) -> None:
    """The whole audit, at the costs that the whole night teaches: what nobody saw is unobserved."""
    facts = facts_of(shape)
    windows = facts.frames["windows"]
    kept = windows.sample(fraction=1 - lost, seed=seed)
    with monkeypatch.context() as patch:
        if shape in ("honest", "late-diversion"):
            _fix_costs(facts, patch)
        before = _seventh(facts).ledger_gpu_ms
        after = _seventh(replace(facts, frames={**facts.frames, "windows": kept})).ledger_gpu_ms

    assert sum(after.values()) == sum(before.values())
    assert after[Account.UNOBSERVED.value] >= before[Account.UNOBSERVED.value]
    for account in EXPLAINED:
        assert after[account.value] <= before[account.value] + 0.001 * sum(before.values())


@pytest.mark.parametrize("shape", ["honest", "rare-log", "whole-seconds", "slow-network", "buffered-clock"])
def test_more_true_progress_never_worsens_a_verdict(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same GPU work, the log read to an ever later record, each time at the costs of the whole log.
    Without any progress a run is not on this scale: nothing was there to hold its work against."""
    facts = facts_of(shape)
    points = facts.frames["points"].sort("step")
    _fix_costs(facts, monkeypatch)
    parts = [points.head(max(4, points.height * share // 20)) for share in range(2, 21)]
    ranks = [
        RANK.index(_seventh(replace(facts, frames={**facts.frames, "points": part})).verdict)
        for part in parts
    ]

    assert ranks == sorted(ranks, reverse=True)


_DIGEST = """
import hashlib, sys
from slurm_guard.audit.run import audit_facts
from slurm_guard.document import to_json
from dataclasses import replace
from tests.builders import build
from tests.shapes import HONEST, TRAIN, facts_of
others = [replace(TRAIN, name=f"t{k}", job_id=k, gpus=(k - 7,), uid=1000 + k) for k in range(8, 14)]
nights = {shape: facts_of(shape) for shape in sys.argv[1:]}
nights["seven runs"] = build(replace(HONEST, board_gpus=9, tenants=(TRAIN, *others)))
for name, facts in nights.items():
    print(name, hashlib.sha256(to_json(audit_facts(facts)).encode()).hexdigest())
"""


def test_other_threads_and_another_order_of_sets_give_the_same_bytes() -> None:
    """Two processes, as on two nights: what depends on neither facts nor configuration differs in them."""
    shapes = ["co-tenant", "victim", "wrong-gpu", "one-of-eight", "tunnel-and-work", "sweep"]

    def digests(seed: str, threads: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": seed, "POLARS_MAX_THREADS": threads}
        return subprocess.run(
            [sys.executable, "-c", _DIGEST, *shapes], env=env, capture_output=True, text=True, check=True
        ).stdout

    assert digests("1", "1") == digests("2", "4") != ""


def test_windows_split_in_two_change_no_account_by_more_than_rounding() -> None:
    coarse = _seventh(facts_of("honest"))
    fine = _seventh(build(replace(SHAPES["honest"], window_s=30.0, noise=0.0, tenants=(TRAIN,))))
    allocated = coarse.run.allocated_gpu_ms

    for account in Account:
        assert abs(coarse.ledger_gpu_ms[account.value] - fine.ledger_gpu_ms[account.value]) < 0.01 * allocated

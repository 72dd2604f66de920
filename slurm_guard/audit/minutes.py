"""The ledger by GPU and minute: where in a run its accounts lie. Sums are the run's accounts, to the ms.

What belongs to a minute is what was seen there. The residual is told for the run as a whole (it is clipped
once, rulings 15) and laid where work exceeds its cost most; time that nobody saw has no GPU and no minute.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.case import Case
from slurm_guard.audit.denial import find_denial
from slurm_guard.audit.divide import CELLS
from slurm_guard.audit.ledger import EXPLAINS
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.timeline import placed
from slurm_guard.model import Account, Judgement

MINUTE_S = 60.0
NAMES = tuple(f"{a.value}_gpu_ms" for a in Account)
# The table's columns. `gpu` and `start_at` null: time of the run in which nobody looked, in one row.
SCHEMA = {
    "cluster": pl.String,
    "run": pl.String,
    "job_id": pl.Int64,
    "node": pl.String,
    "gpu": pl.String,
    "start_at": pl.Float64,
    **dict.fromkeys(NAMES, pl.Int64),
}
BATCH = 500_000  # cells whose minutes are laid out at once: some hundred MB. Judgement.
_UNSEEN = f"{Account.UNOBSERVED.value}_gpu_ms"

Tile = tuple[int, float, float, str, float, float, float]
_TILE = {
    "i": pl.Int64,
    "a": pl.Float64,
    "b": pl.Float64,
    "kind": pl.String,
    **dict.fromkeys(("residual", "wait", "denied"), pl.Float64),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One run's accounts, with what lays them out. `tiles`: stretches of one kind with the shares of own
    training work there that are residual, waiting, and denied of what is credited; empty: of nothing."""

    i: int
    judgement: Judgement
    tiles: tuple[Tile, ...] = ()


def entry(case: Case, judgement: Judgement) -> Entry:
    """The run's accounts with its tiles."""
    i, slots, study = case.place if case.place is not None else -1, case.slots, case.study
    denial = find_denial(case, judgement.findings)
    residual = placed(case, case.left.mid)
    tiles: list[Tile] = []
    for k, share in enumerate(residual):
        a, b = slots.at(k), min(slots.at(k + 1), case.run.until_at)
        shares = (share, min(case.left.wait, 1.0 - share), denial.at(study, k))
        for span in study.spans:
            from_at, until_at = max(a, span.from_at), min(b, span.until_at)
            if until_at <= from_at:
                continue
            last = tiles[-1] if tiles else None
            if last is not None and last[2] == from_at and last[3:] == (span.kind.value, *shares):
                tiles[-1] = (i, last[1], until_at, *last[3:])
            else:
                tiles.append((i, from_at, until_at, span.kind.value, *shares))
    return Entry(i, judgement, tuple(tiles))


class Book:
    """Hands on the table of runs in batches, as they come. `cells`: CELLS of all runs."""

    def __init__(self, cells: pl.DataFrame, take: Callable[[pl.LazyFrame], None]) -> None:
        self._cells, self._take = cells, take
        self._heights = dict(cells.group_by("i").len().iter_rows())
        self._batch: list[Entry] = []
        self._n = 0

    def add(self, one: Entry) -> None:
        """One more run; hands on what is there when it is enough."""
        self._batch.append(one)
        self._n += self._heights.get(one.i, 0) + 1
        if self._n >= BATCH:
            self.close()

    def close(self) -> None:
        """Hand on the rest."""
        if self._batch:
            self._take(minutes(self._cells.lazy(), self._batch))
        self._batch, self._n = [], 0


def minutes(cells: pl.LazyFrame, entries: list[Entry]) -> pl.LazyFrame:
    """The table of these runs, lazily."""
    order = pl.LazyFrame(
        [(k, e.i, e.judgement.run.cluster, e.judgement.run.id, e.judgement.run.job_id) for k, e in
         enumerate(entries)],
        schema={"k": pl.Int64, "i": pl.Int64, "cluster": pl.String, "run": pl.String, "job_id": pl.Int64},
        orient="row",
    )  # fmt: skip
    accounts = pl.LazyFrame(
        [(k, e.judgement.run.allocated_gpu_ms if e.tiles else sum(e.judgement.ledger_gpu_ms.values()),
          *(e.judgement.ledger_gpu_ms[a.value] for a in Account)) for k, e in enumerate(entries)],
        schema={"k": pl.Int64, "allocated": pl.Int64, **dict.fromkeys(NAMES, pl.Int64)},
        orient="row",
    )  # fmt: skip
    seen = _seen(cells, order, [tile for e in entries for tile in e.tiles])
    used = seen.group_by("k").agg(pl.col("length").sum().alias("used"))
    rest = (
        accounts.join(used, on="k", how="left")
        .select(
            "k",
            pl.lit(None, pl.String).alias("node"),
            pl.lit(None, pl.String).alias("gpu"),
            pl.lit(None, pl.Float64).alias("start_at"),
            *[pl.lit(0, pl.Int64).alias(name) for name in NAMES if name != _UNSEEN],
            (pl.col("allocated") * 1000 - pl.col("used").fill_null(0)).clip(1).alias(_UNSEEN),
            pl.lit(0, pl.Int64).alias("length"),
        )
        .select(seen.collect_schema().names())
    )
    every = pl.concat([seen, rest]).sort("k", "node", "gpu", "start_at", nulls_last=True)
    whole = every.join(accounts, on="k", suffix="_of_run", maintain_order="left")
    split = whole.with_columns(*[_apportioned(name) for name in NAMES])
    worth = pl.col("gpu").is_not_null() | (pl.sum_horizontal(*NAMES) > 0)
    return split.filter(worth).join(order, on="k", maintain_order="left").select(list(SCHEMA))


def _seen(cells: pl.LazyFrame, order: pl.LazyFrame, tiles: list[Tile]) -> pl.LazyFrame:
    """Weights (µs) of each account per run `k`, GPU and minute with a window, and the minute's `length`."""
    spans = pl.LazyFrame(tiles, schema=_TILE, orient="row")
    ends = spans.group_by("i").agg(pl.col("a").min().alias("from_at"), pl.col("b").max().alias("until_at"))
    here = (
        cells.select(*CELLS)
        .join(order.select("i", "k"), on="i")
        .filter(pl.col("end_at") > pl.col("start_at"))
    )
    pieces = (
        _by_minute(here, "start_at", "end_at")
        .join(_by_minute(spans, "a", "b"), on=["i", "minute"])
        .with_columns((pl.min_horizontal("end_at", "b") - pl.max_horizontal("start_at", "a")).alias("both"))
        .filter(pl.col("both") > 0)
        .with_columns((pl.col("both") / pl.col("whole")).alias("part"))
    )
    where = ["k", "i", "node", "gpu", "minute"]
    sums = pieces.group_by(where).agg(
        *[(e * 1000 + 0.5).floor().cast(pl.Int64).sum().alias(n) for n, e in _weights().items()],
        _us(pl.col("cov") * pl.col("part")).alias("covered"),
    )
    begin = pl.max_horizontal(pl.col("minute") * MINUTE_S, "from_at")
    end = pl.min_horizontal((pl.col("minute") + 1) * MINUTE_S, "until_at")
    unseen = (pl.col("length") - pl.col("covered")).clip(0) + pl.col(_UNSEEN)
    return (
        sums.join(ends, on="i")
        .with_columns(
            begin.alias("start_at"), ((end - begin) * 1e6 + 0.5).floor().cast(pl.Int64).alias("length")
        )
        .with_columns(unseen.alias(_UNSEEN))
        .select("k", "node", "gpu", "start_at", *NAMES, "length")
    )


def _by_minute(rows: pl.LazyFrame, begin: str, end: str) -> pl.LazyFrame:
    """The rows cut at whole minutes; `whole`: how long each was before, seconds."""
    first = (pl.col(begin) / MINUTE_S).floor().cast(pl.Int64)
    last = (pl.col(end) / MINUTE_S).ceil().cast(pl.Int64)
    return (
        rows.with_columns(
            (pl.col(end) - pl.col(begin)).alias("whole"), pl.int_ranges(first, last).alias("minute")
        )
        .explode("minute", empty_as_null=False)
        .with_columns(
            pl.max_horizontal(begin, pl.col("minute") * MINUTE_S).alias(begin),
            pl.min_horizontal(end, (pl.col("minute") + 1) * MINUTE_S).alias(end),
        )
    )


def _us(ms: pl.Expr) -> pl.Expr:
    """Whole µs, summed: neither order nor threads matter."""
    return (ms * 1000 + 0.5).floor().cast(pl.Int64).sum()


def _weights() -> dict[str, pl.Expr]:
    """ms of each account in a piece of one kind, as ledger.book has them for the run."""
    part, blind = pl.col("part"), pl.col("active").is_null()
    own, stray, foreign = (pl.col(c).fill_null(0.0) for c in ("own", "stray", "foreign"))
    seen = pl.when(blind).then(0.0).otherwise(pl.col("cov"))
    train = pl.col("kind") == Kind.TRAIN.value
    mine = pl.when(train).then(own).otherwise(0.0)
    credited = mine * (1.0 - pl.col("residual") - pl.col("wait"))
    books: dict[Account, pl.Expr] = {
        Account.IDLE: (seen - own - stray - foreign).clip(0.0),
        Account.FOREIGN: foreign,
        Account.RESIDUAL: stray + mine * pl.col("residual"),
        Account.WAIT: mine * pl.col("wait"),
        Account.CONTRADICTION: credited * pl.col("denied"),
        Account.PROGRESS: credited * (1.0 - pl.col("denied")),
        Account.UNOBSERVED: pl.when(blind).then(pl.col("cov")).otherwise(0.0),
    }
    for kind, account in EXPLAINS.items():
        if kind is not Kind.TRAIN:
            more = pl.when(pl.col("kind") == kind.value).then(own).otherwise(0.0)
            books[account] = books.get(account, pl.lit(0.0)) + more
    return {f"{a.value}_gpu_ms": books.get(a, pl.lit(0.0)) * part for a in Account}


def _apportioned(name: str) -> pl.Expr:
    """The run's milliseconds of an account by the rows' weights, the largest remainders rounded up; evenly by
    length where no row has a weight."""
    target = pl.col(f"{name}_of_run")
    by_length = pl.when(pl.col("length").sum().over("k") > 0).then(pl.col("length")).otherwise(1)
    weight = pl.when(pl.col(name).sum().over("k") > 0).then(pl.col(name)).otherwise(by_length)
    exact = weight / weight.sum().over("k") * target
    base = (exact * (1.0 - 1e-12)).floor().cast(pl.Int64)  # floats may not give away more than there is
    left, n = target - base.sum().over("k"), pl.len().over("k")
    place = (base - exact).rank("ordinal").over("k")
    return (base + left // n + (place <= left % n).cast(pl.Int64)).alias(name)

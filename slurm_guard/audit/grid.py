"""A run's cells summed over its GPUs on one regular grid of slots, as plain lists for the per-run study."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from slurm_guard.model import Run

MAX_SLOTS = 2000  # bounds one run's work in the audit; a 24-hour night has 1,440 minutes
# A row of no run beside those joined: Polars divides by a column of one value by multiplying with its
# inverse, which differs in the last bit: the only run of a part would be divided otherwise than one of many.
NOBODY = (-1, 1.0, 2.0)
SUMS = (
    "cov",
    "blind",
    "active",
    "own",
    "stray",
    "foreign",
    "doubt",
    "raw_stray",
    "raw_foreign",
    "dyn",
    "own_dyn",
    "dyn_cov",
    "cyc",
    "own_cyc",
    "cyc_cov",
    "pipe",
    "pipe_cov",
    "bare",
    "level",
    "energy",
)


@dataclass(frozen=True, slots=True)
class Slots:
    """Parallel lists, one entry per slot of `width_s` from `from_at`; GPU-milliseconds unless said otherwise.

    `blind`: covered, but the GPU could not say whether it worked. `doubt`: the part of `own` by processes
    that only might be linked to progress. `raw_…`: as NVML read it, not made to add up. `dyn` mJ above idle,
    `cyc` SM cycles, each with the run's own part (`own_…`, in proportion to time) and the covered
    time it was known for. `pipe`: time of the busiest pipe, where GPM tells. `bare`: own work in windows
    without any floating-point operation. `level`: covered time weighted
    by where power stood between idle and limit. `energy` mJ, null where no board gave it.
    """

    from_at: float
    width_s: float
    cov: list[float]
    blind: list[float]
    active: list[float]
    own: list[float]
    stray: list[float]
    foreign: list[float]
    doubt: list[float]
    raw_stray: list[float]
    raw_foreign: list[float]
    dyn: list[float]
    own_dyn: list[float]
    dyn_cov: list[float]
    cyc: list[float]
    own_cyc: list[float]
    cyc_cov: list[float]
    pipe: list[float]
    pipe_cov: list[float]
    bare: list[float]
    level: list[float]
    energy: list[float | None]

    def at(self, k: int) -> float:
        """When slot `k` begins."""
        return self.from_at + k * self.width_s


_ROWS = 1_000_000  # cells that are laid on slots at once: 0.3 GB. Judgement


def width_of(run: Run, window_s: float | None) -> float:
    """Slot width: the usual window, widened where the run would have more than MAX_SLOTS."""
    length = max(run.until_at - run.from_at, 1e-3)
    return max(window_s if window_s is not None else 60.0, length / MAX_SLOTS)


@dataclass(frozen=True, slots=True)
class Widths:
    """Width of the slots of each run, by its place; as a table (i, width, zero) beside NOBODY."""

    of: dict[int, float]
    table: pl.DataFrame


def lengths_of(cells: pl.DataFrame) -> pl.DataFrame:
    """Run and length, s, of each cell's window (i, w)."""
    return cells.select("i", (pl.col("raw_end_at") - pl.col("raw_start_at")).alias("w"))


def widths_of(lengths: Sequence[pl.DataFrame], runs: list[Run]) -> Widths:
    """Of every run that has a cell. `lengths`: lengths_of, of some nodes each."""
    usual = dict(pl.concat(lengths).group_by("i").agg(pl.col("w").median()).iter_rows())
    width = {i: width_of(runs[i], usual[i]) for i in usual}
    plan = pl.DataFrame(
        [*((i, width[i], runs[i].from_at) for i in width), NOBODY],
        schema={"i": pl.Int64, "width": pl.Float64, "zero": pl.Float64},
        orient="row",
    )
    return Widths(width, plan)


def grids(cells: pl.DataFrame, runs: list[Run]) -> dict[int, Slots]:
    """Slots of every run that has a cell."""
    widths = widths_of([lengths_of(cells)], runs)
    return slots_of([binned(cells, widths)], widths, runs)


def slots_of(parts: Sequence[pl.DataFrame], widths: Widths, runs: list[Run]) -> dict[int, Slots]:
    """Slots of every run that has a cell. `parts`: binned, of some nodes each."""
    table = _summed(parts).with_columns(pl.col(*SUMS) / 1000).sort("i", "slot")
    columns = {name: table[name].to_list() for name in ("slot", *SUMS)}
    found: dict[int, Slots] = {}
    begin = 0
    for i, n in table.group_by("i", maintain_order=True).len().iter_rows():
        mine = {name: values[begin : begin + n] for name, values in columns.items()}
        found[i] = _slots(mine, runs[i], widths.of[i])
        begin += n
    return found


def binned(cells: pl.DataFrame, widths: Widths) -> pl.DataFrame:
    """Sums per run and slot, of whole thousandths, so that it does not matter which come together. Of so many
    cells at once that there is room for what each of them is divided into."""
    starts = range(0, max(1, cells.height), _ROWS)
    return _summed([_thousandths(cells[at : at + _ROWS].join(widths.table, on="i")) for at in starts])


def _summed(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    if len(parts) == 1:
        return parts[0]
    energy = pl.when(pl.col("energy").is_not_null().any()).then(pl.col("energy").sum())
    return pl.concat(parts).group_by("i", "slot").agg(*[pl.col(c).sum() for c in SUMS[:-1]], energy)


def _thousandths(cells: pl.DataFrame) -> pl.DataFrame:
    """A cell over a slot's edge is divided in proportion to time."""
    known = pl.col("active").is_not_null()
    mine = pl.when(pl.col("active") > 0).then(pl.col("own") / pl.col("active")).otherwise(1.0)
    parts = cells.select(
        "i",
        "width",
        ((pl.col("start_at") - pl.col("zero")) / pl.col("width")).alias("a"),
        ((pl.col("end_at") - pl.col("zero")) / pl.col("width")).alias("b"),
        pl.col("cov"),
        pl.when(known).then(0.0).otherwise(pl.col("cov")).alias("blind"),
        *[
            pl.col(c).fill_null(0.0)
            for c in ("active", "own", "stray", "foreign", "doubt", "raw_stray", "raw_foreign", "dyn", "cyc")
        ],
        *[(pl.col(c) * mine).fill_null(0.0).alias(f"own_{c}") for c in ("dyn", "cyc")],
        pl.when(pl.col("dyn").is_not_null()).then(pl.col("cov")).otherwise(0.0).alias("dyn_cov"),
        pl.when(pl.col("cyc").is_not_null()).then(pl.col("cov")).otherwise(0.0).alias("cyc_cov"),
        pl.col("pipe").fill_null(0.0),
        pl.when(pl.col("pipe").is_not_null()).then(pl.col("cov")).otherwise(0.0).alias("pipe_cov"),
        pl.when(pl.col("bare")).then(pl.col("own")).otherwise(0.0).fill_null(0.0).alias("bare"),
        (pl.col("level").fill_null(0.0) * pl.col("cov")).alias("level"),
        pl.col("energy").cast(pl.Float64),
    ).with_columns(
        pl.int_ranges(
            (pl.col("a") + 1e-9).floor().cast(pl.Int64), (pl.col("b") - 1e-9).floor().cast(pl.Int64) + 1
        ).alias("slot")
    )
    spread = parts.explode("slot", empty_as_null=False)
    part = (
        pl.min_horizontal(pl.col("b"), pl.col("slot") + 1.0)
        - pl.max_horizontal(pl.col("a"), pl.col("slot").cast(pl.Float64))
    ) / (pl.col("b") - pl.col("a"))
    sums = [_whole_sum(pl.col(c) * part).alias(c) for c in SUMS[:-1]]
    energy = pl.when(pl.col("energy").is_not_null().any()).then(_whole_sum(pl.col("energy") * part))
    return spread.group_by("i", "slot").agg(*sums, energy.alias("energy"))


def exact_sum(value: pl.Expr) -> pl.Expr:
    """A sum that does not depend on the order of rows or on threads: of whole thousandths (rulings 24)."""
    return _whole_sum(value) / 1000


def _whole_sum(value: pl.Expr) -> pl.Expr:
    return (value * 1000 + 0.5).floor().cast(pl.Int64).sum()


def _slots(part: dict[str, list[Any]], run: Run, width: float) -> Slots:
    """Lists without holes: a slot that nobody saw has zero coverage. `part`: columns of the slots seen."""
    n = max(1, -int(-(run.until_at - run.from_at) / width // 1))
    places = [min(max(k, 0), n - 1) for k in part["slot"]]
    is_whole = places == list(range(n))
    lists: dict[str, list[float]] = {}
    for c in SUMS[:-1]:
        if is_whole:
            lists[c] = part[c]
            continue
        mine = lists[c] = [0.0] * n
        for k, value in zip(places, part[c], strict=True):
            mine[k] += value
    energy: list[float | None] = [None] * n
    for k, value in zip(places, part["energy"], strict=True):
        if value is not None:
            energy[k] = (energy[k] or 0.0) + value
    return Slots(run.from_at, width, **lists, energy=energy)


def nothing(run: Run) -> Slots:
    """The slots of a run that nobody saw."""
    return _slots({name: [] for name in ("slot", *SUMS)}, run, width_of(run, None))

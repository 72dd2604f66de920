"""Windows' rhythms as plain values, from the frames.

What beats in a window is the training's own rhythm only where the training worked alone. Where the process
list says so, or other evidence does (one process listed without times; the device files; the GPU's other
windows), a window may speak for and against the log. Where it is only known that no other run holds the GPU,
what beats there is the run's, perhaps several processes' of it: it may agree with the claimed step, as a step
that shows through another process's work does, and deny nothing. Where even that is not known it is silent.
"""

from collections.abc import Iterable

import polars as pl

from slurm_guard.audit.codes import in_one_order
from slurm_guard.audit.noise import Shape
from slurm_guard.audit.rhythm import MAX_WINDOWS, Beat
from slurm_guard.distinct import parted

MIXED = 0.1  # of a GPU's process time by others than the busiest process. Judgement.
USUAL = (
    0.5  # of a run's windows of a GPU whose list names one worker, so that it did in the others. Judgement.
)


# Cells, uses, strange windows and the windows' SHAPE columns, of some nodes.
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]


def beats_in(slices: Iterable[Tables], wanted: Iterable[int]) -> dict[int, list[Beat]]:
    """Windows of each of the runs `wanted` that carry a rhythm which may be its own, in order of time, then
    GPU, at most MAX_WINDOWS of them (every so many). A cell's `window` is its place among the SHAPE columns;
    strange windows are those in which somebody unlisted could have worked (unlisted.py). Through `slices` it
    goes twice: a run's windows are chosen among those of all."""
    runs = sorted(wanted)
    able = [_able(*tables, runs) for tables in slices]
    chosen = _chosen(able)
    rows = [
        _rows(cells, shapes, chosen.filter(pl.col("k") == k))
        for k, (cells, _, _, shapes) in enumerate(slices)
        if chosen["k"].eq(k).any()
    ]
    found: dict[int, list[Beat]] = {}
    if not rows:
        return found
    for i, a, b, fs, periods, share, spread, dips, mixed_up, shown, quartiles, middle, crossed in (
        pl.concat(rows).sort("nth").drop("nth").rows()
    ):
        shape = Shape(quartiles, middle, crossed) if shown else None
        found.setdefault(i, []).append(Beat(a, b, fs, tuple(periods), share, spread, dips, mixed_up, shape))
    return found


def _rows(cells: pl.DataFrame, shapes: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """What a beat is made of, in its place (`nth`)."""
    mine = cells.select("i", "raw_start_at", "raw_end_at", "share", "idle", "window")[chosen["at"]]
    return (
        mine.hstack(shapes[mine["window"]])
        .hstack(chosen.select("nth", "mixed"))
        .select(
            "nth",
            "i",
            "raw_start_at",
            "raw_end_at",
            "fs_hz",
            pl.col("period_s").list.drop_nulls(),
            "share",
            _spread().alias("spread"),
            _range(pl.col("busy_q_pct")).cast(pl.Float64).alias("dips_pct"),
            "mixed",
            *shape_columns(),
        )
    )


SHAPE = ("fs_hz", "period_s", "power_q_mw", "busy_q_pct", "crossings", "n")


def _able(
    cells: pl.DataFrame, uses: pl.DataFrame, strange: pl.DataFrame, shapes: pl.DataFrame, wanted: list[int]
) -> pl.DataFrame:
    """Windows of the runs `wanted` that may be chosen, by their places in `cells` (`at`), and whether several
    processes worked (`mixed`)."""
    where = ["node", "gpu", "raw_start_at"]
    beats = shapes.select(beats=pl.col("fs_hz").is_not_null() & pl.col("period_s").is_not_null())
    return (
        cells.select("i", *where, "start_at", "n_own", "held_truncated", "shared")
        .with_columns(beats["beats"].gather(cells["window"]))
        .with_row_index("at")
        .filter(pl.col("i").is_in(wanted))
        .join(_listed(uses), on=where, how="left")
        .pipe(_with, strange, where)
        .with_columns(_mixed().alias("mixed"))
        .filter("beats")
        .filter(pl.col("mixed").is_not_null())
        .select("i", "start_at", "gpu", "at", "mixed")
    )


def _chosen(able: list[pl.DataFrame]) -> pl.DataFrame:
    """Every so many of these, in order: the slice that each is of (`k`), its place there, and `nth`."""
    each = [some.with_columns(pl.lit(k, pl.Int32).alias("k")) for k, some in enumerate(in_one_order(able))]
    return (
        pl.concat(each)
        .sort("i", "start_at", "gpu")
        .filter(pl.int_range(pl.len()).over("i") % ((pl.len().over("i") - 1) // MAX_WINDOWS + 1) == 0)
        .select("k", "at", "mixed")
        .with_row_index("nth")
    )


def _with(cells: pl.DataFrame, strange: pl.DataFrame, where: list[str]) -> pl.DataFrame:
    if strange.is_empty():  # as on most nights
        return cells.with_columns(stranger=pl.lit(None, pl.Boolean))
    return cells.join(strange, on=where, how="left")


def _listed(uses: pl.DataFrame) -> pl.DataFrame:
    """Whether several of a window's listed processes worked; null: their times were not told."""
    sm = pl.col("sm_ms")
    told = sm.sum() - sm.max() > MIXED * sm.sum()
    single = pl.struct("pid", "start_ticks").n_unique() == 1
    known = pl.when(single).then(pl.lit(value=False)).when(told | ~sm.is_null().any()).then(told)
    where = ["node", "gpu", "start_at"]
    lone, several = parted(uses, where)
    found = pl.concat(
        [lone.select(*where, told=False), several.group_by(where).agg(known.alias("told"))],
    )
    return found.rename({"start_at": "raw_start_at"})


def _mixed() -> pl.Expr:
    """False: one process worked; true: several, or nobody knows how many of the run's own; null: perhaps
    another run's.
    """
    told = pl.col("told")
    here = ["i", "node", "gpu"]
    usual = (told.is_not_null().mean().over(here) >= USUAL) & ~told.any().over(here)
    alone = (pl.col("n_own") == 1) & ~pl.col("held_truncated")
    exclusive = ~pl.col("shared").fill_null(value=True) & pl.col("stranger").is_null()
    return pl.coalesce(
        told,
        pl.when(exclusive & (usual | alone.fill_null(value=False))).then(pl.lit(value=False)),
        pl.when(exclusive).then(pl.lit(value=True)),
    )


def _range(quantiles: pl.Expr) -> pl.Expr:
    """From the lowest to the highest quantile; null without any."""
    return quantiles.list.get(-1, null_on_oob=True) - quantiles.list.get(0, null_on_oob=True)


def _spread() -> pl.Expr:
    """5..95 % range of power over its middle above idle; null below three quantiles, or at idle."""
    powers = pl.col("power_q_mw")
    middle = powers.list.get(powers.list.len() // 2, null_on_oob=True) - pl.col("idle").fill_null(0.0)
    return pl.when((powers.list.len() >= 3) & (middle > 0)).then(_range(powers) / middle)


def shape_columns() -> list[pl.Expr]:
    """A window's noise.Shape, from its 5, 25, 50, 75 and 95 % quantiles: whether it has one, and its parts;
    none where the quantiles are not there or all the same."""
    powers, crossings, n = pl.col("power_q_mw"), pl.col("crossings"), pl.col("n")
    at = [powers.list.get(k, null_on_oob=True).cast(pl.Int64) for k in range(5)]
    whole = at[4] - at[0]
    return [
        ((powers.list.len() == 5) & (whole > 0)).fill_null(value=False).alias("shown"),
        ((at[3] - at[1]) / whole).alias("quartiles"),
        ((at[2] - at[0]) / whole).alias("middle"),
        pl.when(n > 1).then(crossings / (n.cast(pl.Int64) - 1)).alias("crossed"),
    ]

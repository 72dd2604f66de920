"""Windows' rhythms as plain values, from the frames.

What beats in a window is the training's own rhythm only where the training worked alone. Where the process
list says so, or other evidence does (one process listed without times; the device files; the GPU's other
windows), a window may speak for and against the log. Where it is only known that no other run holds the GPU,
what beats there is the run's, perhaps several processes' of it: it may agree with the claimed step, as a step
that shows through another process's work does, and deny nothing. Where even that is not known it is silent.
"""

from collections.abc import Iterable

import polars as pl

from slurm_guard.audit.noise import shape_of
from slurm_guard.audit.rhythm import Beat

MIXED = 0.1  # of a GPU's process time by others than the busiest process. Judgement.
USUAL = (
    0.5  # of a run's windows of a GPU whose list names one worker, so that it did in the others. Judgement.
)


def beats_of(cells: pl.DataFrame, uses: pl.DataFrame, strange: pl.DataFrame) -> dict[int, list[Beat]]:
    """Windows of each run that carry a rhythm which may be its own, in order of time, then GPU. `strange`:
    windows in which somebody unlisted could have worked (unlisted.py)."""
    where = ["node", "gpu", "raw_start_at"]
    rows = (
        cells.join(_listed(uses), on=where, how="left")
        .join(strange, on=where, how="left")
        .with_columns(_mixed().alias("mixed"))
        .filter(pl.col("fs_hz").is_not_null() & pl.col("period_s").is_not_null())
        .filter(pl.col("mixed").is_not_null())
        .sort("i", "start_at", "gpu")
        .select(
            "i",
            "raw_start_at",
            "raw_end_at",
            "fs_hz",
            "period_s",
            "share",
            "power_q_mw",
            "idle",
            "busy_q_pct",
            "crossings",
            "n",
            "mixed",
        )
    )
    found: dict[int, list[Beat]] = {}
    for i, a, b, fs, periods, share, powers, idle, busy, crossings, n, mixed_up in rows.iter_rows():
        known = tuple(p for p in periods if p is not None)
        shape = shape_of(powers or [], crossings, n)
        beat = Beat(a, b, fs, known, share, _spread(powers, idle), _range(busy), mixed_up, shape)
        found.setdefault(i, []).append(beat)
    return found


def _listed(uses: pl.DataFrame) -> pl.DataFrame:
    """Whether several of a window's listed processes worked; null: their times were not told."""
    sm = pl.col("sm_ms")
    told = sm.sum() - sm.max() > MIXED * sm.sum()
    single = pl.struct("pid", "start_ticks").n_unique() == 1
    known = pl.when(single).then(pl.lit(value=False)).when(told | ~sm.is_null().any()).then(told)
    return uses.group_by("node", "gpu", pl.col("start_at").alias("raw_start_at")).agg(known.alias("told"))


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


def _range(quantiles: Iterable[int] | None) -> float | None:
    """From the lowest to the highest quantile."""
    values = list(quantiles or [])
    return float(values[-1] - values[0]) if values else None


def _spread(quantiles: Iterable[int] | None, idle: float | None) -> float | None:
    """5..95 % range of power over its middle above idle."""
    values = list(quantiles or [])
    if len(values) < 3:
        return None
    middle = values[len(values) // 2] - (idle if idle is not None else 0.0)
    return (values[-1] - values[0]) / middle if middle > 0 else None

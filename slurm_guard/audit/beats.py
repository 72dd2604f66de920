"""Windows' rhythms as plain values, from the frames."""

from collections.abc import Iterable

import polars as pl

from slurm_guard.audit.noise import shape_of
from slurm_guard.audit.rhythm import Beat

MIXED = 0.1  # of a GPU's process time by others than the busiest process. Judgement.


def beats_of(cells: pl.DataFrame, uses: pl.DataFrame) -> dict[int, list[Beat]]:
    """Windows of each run that carry a rhythm, in order of time, then GPU."""
    sm = pl.col("sm_ms")
    mixed = uses.group_by("node", "gpu", pl.col("start_at").alias("raw_start_at")).agg(
        (sm.sum() - sm.max() > MIXED * sm.sum()).alias("mixed")
    )
    rows = (
        cells.filter(pl.col("fs_hz").is_not_null() & pl.col("period_s").is_not_null())
        .join(mixed, on=["node", "gpu", "raw_start_at"], how="left")
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
            pl.col("mixed").fill_null(value=False),
        )
    )
    found: dict[int, list[Beat]] = {}
    for i, a, b, fs, periods, share, powers, idle, busy, crossings, n, mixed_up in rows.iter_rows():
        known = tuple(p for p in periods if p is not None)
        shape = shape_of(powers or [], crossings, n)
        beat = Beat(a, b, fs, known, share, _spread(powers, idle), _range(busy), mixed_up, shape)
        found.setdefault(i, []).append(beat)
    return found


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

"""A lake as no simulation makes it: meters that are silent or lie, gaps, overlaps, doubles, strangers.

For the test that the three ledgers are the same: they must treat alike what simulated nights never have, too.
"""

from pathlib import Path

import polars as pl


def _one_in(n: int, seed: int) -> pl.Expr:
    """Some rows, the same ones each time."""
    return pl.struct("gpu", "start_at").hash(seed) % n == 0


def hurt_windows(rows: pl.DataFrame) -> pl.DataFrame:
    """The windows, hurt."""
    board = pl.col("gpu").rank("dense")
    silent, no_busy, alone, shared = (board == k for k in (2, 3, 4, 5))
    mute = silent | _one_in(17, 1) | alone
    odd = rows.with_columns(
        pl.when(mute | _one_in(23, 2)).then(None).otherwise("energy_mj").alias("energy_mj"),
        pl.when(mute).then(None).otherwise("power_mw").alias("power_mw"),
        pl.when(no_busy | alone | _one_in(19, 3)).then(None).otherwise("busy_ms").alias("busy_ms"),
        pl.when(alone).then(None).otherwise("sm_cycles").alias("sm_cycles"),
        pl.when(alone).then(pl.col("covered_ms") // 2).otherwise("sm_ms").alias("sm_ms"),
        pl.when(_one_in(29, 4)).then(None).otherwise("power_limit_mw").alias("power_limit_mw"),
        (shared | pl.col("shared")).alias("shared"),
        pl.when(_one_in(31, 5)).then(pl.col("end_at") + 17.0).otherwise("end_at").alias("end_at"),
        pl.when(_one_in(37, 6)).then(10**9).otherwise("covered_ms").alias("covered_ms"),
        pl.when(_one_in(13, 7))
        .then(pl.lit([], pl.List(pl.Int64)))
        .otherwise("power_q_mw")
        .alias("power_q_mw"),
    ).with_columns(pl.when(_one_in(11, 8)).then(0).otherwise("busy_ms").alias("busy_ms"))
    doubles = odd.filter(_one_in(41, 9)).with_columns(pl.col("covered_ms") - 1000, pl.col("end_at") - 1.0)
    return pl.concat([odd.filter(~_one_in(43, 10)), doubles])


def hurt_shares(rows: pl.DataFrame) -> pl.DataFrame:
    """The processes' shares, hurt."""
    none = pl.lit(None, pl.String)
    strangers = rows.filter(_one_in(7, 11)).with_columns(
        none.alias("run"),
        pl.col("pid") + 1_000_000,
        (pl.col("sm_ms") // 3),
        pl.lit(value=None).alias("holds"),
    )
    others = rows.filter(_one_in(9, 12)).with_columns(
        pl.lit("wide/999/nowhere/00000000/1").alias("run"), pl.col("pid") + 2_000_000, pl.col("sm_ms") // 4
    )
    kept = rows.filter(~_one_in(27, 13))
    unheld = others.with_columns(pl.lit(value=False).alias("holds"), pl.col("pid") + 1)
    return pl.concat([kept, strangers, others, unheld.filter(_one_in(2, 14)), kept.filter(_one_in(15, 15))])


def hurt(lake: Path, target: Path) -> None:
    """The two tables that the core reads, hurt, in another folder."""
    for table, change in (("windows", hurt_windows), ("shares", hurt_shares)):
        for path in sorted((lake / "v1" / table).rglob("*.parquet")):
            to = target / "v1" / table / path.parent.name / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(to)

"""What a run's GPUs did while they made no floating-point operation: hashing, or a search."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Mix:
    """Of windows without any floating-point operation (pipes.is_bare), of the SMs' time. `ints`: the middle
    of the integer pipe; `spread`: from its 10 % to its 90 % quantile; `dram`: the middle of the
    memory's traffic."""

    n: int
    ints: float
    spread: float
    dram: float


def bare_of(raw: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Such windows (i, ints, dram). `raw`: cells; `windows`: the judgeable ones."""
    bare = raw.filter(pl.col("bare").fill_null(value=False)).select("i", "node", "gpu", "raw_start_at")
    sm = pl.col("sm_ms").cast(pl.Float64)
    share = (pl.col("int_ms") / sm).alias("ints")
    return (
        bare.unique()
        .join(
            windows.filter(pl.col("sm_ms") > 0).select(
                "node", "gpu", "start_at", share, (pl.col("dram_ms") / sm).alias("dram")
            ),
            left_on=["node", "gpu", "raw_start_at"],
            right_on=["node", "gpu", "start_at"],
        )
        .select("i", "ints", "dram")
    )


def mixes(bare: Sequence[pl.DataFrame]) -> dict[int, Mix]:
    """Per run with such a window. `bare`: bare_of, of some nodes each."""
    rows = (
        pl.concat(bare)
        .group_by("i")
        .agg(
            pl.len().alias("n"),
            pl.col("ints").median(),
            (pl.col("ints").quantile(0.9, "linear") - pl.col("ints").quantile(0.1, "linear")).alias("spread"),
            pl.col("dram").fill_null(0.0).median(),
        )
        .drop_nulls()
    )
    return {i: Mix(n, ints, spread, dram) for i, n, ints, spread, dram in rows.sort("i").iter_rows()}

"""What a run's GPUs did while they made no floating-point operation: hashing, or a search."""

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


def mixes(raw: pl.DataFrame, windows: pl.DataFrame) -> dict[int, Mix]:
    """Per run with such a window. `raw`: cells; `windows`: the judgeable ones."""
    bare = raw.filter(pl.col("bare").fill_null(value=False)).select("i", "node", "gpu", "raw_start_at")
    if bare.is_empty():
        return {}
    sm = pl.col("sm_ms").cast(pl.Float64)
    share = (pl.col("int_ms") / sm).alias("ints")
    rows = (
        bare.unique()
        .join(
            windows.filter(pl.col("sm_ms") > 0).select(
                "node", "gpu", "start_at", share, (pl.col("dram_ms") / sm).alias("dram")
            ),
            left_on=["node", "gpu", "raw_start_at"],
            right_on=["node", "gpu", "start_at"],
        )
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

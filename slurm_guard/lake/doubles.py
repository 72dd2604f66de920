"""Our own sampler's windows and another monitor's of the same run or GPU: the sampler's hold."""

import polars as pl

from slurm_guard.readings import IMPORTED


def without_doubles(windows: pl.DataFrame) -> pl.DataFrame:
    """Imported windows go where a window of the sampler tells of the same job, or overlaps them on the same
    GPU; those of no run go where the sampler had the GPU at all. So a run's windows are all of one kind.
    """
    imported = (pl.col("map") == IMPORTED).fill_null(value=False)
    if not windows.select(imported.any()).item() or windows.select(imported.all()).item():
        return windows
    own, other = windows.filter(~imported), windows.filter(imported)
    jobs = own.select(_job()).drop_nulls().unique()
    boards = own.select("gpu").unique()
    left = other.with_columns(_job()).join(jobs, on="job", how="anti").drop("job")
    left = pl.concat(
        [
            left.filter(pl.col("run").is_null()).join(boards, on="gpu", how="anti"),
            _apart(left.filter(pl.col("run").is_not_null()), own),
        ]
    )
    return pl.concat([own, left])


def _job() -> pl.Expr:
    """Cluster and job of a run key."""
    return pl.col("run").str.extract(r"^([^/]+/\d+)/").alias("job")


def _apart(other: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """Those that overlap no window of the sampler on their GPU."""
    if other.is_empty():
        return other
    rows = other.with_row_index("w").sort("end_at", "w")
    # The sampler's that began before this one's end, and the furthest of their ends.
    ends = own.sort("start_at").select(
        "gpu", pl.col("start_at").alias("own_at"), pl.col("end_at").cum_max().over("gpu").alias("own_end_at")
    )
    # Strictly before: windows that only touch are apart.
    found = rows.join_asof(
        ends,
        left_on="end_at",
        right_on="own_at",
        by="gpu",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    overlaps = (pl.col("own_end_at") > pl.col("start_at")).fill_null(value=False)
    return found.filter(~overlaps).sort("w").drop("w", "own_at", "own_end_at")

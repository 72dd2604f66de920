"""Logs found in a work directory that are another run's: two jobs of one user often share it."""

import polars as pl

_FILE = ["run", "file"]
PROBLEM = "neighbour: another run's processes write this log, so it says nothing about this run"


def foreign_logs(
    logs: pl.DataFrame, files: pl.DataFrame, keys: pl.DataFrame, runs: pl.DataFrame
) -> pl.DataFrame:
    """Rows (run, file): logs that no process of the run was seen to hold (`how` walk, declared), another's.

    A process of another run held the same file while this run lived. A file that an earlier execution of the
    same job wrote stays: that run is over. What several runs read of one file is settled in `sharedlogs`.
    """
    mine = logs.join(keys.select("run", "i"), on="run").join(
        runs.select("i", "start_at", "end_at"), on="i", how="left"
    )
    walked = mine.filter(pl.col("how").is_in(["walk", "declared"]) & pl.col("ino").is_not_null())
    return _held_by_others(walked, files, keys).unique().sort(_FILE)


def without(logs: pl.DataFrame, foreign: pl.DataFrame) -> pl.DataFrame:
    """`logs` in which the foreign ones count no points and say why."""
    marked = logs.join(foreign.with_columns(pl.lit(value=True).alias("foreign")), on=_FILE, how="left")
    out = pl.col("foreign").fill_null(value=False)
    said = pl.concat_list(pl.col("problems").fill_null([]), pl.lit(PROBLEM))
    return marked.with_columns(
        pl.when(out).then(pl.lit(0, pl.Int64)).otherwise(pl.col("n")).alias("n"),
        pl.when(out).then(said).otherwise(pl.col("problems")).alias("problems"),
    ).drop("foreign")


def _held_by_others(walked: pl.DataFrame, files: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    held = (
        files.join(keys.select("run", pl.col("i").alias("other")), on="run")
        .select("other", "path", "ino", "at")
        .drop_nulls()
    )
    end = pl.col("end_at").fill_null(float("inf"))
    meets = (pl.col("other") != pl.col("i")) & pl.col("at").is_between(pl.col("start_at"), end)
    return walked.join(held, on=["path", "ino"]).filter(meets).select(_FILE)

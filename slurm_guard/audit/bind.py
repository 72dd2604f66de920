"""Which node run keys belong to which accounting run: by cluster, job id, node and interval (rulings 1)."""

import polars as pl

# Measured on the prolog's clock against slurmctld's: both are NTP seconds apart at worst; Slurm itself
# rounds to whole seconds. Judgement: a minute either side.
SLOP_S = 60.0
_KEY = r"^(?<cluster>[^/]+)/(?<job_id>\d+)/(?<node>[^/]+)/(?<boot>[^/]*)/(?<ms>\d+)$"


def known_keys(frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Every run key that any table names, with its parts; a lost ticket does not lose the run."""
    tables = ("tickets", "windows", "seals", "segments", "points", "logs")
    keys = pl.concat([frames[t].select("run") for t in tables]).drop_nulls().unique()
    parts = keys.with_columns(pl.col("run").str.extract_groups(_KEY).alias("p")).unnest("p")
    return (
        parts.with_columns(
            pl.col("job_id").cast(pl.Int64, strict=False),
            (pl.col("ms").cast(pl.Int64, strict=False) / 1000).alias("ticket_at"),
        )
        .drop("ms", "boot")
        .drop_nulls()
    )


def bind(runs: pl.DataFrame, frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Rows (run, i, node, ticket_at): each key with the one run it is part of; keys of no run are absent.

    The run whose interval is nearest to the ticket's instant wins, and of those that hold it the one that
    started last: a requeue's ticket comes after the requeue.
    """
    spread = runs.select("i", "cluster", "job_id", "start_at", "end_at", pl.col("nodes").alias("node"))
    pairs = known_keys(frames).join(spread.explode("node"), on=["cluster", "job_id", "node"])
    end = pl.col("end_at").fill_null(float("inf"))
    off = pl.max_horizontal(pl.lit(0.0), pl.col("start_at") - pl.col("ticket_at"), pl.col("ticket_at") - end)
    return (
        pairs.with_columns(off.alias("off"))
        .filter(pl.col("off") <= SLOP_S)
        .sort("run", "off", "start_at", "i", descending=[False, False, True, False])
        .unique("run", keep="first", maintain_order=True)
        .select("run", "i", "node", "ticket_at")
        .sort("run")
    )


def with_gpus_told(keys: pl.DataFrame, frames: dict[str, pl.DataFrame]) -> set[int]:
    """Runs (`i`) of which a ticket names the GPUs."""
    told = frames["tickets"].filter(pl.col("gpus").is_not_null())
    return set(told.join(keys.select("run", "i"), on="run")["i"].to_list())

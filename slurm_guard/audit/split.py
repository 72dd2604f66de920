"""Active time of each cell divided among the processes that shared the GPU, by their SM time.

NVML's per-process utilisation does not add up to the device's, so only the proportions are used for the
central value; the sums as read stay beside it (`raw_…`) for the bounds.
"""

import polars as pl

from slurm_guard.distinct import parted

CLASSES = ("linked", "kin", "beside", "stray", "foreign")


def classed(uses: pl.DataFrame, classes: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Uses of held GPUs with `cls`: linked, kin, beside (kin in doubt wherever it works), stray or foreign.

    A process of no known run: the run's own uid makes it stray (the owner's GPU, outside the job), any other
    uid foreign, no uid nothing that could be held against anybody (kin). So is one without a device file:
    the list means another there, and nobody knows whom.
    """
    held = uses.filter(pl.col("i").is_not_null()).join(
        runs.select("i", pl.col("uid").alias("run_uid")), on="i"
    )
    marked = held.join(
        classes.rename({"cls": "told"}), on=["i", "node", "pid", "start_ticks"], how="left", nulls_equal=True
    )
    nobody = pl.col("origin").is_null()
    same_uid = pl.col("uid") == pl.col("run_uid")
    return marked.with_columns(
        pl.when(pl.col("own") == pl.col("i"))
        .then(pl.col("told").fill_null("kin"))
        .when(nobody & (pl.col("uid").is_null() | pl.col("run_uid").is_null()))
        .then(pl.lit("kin"))
        .when(~pl.col("holds").fill_null(value=True))
        .then(pl.lit("kin"))
        .when(nobody & same_uid)
        .then(pl.lit("stray"))
        .otherwise(pl.lit("foreign"))
        .alias("cls")
    )


def split(cells: pl.DataFrame, marked: pl.DataFrame, strange: pl.DataFrame) -> pl.DataFrame:
    """Cells with own, stray, foreign: active ms by process class, summing to `active` (which loses what
    another run does by right on a shared GPU); `doubt`: the part of `own` that only might be linked;
    raw_stray, raw_foreign: as NVML read them. `told`: per-process times were there. `strange`: windows
    without them (run, gpu, raw_start_at) whose work is perhaps not the run's: all of it is in doubt."""
    sums = _sums(marked).rename({"window_run": "run", "start_at": "raw_start_at"})
    with_sums = cells.join(sums, on=["i", "run", "gpu", "raw_start_at"], how="left")
    if strange.is_empty():  # as on most nights
        with_sums = with_sums.with_columns(strange=pl.lit(None, pl.Boolean))
    else:
        with_sums = with_sums.join(strange, on=["run", "gpu", "raw_start_at"], how="left")
    joined = with_sums.with_columns(
        *[pl.col(c).fill_null(0.0) for c in (*[f"sm_{c}" for c in CLASSES], "top_kin")]
    )
    return _divide(joined)


def _sums(marked: pl.DataFrame) -> pl.DataFrame:
    """Time by class in each window of each run, and of the busiest kin."""
    where = ["i", "window_run", "gpu", "start_at"]
    sm = pl.col("sm_ms")
    each = {f"sm_{c}": pl.when(pl.col("cls") == c).then(sm) for c in CLASSES}
    lone, several = parted(marked, where)
    summed = several.group_by(where).agg(
        *[value.sum().cast(pl.Float64).alias(name) for name, value in each.items()],
        each["sm_kin"].max().fill_null(0).cast(pl.Float64).alias("top_kin"),
    )
    one = {**each, "top_kin": each["sm_kin"]}
    alone = [value.fill_null(0).cast(pl.Float64).alias(name) for name, value in one.items()]
    return pl.concat([lone.select(*where, *alone), summed])


def _divide(joined: pl.DataFrame) -> pl.DataFrame:
    shared = pl.col("shared").fill_null(value=False)
    total = pl.sum_horizontal(*[f"sm_{c}" for c in CLASSES])
    told = total > 0
    length = (pl.col("end_at") - pl.col("start_at")) / (pl.col("raw_end_at") - pl.col("raw_start_at"))
    # On a GPU that several runs hold, the others' processes are guests by right: neither ours nor foreign.
    foreign = pl.when(shared).then(0.0).otherwise(pl.col("sm_foreign"))
    own = pl.col("sm_linked") + pl.col("sm_kin") + pl.col("sm_beside")
    # Beside a linked process every kin is in doubt; among kin alone, all but the busiest.
    doubt = pl.col("sm_beside") + (
        pl.when(pl.col("sm_linked") > 0)
        .then(pl.col("sm_kin"))
        .otherwise(pl.col("sm_kin") - pl.col("top_kin"))
    )

    def of_active(part: pl.Expr) -> pl.Expr:
        return pl.when(told).then(pl.col("active") * part / total).otherwise(0.0)

    # Nobody's time on a shared GPU cannot be said to be this run's.
    untold = pl.when(shared).then(None).otherwise(pl.col("active"))
    return (
        joined.with_columns(
            of_active(pl.col("sm_stray")).alias("stray"),
            of_active(foreign).alias("foreign"),
            pl.when(told | pl.col("strange").is_null())
            .then(of_active(doubt))
            .otherwise(pl.col("active"))
            .alias("doubt"),
            pl.when(told).then(of_active(own)).otherwise(untold).alias("own"),
            pl.min_horizontal(pl.col("sm_stray") * length, "active").alias("raw_stray"),
            pl.min_horizontal(foreign * length, "active").alias("raw_foreign"),
            told.alias("told"),
        )
        .with_columns((pl.col("own") + pl.col("stray") + pl.col("foreign")).alias("active"))
        .with_columns(
            *[
                pl.when(pl.col("active").is_null()).then(None).otherwise(pl.col(c)).alias(c)
                for c in ("stray", "foreign", "doubt")
            ]
        )
    )

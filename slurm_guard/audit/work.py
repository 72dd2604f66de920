"""Windows to cells: one GPU of one run for one window, clipped, with its active time and its work.

Columns of a cell (times in float milliseconds until the ledger rounds once per run):
    i node gpu start_at end_at   which run, where, when (clipped to the audited part of the run)
    cov       time the sampler covered
    active    time with work on the GPU; the rest of `cov` is idle
    dyn       energy above idle, mJ; null: no believable energy or power
    cyc       SM cycles (pipes.cycles); null: none
    busy      driver's busy time (pipes.busy_ms); null: not observed
    power     mean power, mW; null: not observed
    limit     power limit, mW; null: not observed
"""

import polars as pl

from slurm_guard.audit.pipes import busy_ms, cycles, is_bare, pipe_ms

# A busy share up to this is an idle GPU: NVML's utilisation is whole percents over 1/6..1 s. Documented.
QUIET_SHARE = 0.01
# Without a single quiet window or a quantile, idle is taken as this part of the limit: data-centre boards
# idle at 9..17 % of their limit (H100 70/700, A100 50/400, T4 10/70). Judgement.
IDLE_OF_LIMIT = 0.12
# Dynamic power above this part of the range from idle to limit is work, whatever utilisation says. Judgement.
SURE_WORK = 0.15
# Below this part of the range it is noise of the meter. Measured spread of idle boards is 1..3 %. Judgement.
METER_NOISE = 0.03
# Beyond what any board draws or counts: such a reading is an error, and its sums would not fit. Judgement.
MOST_W, MOST_CYCLES = 20_000.0, 2**53
_MEASURES = ("energy_mj", "power_mw", "busy_ms", "sm_cycles")
_SHARES = ("sm_ms", "tensor_ms", "int_ms", "dram_ms", "mem_busy_ms")
_EXTENSIVE = ("cov", "energy", "busy", "cyc", "pipe")


def judgeable(windows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Windows that can be used, and those refused because they contradict themselves. Order is fixed."""
    length = (pl.col("end_at") - pl.col("start_at")) * 1000
    fine = pl.col("start_at").is_finite() & pl.col("end_at").is_finite() & (length > 0)
    # 5 % and 500 ms of play: covered time is counted on the monotonic clock, the ends on the wall's.
    fine &= (pl.col("covered_ms") >= 0) & (pl.col("covered_ms") <= length * 1.05 + 500)
    for name in _MEASURES:
        fine &= pl.col(name).is_null() | (pl.col(name) >= 0)
    fine &= pl.col("energy_mj").is_null() | (pl.col("energy_mj") <= MOST_W * (length + 1000.0))
    fine &= pl.col("power_mw").is_null() | (pl.col("power_mw") <= 1000.0 * MOST_W)
    fine &= pl.col("sm_cycles").is_null() | (pl.col("sm_cycles") <= MOST_CYCLES)
    for name in _SHARES:
        fine &= pl.col(name).is_null() | pl.col(name).is_between(0, 10.0 * (length + 1000.0))
    fine &= pl.col("busy_ms").is_null() | (pl.col("busy_ms") <= pl.col("covered_ms") * 1.05 + 500)
    # An open window may be written again when it closes: the one that covers more holds.
    order = ["run", "gpu", "start_at", "covered_ms", "end_at", "energy_mj"]
    marked = windows.with_columns(fine.fill_null(value=False).alias("fine"), pl.col("model").fill_null(""))
    good = (
        marked.filter("fine")
        .sort(order, descending=[False, False, False, True, True, True], nulls_last=True)
        .unique(["run", "gpu", "start_at"], keep="first", maintain_order=True)
        .drop("fine")
    )
    return good, marked.filter(~pl.col("fine")).drop("fine")


def idle_power(windows: pl.DataFrame) -> pl.DataFrame:
    """Idle power per GPU, mW, from its own quiet windows of the night, else its model's, else its lowest
    readings, else its limit. Columns gpu, idle, idle_from; every GPU of `windows` is there."""
    cov = pl.col("covered_ms")
    mean = pl.when(cov > 0).then(pl.coalesce(pl.col("energy_mj") * 1000 / cov, "power_mw"))
    seen = windows.filter(cov > 0).with_columns(mean.alias("mean"), (pl.col("busy_ms") / cov).alias("share"))
    quiet = seen.filter((pl.col("share") <= QUIET_SHARE) & pl.col("mean").is_not_null())
    own = quiet.group_by("gpu").agg(pl.col("mean").quantile(0.25, "linear").alias("own"))
    model = quiet.group_by("model").agg(pl.col("mean").median().alias("of_model"))
    lowest = pl.min_horizontal(pl.col("power_q_mw").list.first().min(), pl.col("mean").min())
    every = windows.group_by("gpu").agg(
        pl.col("model").sort().first(), pl.col("power_limit_mw").max().alias("limit")
    )
    low = seen.group_by("gpu").agg(lowest.alias("low"))
    limit = pl.col("limit") * IDLE_OF_LIMIT
    # The lowest reading of a GPU that never rested lies above idle, so the limit's share bounds it.
    unseen = pl.min_horizontal("low", limit)
    return (
        every.join(own, on="gpu", how="left")
        .join(model, on="model", how="left")
        .join(low, on="gpu", how="left")
        .with_columns(
            pl.coalesce("own", "of_model", unseen).alias("idle"),
            pl.when(pl.col("own").is_not_null())
            .then(pl.lit("own"))
            .when(pl.col("of_model").is_not_null())
            .then(pl.lit("model"))
            .otherwise(pl.lit("assumed"))
            .alias("idle_from"),
        )
        .select("gpu", "idle", "idle_from")
        .sort("gpu")
    )


def cells(windows: pl.DataFrame, keys: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Judgeable windows as cells of their runs, clipped, no two of one run and GPU overlapping."""
    bound = windows.join(keys.select("run", "i"), on="run").join(
        runs.select("i", "from_at", "until_at"), on="i"
    )
    return _measure(_clip(bound).join(idle_power(windows), on="gpu", how="left"))


def _clip(bound: pl.DataFrame) -> pl.DataFrame:
    """Extensive values in proportion to what is left after the run's ends and earlier windows are cut off."""
    first = bound.select(
        "i",
        "run",
        "node",
        "gpu",
        "model",
        "mig",
        "shared",
        "from_at",
        "until_at",
        "power_q_mw",
        "busy_q_pct",
        "period_s",
        "period_strength",
        "fs_hz",
        "crossings",
        "n",
        "why",
        "n_own",
        "held_truncated",
        pl.col("start_at").alias("raw_start_at"),
        pl.col("end_at").alias("raw_end_at"),
        pl.col("covered_ms").cast(pl.Float64).alias("cov"),
        pl.coalesce("energy_mj", pl.col("power_mw") * pl.col("covered_ms") / 1000).alias("energy"),
        busy_ms().alias("busy"),
        cycles().alias("cyc"),
        pipe_ms().alias("pipe"),
        is_bare().alias("bare"),
        pl.col("power_limit_mw").cast(pl.Float64).alias("limit"),
    ).sort("i", "gpu", "raw_start_at", "raw_end_at", "run")
    before = pl.col("raw_end_at").cum_max().shift(1).over("i", "gpu").fill_null(-float("inf"))
    length = pl.col("raw_end_at") - pl.col("raw_start_at")
    cut = first.with_columns(
        pl.max_horizontal("raw_start_at", "from_at", before).alias("start_at"),
        pl.min_horizontal("raw_end_at", "until_at").alias("end_at"),
    ).filter(pl.col("end_at") > pl.col("start_at"))
    part = (pl.col("end_at") - pl.col("start_at")) / length
    cut = cut.with_columns(*[(pl.col(name) * part).alias(name) for name in _EXTENSIVE])
    room = (pl.col("end_at") - pl.col("start_at")) * 1000
    # A window that covers nothing (a run may end right behind one) is unobserved, and nothing divides by it.
    return cut.with_columns(pl.min_horizontal("cov", room).alias("cov")).filter(pl.col("cov") > 0)


def _by_cycles() -> pl.Expr:
    """Working share of a board that gives neither busy time nor power: its cycles against its usual rate."""
    rate = pl.col("cyc") / pl.col("cov")
    working = rate.quantile(0.9, "linear").over("i", "gpu")
    share = pl.when(working > 0).then((rate / working).clip(0.0, 1.0)).otherwise(rate * 0.0)
    return pl.when(share <= METER_NOISE).then(0.0).otherwise(share)  # no cycles: null stays


def _measure(cut: pl.DataFrame) -> pl.DataFrame:
    """Active time, dynamic energy and mean power of each cell."""
    cut = cut.with_columns(
        pl.when(pl.col("cov") > 0).then(pl.col("energy") * 1000 / pl.col("cov")).alias("power"),
        (pl.col("busy") / pl.col("cov")).alias("share"),
    )
    # A board that holds a context idles higher than a bare one: the run's own quiet windows say how high.
    own_idle = (
        pl.col("power").filter(pl.col("share") <= QUIET_SHARE).median().over("i", "gpu").alias("own_idle")
    )
    cut = cut.with_columns(own_idle).with_columns(pl.max_horizontal("idle", "own_idle").alias("idle"))
    span = pl.max_horizontal(pl.coalesce("limit", pl.col("power").max().over("model")) - pl.col("idle"), 1.0)
    over = (pl.col("power") - pl.col("idle")).clip(0.0)  # clip keeps null, max_horizontal would not
    cut = cut.with_columns((over / span).alias("level"), (over * pl.col("cov") / 1000).alias("dyn"))
    working = pl.col("level").filter(pl.col("level") > METER_NOISE).quantile(0.9, "linear").over("i", "gpu")
    by_power = (
        pl.when(pl.col("level") <= METER_NOISE)
        .then(0.0)
        .otherwise((pl.col("level") / working).clip(0.0, 1.0))
    )
    believed = pl.col("share").is_not_null() & ~(
        (pl.col("share") <= QUIET_SHARE) & (pl.col("level") > SURE_WORK).fill_null(value=False)
    )
    share = (
        pl.when(believed)
        .then(pl.when(pl.col("share") <= QUIET_SHARE).then(0.0).otherwise(pl.col("share")))
        .otherwise(pl.coalesce(by_power, _by_cycles()))
    )
    active = share.clip(0.0, 1.0) * pl.col("cov")
    return cut.with_columns(active.alias("active")).drop("own_idle", "from_at", "until_at")

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
    window    place of its window among the judgeable ones
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.pipes import busy_ms, cycles, is_bare, pipe_ms
from slurm_guard.distinct import all_differ

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
    marked = windows.with_columns(pl.col("model").fill_null(""))
    is_fine = windows.select(fine.fill_null(value=False)).to_series()
    return _once(marked if is_fine.all() else marked.filter(is_fine)), marked.filter(~is_fine)


def _once(windows: pl.DataFrame) -> pl.DataFrame:
    """An open window may be written again when it closes: the one that covers more holds."""
    same, better = ["run", "gpu", "start_at"], ["covered_ms", "end_at", "energy_mj"]
    if all_differ(windows, same):
        return windows
    rest = [name for name in ("cluster", "node") if name in windows.columns]
    down = [False] * len(same) + [True] * len(better) + [False] * len(rest)
    ordered = windows.sort(*same, *better, *rest, descending=down, nulls_last=True, maintain_order=True)
    return ordered.unique(same, keep="first", maintain_order=True)


@dataclass(frozen=True, slots=True)
class Norms:
    """What a part of a night has to know of all of it. By model of GPU: `idle` the middle of its quiet
    windows' power, `top` the highest power of its cells, mW; null: none told. Run ids: `told`, those of which
    a ticket names the GPUs; `placed`, those that hold a board."""

    idle: Mapping[str, float | None]
    top: Mapping[str, float | None]
    told: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Survey:
    """What one part of a night has to say to the `Norms`. `quiet`: model and power (`mean`) of each quiet
    window; `top`, `placed`: as there, `placed` by place in the list of runs."""

    quiet: pl.DataFrame
    top: Mapping[str, float | None]
    placed: frozenset[int]


def survey(windows: pl.DataFrame, keys: pl.DataFrame, runs: pl.DataFrame) -> Survey:
    """Of these judgeable windows."""
    cut = _clip(_bound(windows, keys, runs)).with_columns(_power())
    quiet = _quiet(_seen(windows)).select("model", "mean")
    return Survey(quiet, _tops(cut), frozenset(cut["i"].unique().to_list()))


def norms(surveys: Sequence[Survey], told: frozenset[str], placed: frozenset[str]) -> Norms:
    """Of all parts of a night."""
    quiet = pl.concat([one.quiet for one in surveys])
    top: dict[str, float | None] = {}
    for one in surveys:
        for model, power in one.top.items():
            if power is not None:
                power = max(power, top.get(model) or power)
            top[model] = top.get(model) if power is None else power
    return Norms(_idles(quiet), top, told, placed)


def _seen(windows: pl.DataFrame, *more: pl.Expr) -> pl.DataFrame:
    """Of windows that cover anything their GPU, its model, mean power and busy share, and `more`."""
    cov = pl.col("covered_ms")
    mean = pl.when(cov > 0).then(pl.coalesce(pl.col("energy_mj") * 1000 / cov, "power_mw")).alias("mean")
    share = (pl.col("busy_ms") / cov).alias("share")
    return windows.select("gpu", "model", "covered_ms", mean, share, *more).filter(cov > 0)


def _quiet(seen: pl.DataFrame) -> pl.DataFrame:
    return seen.filter((pl.col("share") <= QUIET_SHARE) & pl.col("mean").is_not_null())


def _idles(quiet: pl.DataFrame) -> dict[str, float | None]:
    """To a tenth of a watt, below what boards tell: a late segment of one node of many then leaves it as it
    was, and with it all that was measured by it (engine/tasks.py)."""
    of_model = quiet.group_by("model").agg(pl.col("mean").median())
    return {
        model: None if mean is None else round(mean / 100.0) * 100.0 for model, mean in of_model.iter_rows()
    }


def _tops(cut: pl.DataFrame) -> dict[str, float | None]:
    return dict(cut.group_by("model").agg(pl.col("power").max()).iter_rows())


def _by_model(values: Mapping[str, float | None]) -> pl.Expr:
    """Each row's value of its model; null: none."""
    known = {model: value for model, value in values.items() if value is not None}
    return pl.col("model").replace_strict(known, default=None, return_dtype=pl.Float64)


def idle_power(windows: pl.DataFrame, models: Mapping[str, float | None] | None = None) -> pl.DataFrame:
    """Idle power per GPU, mW, from its own quiet windows of the night, else its model's, else its lowest
    readings, else its limit. Columns gpu, idle, idle_from; every GPU of `windows` is there. `models`: the
    models' of the whole night; null: these windows are all."""
    seen = _seen(windows, pl.col("power_q_mw").list.first().alias("least"))
    quiet = _quiet(seen)
    own = quiet.group_by("gpu").agg(pl.col("mean").quantile(0.25, "linear").alias("own"))
    of_model = _idles(quiet) if models is None else models
    lowest = pl.min_horizontal(pl.col("least").min(), pl.col("mean").min())
    every = windows.group_by("gpu").agg(pl.col("model").min(), pl.col("power_limit_mw").max().alias("limit"))
    low = seen.group_by("gpu").agg(lowest.alias("low"))
    limit = pl.col("limit") * IDLE_OF_LIMIT
    # The lowest reading of a GPU that never rested lies above idle, so the limit's share bounds it.
    unseen = pl.min_horizontal("low", limit)
    return (
        every.join(own, on="gpu", how="left")
        .join(low, on="gpu", how="left")
        .with_columns(_by_model(of_model).alias("of_model"))
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


def cells(
    windows: pl.DataFrame, keys: pl.DataFrame, runs: pl.DataFrame, known: Norms | None = None
) -> pl.DataFrame:
    """Judgeable windows as cells of the runs in `keys`, clipped, no two of one run and GPU overlapping.
    `known`: of the whole night; null: these windows are all of it."""
    idle = idle_power(windows, None if known is None else known.idle).drop("idle_from")
    bound = _bound(windows, keys, runs)
    cut = _clip(bound, "window", "node", "mig", "shared", "n_own", "held_truncated", *_counters())
    cut = cut.join(idle, on="gpu", how="left", maintain_order="left")
    cut = cut.with_columns(_power(), (pl.col("busy") / pl.col("cov")).alias("share"))
    return _measure(cut, _tops(cut) if known is None else known.top)


def _bound(windows: pl.DataFrame, keys: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Windows with their run and its ends, null where it is none of `keys`; `window`: their place."""
    places = windows.select("run").join(keys.select("run", "i"), on="run", how="left", maintain_order="left")
    ends = runs.select("i", "from_at", "until_at")
    told = places.select("i").join(ends, on="i", how="left", maintain_order="left")
    return windows.with_row_index("window").hstack(told)


# What is measured in a window; the rest of it (lists above all) is looked up where it is asked for.
_METER = (
    pl.col("covered_ms").cast(pl.Float64).alias("cov"),
    pl.coalesce("energy_mj", pl.col("power_mw") * pl.col("covered_ms") / 1000).alias("energy"),
)


def _counters() -> tuple[pl.Expr, ...]:
    return (
        busy_ms().alias("busy"),
        cycles().alias("cyc"),
        pipe_ms().alias("pipe"),
        is_bare().alias("bare"),
        pl.col("power_limit_mw").cast(pl.Float64).alias("limit"),
    )


def _clip(bound: pl.DataFrame, *more: str | pl.Expr) -> pl.DataFrame:
    """Extensive values in proportion to what is left after the run's ends and earlier windows are cut off.
    `more`: columns beside the meter's."""
    where = ("i", "run", "gpu", "model", "from_at", "until_at")
    times = (pl.col("start_at").alias("raw_start_at"), pl.col("end_at").alias("raw_end_at"))
    # In this order: what is left out would copy all that a window has, lists too.
    first = bound.select(*where, *times, *_METER, *more).filter(pl.col("i").is_not_null())
    order = ["raw_start_at", "raw_end_at", "run"]
    before = pl.col("raw_end_at").cum_max().shift(1).over("i", "gpu", order_by=order).fill_null(-float("inf"))
    length = pl.col("raw_end_at") - pl.col("raw_start_at")
    cut = first.with_columns(
        pl.max_horizontal("raw_start_at", "from_at", before).alias("start_at"),
        pl.min_horizontal("raw_end_at", "until_at").alias("end_at"),
    ).filter(pl.col("end_at") > pl.col("start_at"))
    part = (pl.col("end_at") - pl.col("start_at")) / length
    extensive = [name for name in _EXTENSIVE if name in cut.columns]
    cut = cut.with_columns(*[(pl.col(name) * part).alias(name) for name in extensive])
    room = (pl.col("end_at") - pl.col("start_at")) * 1000
    # A window that covers nothing (a run may end right behind one) is unobserved, and nothing divides by it.
    return cut.with_columns(pl.min_horizontal("cov", room).alias("cov")).filter(pl.col("cov") > 0)


def _by_cycles() -> pl.Expr:
    """Working share of a board that gives neither busy time nor power: its cycles against its usual rate."""
    rate = pl.col("cyc") / pl.col("cov")
    working = rate.quantile(0.9, "linear").over("i", "gpu")
    share = pl.when(working > 0).then((rate / working).clip(0.0, 1.0)).otherwise(rate * 0.0)
    return pl.when(share <= METER_NOISE).then(0.0).otherwise(share)  # no cycles: null stays


def _power() -> pl.Expr:
    """Mean power of a cell."""
    return pl.when(pl.col("cov") > 0).then(pl.col("energy") * 1000 / pl.col("cov")).alias("power")


def _measure(cut: pl.DataFrame, tops: Mapping[str, float | None]) -> pl.DataFrame:
    """Active time and dynamic energy of each cell. `tops`: the highest power of each model."""
    # A board that holds a context idles higher than a bare one: the run's own quiet windows say how high.
    own_idle = (
        pl.col("power").filter(pl.col("share") <= QUIET_SHARE).median().over("i", "gpu").alias("own_idle")
    )
    cut = cut.with_columns(own_idle).with_columns(pl.max_horizontal("idle", "own_idle").alias("idle"))
    span = pl.max_horizontal(pl.coalesce("limit", _by_model(tops)) - pl.col("idle"), 1.0)
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

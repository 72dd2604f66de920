"""Windows and shares of some nodes for one day: one row a GPU and minute, work and clock of one course.

Energy is in mJ, power in mW, times in ms, as schema.py names them. What a board does in a window is the
difference of the course's closed form at its two ends, so that neither chunks nor days matter.
"""

import polars as pl

from slurm_guard.lake.schema import TABLES
from slurm_guard.simulate.scale import calibration as c
from slurm_guard.simulate.scale.course import diverted, evaluated, started, trained
from slurm_guard.simulate.scale.draw import Seed
from slurm_guard.simulate.scale.plan import BEGIN_AT, DAY_S, Size
from slurm_guard.simulate.scale.stints import BOOT_S, CLUSTER, WINDOW_S

MOST_PID = 4_190_000  # below the kernel's 2^22
# What a board does in start-up and evaluation, of what training makes it do: judgement.
START_LOAD, EVAL_LOAD = 0.2, 0.8
PID_NOISE = 0.06
SEEN_PERIOD_S = 2.2  # a step shorter than two looks of a second has no period in them
_COURSE = (
    *("startup_s", "cycle_s", "eval_s", "sway", "sway_s", "part", "load", "stall"),
    *("sm", "tensor", "integer", "dram", "mem", "step_s"),
)


def rank_pid(index: pl.Expr) -> pl.Expr:
    """The process of a job on one of its GPUs; 15: what started it, 8 to 14: a second program's."""
    return 1000 + (pl.col("job_id") * 16 + index) % MOST_PID


def ticks(at: pl.Expr) -> pl.Expr:
    """Clock ticks since boot at an instant."""
    return ((at - (BEGIN_AT - BOOT_S)) * 100).cast(pl.Int64)


def by_minute(
    held: pl.DataFrame, free: pl.DataFrame, boards: pl.DataFrame, day: int, size: Size
) -> pl.DataFrame:
    """A row for each GPU and window that starts on the day: the rows of `held` (places) and `free` (gaps)
    with their board's columns, and start_at, end_at, dt, and what the board did."""
    from_at, until_at = BEGIN_AT + day * DAY_S, BEGIN_AT + (day + 1) * DAY_S
    keep = ["run", "job_id", "start", "kind", "size", "scenario", "onset_s", "logs", "every_s", *_COURSE]
    both = pl.concat([held.select("node", "slots", "seen_at", "ended", *keep), free], how="diagonal")
    first = ((from_at - pl.col("seen_at")).clip(0.0) / WINDOW_S).ceil().cast(pl.Int64)
    last = (
        ((pl.min_horizontal("ended", pl.lit(until_at)) - pl.col("seen_at")) / WINDOW_S).ceil().cast(pl.Int64)
    )
    spans = (
        both.filter((pl.col("seen_at") < until_at) & (pl.col("ended") > from_at))
        .with_columns(pl.int_ranges(first, last).alias("w"))
        .explode("w")
        .drop_nulls("w")
    )
    at = pl.col("seen_at") + WINDOW_S * pl.col("w")
    spans = spans.with_columns(
        at.alias("start_at"),
        pl.min_horizontal(at + WINDOW_S, "ended").alias("end_at"),
        *(pl.col(name).fill_null(0.0) for name in ("load", "stall", "part", "mem")),
    )
    rows = _worked(spans).explode("slots").rename({"slots": "index"})
    return _noised(rows.join(boards, on=["node", "index"], maintain_order="left"), size)


def _worked(spans: pl.DataFrame) -> pl.DataFrame:
    """Seconds of each kind of work of a window, which all GPUs of a run have alike."""
    a, b = pl.col("start_at") - pl.col("start"), pl.col("end_at") - pl.col("start")
    other = pl.when(pl.col("scenario").is_null()).then(0.0).otherwise(diverted(b) - diverted(a))
    return spans.with_columns(
        (pl.col("end_at") - pl.col("start_at")).alias("dt"),
        (trained(b) - trained(a)).fill_null(0.0).alias("train"),
        (evaluated(b) - evaluated(a)).fill_null(0.0).alias("eval"),
        (started(b) - started(a)).fill_null(0.0).alias("begin"),
        other.alias("other"),
    ).with_columns(
        (
            pl.col("train") * (1.0 - pl.col("stall"))
            + EVAL_LOAD * pl.col("eval")
            + START_LOAD * pl.col("begin")
        ).alias("work"),
        (pl.col("load") > 0).alias("works"),
    )


def _noised(rows: pl.DataFrame, size: Size) -> pl.DataFrame:
    """z: normal, r: within half of 1, by GPU and window; from one draw."""
    key = pl.col("g") * 2**31 + (pl.col("start_at") - BEGIN_AT).cast(pl.Int64)
    rows = rows.with_columns(Seed(size.seed).bits(key, "window").alias("bits"))
    parts = [((pl.col("bits") // 65536**k) % 65536).cast(pl.Float64) / 65536 for k in range(4)]
    return rows.with_columns(
        ((pl.sum_horizontal(parts) - 2.0) * 3.0**0.5).alias("z"), (parts[0] - 0.5).alias("r")
    ).drop("bits")


def windows(rows: pl.DataFrame) -> pl.DataFrame:
    """The table `windows`."""
    held = pl.col("run").is_not_null()
    watts = (
        pl.col("idle_w")
        + pl.when(held).then("ctx_w").otherwise(0.0)
        + pl.col("load")
        * (pl.col("tdp_w") - pl.col("idle_w"))
        * pl.col("silicon")
        * pl.col("work")
        / pl.col("dt")
        * (1.0 + c.METER_NOISE * pl.col("z"))
    )
    rows = rows.with_columns(
        (watts * (1.0 + 0.002 * pl.col("r"))).alias("watts"),
        pl.when("works").then(pl.col("work").clip(0.0, pl.col("dt"))).otherwise(0.0).alias("work"),
    )
    mine = {**_where(), **_what(), **_channels(), **_rhythm()}
    schema = TABLES["windows"]
    return rows.select(
        (mine[name].cast(dtype) if name in mine else pl.lit(None, dtype)).alias(name)
        for name, dtype in schema.items()
    )


def _where() -> dict[str, pl.Expr]:
    return {
        "cluster": pl.lit(CLUSTER),
        "node": pl.col("node_name"),
        "run": pl.col("run"),
        "gpu": pl.col("gpu"),
        "gpu_index": pl.col("index"),
        "model": pl.col("board"),
        "shared": pl.lit(value=False),
        "start_at": pl.col("start_at"),
        "end_at": pl.col("end_at"),
        "start_mono_s": pl.col("start_at") - (BEGIN_AT - BOOT_S),
        "n": pl.col("dt").round(),
        "covered_ms": (pl.col("dt") * 1000).round(),
        "gap_ms": pl.lit(0),
        "map": pl.when(pl.col("run").is_not_null()).then(pl.lit("confirmed")),
        "n_held": pl.lit(0),
        "n_own": pl.when(pl.col("run").is_not_null()).then(1),
        "held_truncated": pl.lit(value=False),
        "procs_truncated": pl.lit(value=False),
        "procs_upper": pl.when(pl.col("run").is_not_null() & pl.col("gpm")).then(statement=True),
        "why": pl.col("untold"),
    }


def _what() -> dict[str, pl.Expr]:
    """What every board tells."""
    busy = pl.col("work") > 0.02 * pl.col("dt")
    mw = pl.col("watts") * 1000
    return {
        "energy_mj": (mw * pl.col("dt")).round(),
        "power_mw": mw.round(),
        "power_inst_mw": (mw * (1.0 + 0.004 * pl.col("r"))).round(),
        "power_limit_mw": pl.col("tdp_w") * 1000,
        "busy_ms": (pl.col("work") / pl.col("dt") * 100).round() * (pl.col("dt") * 10),
        "mem_used_mib": pl.when(pl.col("run").is_not_null())
        .then(600 + pl.col("mem") * pl.col("mem_total"))
        .otherwise(0)
        .round(),
        "mem_total_mib": pl.col("mem_total"),
        "sm_clock_mhz": pl.when(busy).then("clock").otherwise("idle_clock"),
        "temp_c": (pl.col("ambient_c") + 30.0 * pl.col("watts") / pl.col("tdp_w")).round(),
        "throttle": pl.when(busy).then(0).otherwise(1),
        "pcie_tx_b": (pl.col("work") * pl.col("pcie_gbs") * 1e9 * 0.01).round(),
        "pcie_rx_b": (pl.col("work") * pl.col("pcie_gbs") * 1e9 * 0.025).round(),
        **{
            name: pl.when(pl.col("size") > 1)
            .then((pl.col("train") * pl.col("nvlink_gbs") * 1e9 * 0.2).round())
            .otherwise(0)
            for name in ("nvlink_tx_b", "nvlink_rx_b")
        },
    }


def _channels() -> dict[str, pl.Expr]:
    """What boards with GPM tell; another program's work is integer work. Null on the others."""
    own = pl.col("work") * pl.max_horizontal(1.0 - pl.col("other") / pl.col("dt"), 0.0)
    work, gpm = pl.col("work") * 1000 * (1.0 + 0.004 * pl.col("r")), pl.col("gpm")
    sm_ms = pl.min_horizontal(work * pl.col("sm"), pl.col("dt") * 1000)
    extra = pl.col("other") * 400
    found = {
        "sm_ms": sm_ms,
        "tensor_ms": own * 1000 * pl.col("tensor") * pl.col("sm"),
        "int_ms": work * pl.col("integer") * pl.col("sm") + extra,
        "dram_ms": work * pl.col("dram"),
        "sm_cycles": sm_ms * pl.col("clock") * 1000.0,
    }
    found["mem_busy_ms"] = work * pl.col("dram")
    return {name: pl.when(gpm).then(value.fill_null(0.0).round()) for name, value in found.items()}


def _rhythm() -> dict[str, pl.Expr]:
    """Quantiles of power and use, and the step's period where the looks can see it."""
    mw, share = pl.col("watts") * 1000, pl.col("work") / pl.col("dt")
    loaded = share > 0.02
    cuts = ((0.62, 0.99), (0.95, 0.995), (1.0, 1.0), (1.03, 1.005), (1.06, 1.01))
    seen = (
        loaded & (pl.col("step_s") >= SEEN_PERIOD_S) & pl.col("logs") & (pl.col("train") > 0.8 * pl.col("dt"))
    )
    period = (pl.col("step_s") * (1.0 + 0.004 * pl.col("r"))).round(3)
    return {
        "fs_hz": pl.lit(1.0),
        # of arrays, as polars makes lists of columns twenty times slower
        "power_q_mw": pl.concat_arr(
            [(mw * pl.when(loaded).then(high).otherwise(low)).round().cast(pl.Int64) for high, low in cuts]
        ),
        "busy_q_pct": pl.concat_arr([(share * 100).round().cast(pl.Int64)] * 5),
        "period_s": pl.when(seen).then(pl.concat_list(period)).otherwise(pl.lit([], pl.List(pl.Float64))),
        "period_strength": pl.when(seen)
        .then(pl.concat_list((0.9 + 0.1 * pl.col("r")).round(3)))
        .otherwise(pl.lit([], pl.List(pl.Float64))),
        "crossings": pl.when(seen).then((pl.col("dt") / pl.col("step_s") * 2).round()).otherwise(24),
    }


def shares(rows: pl.DataFrame) -> pl.DataFrame:
    """The table `shares`: the job's own process on each of its GPUs, and what is planted beside it."""
    own = rows.filter(pl.col("run").is_not_null())
    beside = own.filter(pl.col("scenario").is_in(["beside", "foreign"]) & (pl.col("other") > 0))
    first = (pl.col("index") == pl.col("index").min().over("run")) & pl.col("logs")
    lines_b = pl.when(first & (pl.col("train") > 0)).then(
        (120 * (pl.col("dt") / pl.col("every_s") + 1)).round()
    )
    rest = (1.0 - pl.col("other") / pl.col("train")).fill_nan(1.0).clip(0.0, 1.0)
    foreign = pl.col("scenario") == "foreign"
    parts = [
        _shares(
            own, "run", rank_pid(pl.col("index")), ticks(pl.col("start") + 4), rest, lines_b.fill_null(0)
        ),
        _shares(
            beside.with_columns(pl.when(foreign).then(None).otherwise("run").alias("origin")),
            "origin",
            rank_pid(pl.col("index") + 16 * 100_003),
            ticks(pl.col("start") + pl.col("onset_s").floor()),
            pl.col("other") / pl.col("train"),
            pl.lit(0),
        ),
    ]
    return pl.concat(parts)


def _shares(
    rows: pl.DataFrame, run: str, pid: pl.Expr, start_ticks: pl.Expr, part: pl.Expr, written: pl.Expr
) -> pl.DataFrame:
    second = run != "run"
    sm_ms = pl.when("works").then(pl.min_horizontal("work", "dt") * 1000).otherwise(0.0)
    mine = {
        "cluster": pl.lit(CLUSTER),
        "node": pl.col("node_name"),
        "run": pl.col(run),
        "window_run": pl.col("run"),
        "gpu": pl.col("gpu"),
        "start_at": pl.col("start_at"),
        "end_at": pl.col("end_at"),
        "pid": pid,
        "start_ticks": start_ticks,
        # the driver's figures of processes stray more than the board's: physics.py's pid_noise
        "sm_ms": pl.min_horizontal(
            sm_ms * part * (1.0 + PID_NOISE * pl.col("r")), pl.col("dt") * 1000
        ).round(),
        "mem_mib": pl.lit(3000) if second else (pl.col("mem") * pl.col("mem_total")).round(),
        "cpu_ms": (pl.col("dt") * (100 if second else 950) * (1.0 + 0.01 * pl.col("z"))).round(),
        "written_b": written,
        "stored_b": written,
    }
    return rows.select(
        (mine[name].cast(dtype) if name in mine else pl.lit(None, dtype)).alias(name)
        for name, dtype in TABLES["shares"].items()
    )

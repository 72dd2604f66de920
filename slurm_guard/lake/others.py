"""Another monitor's readings of an hour as rows of the lake: windows of runs, boards, and what made them.

Between two readings farther apart than LONGEST of their usual distance nothing is known, nor at a run's ends
up to the next reading. Whose a GPU was is another tool's word, or follows from accounting where a run had
every GPU of its nodes; else no window is written. A value that a minute's readings do not all have is null.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from slurm_guard.lake.exporters import FIELDS, SPACE, WORK, lay_out, readings_of
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Run
from slurm_guard.readings import IMPORTED, Hour

LONGEST = 2.5  # times the usual distance of readings: one may be missed. Judgement
THINNEST_S = 120.0  # readings that are usually farther apart say too little of work. Judgement
HOUR_S, WINDOW_S = 3600.0, 60.0
MOST_W = 20_000.0  # beyond what any board draws: the counter was no counter. Judgement


@dataclass(slots=True)
class Others:
    """Frames by table, and what was left out, in GPU-seconds or in things, by a few words."""

    tables: dict[str, pl.DataFrame]
    lost_s: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def rows_of(hour: Hour, cluster: str, runs: Sequence[Run]) -> Others:
    """Rows of every table that has some. `runs`: those with GPUs in this hour, of this cluster."""
    done = Others({})
    readings, about = readings_of(hour, done.left_out)
    if readings.is_empty():
        return done
    spans = _spans(readings, hour, done)
    held = _held(spans, _holders(hour), runs, hour.split_nodes, done)
    windows = _windows(held).join(about, on=["node", "gpu"], how="left")
    if windows.is_empty():
        return done
    done.tables["windows"] = _laid("windows", _as_windows(windows, cluster))
    seen = windows.select("node", "gpu").unique()
    done.tables["gpus"] = _laid(
        "gpus", _as_gpus(about.join(seen, on=["node", "gpu"], how="semi"), hour, cluster)
    )
    done.tables["events"] = _laid("events", _as_events(windows, hour, cluster))
    return done


def _spans(readings: pl.DataFrame, hour: Hour, done: Others) -> pl.DataFrame:
    """From each reading to the next where both tell of work and are near enough; ends lie in the hour."""
    of_gpu = ["node", "gpu"]
    works = pl.any_horizontal(*(pl.col(name).is_not_null() for name in WORK))
    pairs = (
        readings.filter(works)
        .with_columns(
            pl.col("t").shift(1).over(of_gpu).alias("t0"),
            *(pl.col(name).shift(1).over(of_gpu).alias(f"{name}0") for name in FIELDS),
            pl.col("label").shift(1).over(of_gpu).alias("h0"),
        )
        .filter(pl.col("t0").is_not_null())
        .with_columns((pl.col("t") - pl.col("t0")).alias("dt"), pl.col("label").alias("h1"))
    )
    pairs = pairs.with_columns(pl.col("dt").median().over("node").alias("usual_s"))
    inside = pairs.filter((pl.col("t") > hour.from_at) & (pl.col("t") <= hour.from_at + HOUR_S))
    thin = pl.col("usual_s") > THINNEST_S
    far = pl.col("dt") > LONGEST * pl.col("usual_s")
    _lose(done, inside.filter(thin), f"with readings farther apart than {THINNEST_S:g} s")
    _lose(done, inside.filter(~thin & far), "in holes between readings")
    return inside.filter(~thin & ~far)


def _lose(done: Others, spans: pl.DataFrame, why: str) -> None:
    done.lost_s[why] += round(float(spans["dt"].sum()))


def _holders(hour: Hour) -> pl.DataFrame:
    """(node, gpu, h_at, holder), in order: 0 nobody, -1 several."""
    named = [one for _, series in sorted(hour.holders.items()) for one in series]
    schema = {**SPACE, "h_at": pl.Float64, "holder": pl.Int64}
    if not named:
        return pl.DataFrame(schema=schema)
    number = pl.col("job_number").cast(pl.Int64)
    held = number.filter(number > 0)
    places = pl.DataFrame(
        [(k, one.node, one.gpu) for k, one in enumerate(named)],
        schema={"k": pl.UInt32, **SPACE},
        orient="row",
    )
    rows = lay_out(list(enumerate(named)), "job_number").join(places, on="k")
    every = rows.group_by("node", "gpu", pl.col("t").alias("h_at"))
    one = pl.when(held.n_unique() > 1).then(-1).otherwise(held.max().fill_null(0))
    return every.agg(one.alias("holder")).select(*schema).sort("h_at", "node", "gpu")


def _held(
    spans: pl.DataFrame, holders: pl.DataFrame, runs: Sequence[Run], split: set[str], done: Others
) -> pl.DataFrame:
    """Spans with the run key of who held the GPU all the while; null: nobody did."""
    spans = _looked_up(_looked_up(spans, holders, "t", "h1"), holders, "t0", "h0")
    table = _runs_table(runs, spans)
    changed = pl.col("h0").is_not_null() & pl.col("h1").is_not_null() & (pl.col("h0") != pl.col("h1"))
    several = pl.any_horizontal(pl.col("h0") < 0, pl.col("h1") < 0)
    named = (pl.col("h1") > 0) & (pl.col("h0") > 0) & ~changed
    spans = spans.with_row_index("s").with_columns(named.fill_null(value=False).alias("named"))
    pairs = spans.select("s", "node", "t0", "t", "h1", "named").join(table, on="node")
    meets = pairs.filter((pl.col("start_at") < pl.col("t")) & (pl.col("end_at") > pl.col("t0")))
    meets = meets.with_columns(
        ((pl.col("start_at") < pl.col("t0")) & (pl.col("end_at") > pl.col("t"))).alias("whole")
    )
    by_name = meets.filter(pl.col("named") & (pl.col("h1") == pl.col("job_id")) & pl.col("whole"))
    alone = meets.group_by("s").agg(pl.len().alias("n_runs"), (pl.col("whole") & pl.col("all_gpus")).all())
    alone = alone.rename({"whole": "sure"})
    sure = meets.join(alone.filter((pl.col("n_runs") == 1) & pl.col("sure")), on="s", how="semi")
    sure = sure.filter(~pl.col("named") & ~pl.col("node").is_in(sorted(split)))
    key = pl.concat([by_name, sure]).select("s", "key").unique("s", keep="first", maintain_order=True)
    spans = spans.join(key, on="s", how="left").join(alone.select("s", "n_runs"), on="s", how="left")
    free = pl.col("n_runs").is_null() | ((pl.col("h0") == 0) & (pl.col("h1") == 0)).fill_null(value=False)
    nobody = pl.col("key").is_null() & free & ~pl.col("named")
    fine = pl.col("key").is_not_null() | nobody
    shared = several.fill_null(value=False)
    _lose(done, spans.filter(shared), "on GPUs of several jobs at once")
    _lose(done, spans.filter(~fine & ~shared & changed.fill_null(value=False)), "while a GPU changed hands")
    rest = ~fine & ~shared & ~changed.fill_null(value=False)
    _lose(done, spans.filter(rest & pl.col("named")), "at the ends of runs, or of jobs that accounting lacks")
    _lose(done, spans.filter(rest & ~pl.col("named")), "of which nothing says whose the GPU was")
    return spans.filter(fine & ~shared)


def _looked_up(spans: pl.DataFrame, holders: pl.DataFrame, when: str, into: str) -> pl.DataFrame:
    """The last word on the holder before an instant, where no label has it, and if it is not too old."""
    if holders.is_empty():
        return spans
    found = spans.sort(when, "node", "gpu").join_asof(
        holders,
        left_on=when,
        right_on="h_at",
        by=["node", "gpu"],
        strategy="backward",
        check_sortedness=False,
    )
    young = (pl.col(when) - pl.col("h_at")) <= LONGEST * pl.col("usual_s")
    last = pl.when(young).then(pl.col("holder"))
    return found.with_columns(pl.coalesce(into, last).alias(into)).drop("h_at", "holder")


def _runs_table(runs: Sequence[Run], spans: pl.DataFrame) -> pl.DataFrame:
    """One row a run and node. `all_gpus`: the run had at least as many as all its nodes show."""
    shown = dict(spans.group_by("node").agg(pl.col("gpu").n_unique()).iter_rows())
    rows = [
        (
            node,
            run.job_id,
            run.start_at,
            run.until_at if run.end_at is None else run.end_at,
            f"{run.cluster}/{run.job_id}/{node}/{IMPORTED}/{round(run.start_at * 1000)}",
            all(name in shown for name in run.nodes) and run.n_gpus >= sum(shown[name] for name in run.nodes),
        )
        for run in runs
        for node in run.nodes
    ]
    schema = {"node": pl.String, "job_id": pl.Int64, "start_at": pl.Float64, "end_at": pl.Float64}
    return pl.DataFrame(rows, schema={**schema, "key": pl.String, "all_gpus": pl.Boolean}, orient="row")


def _windows(spans: pl.DataFrame) -> pl.DataFrame:
    """Spans of one minute, GPU and run as one window. A value that one of its spans lacks is null."""
    dt = pl.col("dt")
    gained = pl.col("energy") - pl.col("energy0")
    sound = (gained >= 0) & (gained <= MOST_W * 1000 * dt)
    each = spans.with_columns(
        ((pl.col("busy") + pl.col("busy0")) / 2 * dt * 1000).alias("busy_ms"),
        ((pl.col("power") + pl.col("power0")) / 2 * dt).alias("power_mj"),
        pl.when(sound).then(gained).alias("energy_mj"),
        # DCGM's profiling values are means over the time since the one before.
        *((pl.col(name) * dt * 1000).alias(f"{name}_ms") for name in ("sm", "tensor", "int", "dram")),
        ((pl.col("t") / WINDOW_S).ceil() - 1).cast(pl.Int64).alias("minute"),
    )
    whole = ("busy_ms", "power_mj", "energy_mj", "sm_ms", "tensor_ms", "int_ms", "dram_ms")
    sums = [pl.when(pl.col(n).is_not_null().all()).then(pl.col(n).sum()).alias(n) for n in whole]
    found = each.sort("node", "gpu", "t").group_by("node", "gpu", "key", "minute", maintain_order=True)
    return found.agg(
        pl.col("t0").min().alias("start_at"),
        pl.col("t").max().alias("end_at"),
        (dt.sum() * 1000).round().cast(pl.Int64).alias("covered_ms"),
        (pl.len() + 1).cast(pl.Int64).alias("n"),
        *sums,
        pl.col("mem").max().round().cast(pl.Int64).alias("mem_used_mib"),
        pl.col("limit").max().round().cast(pl.Int64).alias("power_limit_mw"),
        pl.col("usual_s").max(),
    )


def _as_windows(found: pl.DataFrame, cluster: str) -> pl.DataFrame:
    length = ((pl.col("end_at") - pl.col("start_at")) * 1000).round().cast(pl.Int64)
    names = ("busy_ms", "energy_mj", "sm_ms", "tensor_ms", "int_ms", "dram_ms")
    return found.with_columns(
        pl.lit(cluster).alias("cluster"),
        pl.col("key").alias("run"),
        (length - pl.col("covered_ms")).clip(0).alias("gap_ms"),
        (pl.col("power_mj") * 1000 / pl.col("covered_ms")).round().cast(pl.Int64).alias("power_mw"),
        *(pl.col(name).round().cast(pl.Int64) for name in names),
        (1.0 / pl.col("usual_s")).round(6).alias("fs_hz"),
        pl.lit(value=False).alias("shared"),
        pl.lit(value=False).alias("procs_truncated"),
        pl.lit(IMPORTED).alias("map"),
        pl.lit(json.dumps({"procs": IMPORTED, "held": IMPORTED, "rhythm": IMPORTED}, sort_keys=True)).alias(
            "why"
        ),
    )


def _as_gpus(about: pl.DataFrame, hour: Hour, cluster: str) -> pl.DataFrame:
    return about.with_columns(
        pl.lit(cluster).alias("cluster"),
        pl.lit(hour.from_at).alias("at"),
        pl.lit(json.dumps({"driver": IMPORTED})).alias("why"),
    )


def _as_events(windows: pl.DataFrame, hour: Hour, cluster: str) -> pl.DataFrame:
    """One a node: whose readings, how far apart, and who said whose the GPUs were."""
    holders = sorted(hour.holders)
    rows = [
        (
            cluster,
            node,
            hour.from_at,
            IMPORTED,
            json.dumps(
                {"from": "prometheus", "source": source, "interval_s": round(usual_s, 1), "holders": holders},
                sort_keys=True,
                separators=(",", ":"),
            ),
        )
        for node, source, usual_s in windows.group_by("node")
        .agg(pl.col("source").min(), pl.col("usual_s").max())
        .sort("node")
        .iter_rows()
    ]
    schema = {
        "cluster": pl.String,
        "node": pl.String,
        "at": pl.Float64,
        "name": pl.String,
        "detail": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _laid(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """With the table's columns in their order and of their types; those that are not there are null."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in TABLES[table].items()
    )

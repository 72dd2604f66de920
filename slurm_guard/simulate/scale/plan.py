"""Where and when jobs run: lanes of GPUs, each a row of jobs and gaps one after the other.

A lane is the GPUs of one job size, side by side; which sizes have how many lanes follows their shares of GPU
time. A lane's jobs are a renewal process that is in its steady state when the first night begins: most
running jobs are then old, as on a real cluster. So no scheduler is needed, no two jobs hold one GPU, and
each lane is a function of the seed and its number alone.
"""

import math
from dataclasses import dataclass

import polars as pl

from slurm_guard.simulate.scale import calibration as c
from slurm_guard.simulate.scale.draw import Seed, normal_of, phi

DAY_S = 86_400.0
BEGIN_AT = 1_760_400_000.0  # 2025-10-14 00:00 UTC: a night of no importance
_BLOCK = 24  # jobs drawn at once for each lane that is not full: only for speed
_MOST = 1 << 20  # jobs of a lane


@dataclass(frozen=True, slots=True)
class Size:
    """What was asked for. `jobs`: a night."""

    gpus: int
    jobs: int
    nights: int
    seed: str
    planted: float = c.PLANTED

    @property
    def n_nodes(self) -> int:
        return -(-self.gpus // c.GPUS_PER_NODE)

    @property
    def until_at(self) -> float:
        return BEGIN_AT + self.nights * DAY_S


@dataclass(frozen=True, slots=True)
class Plan:
    """`lanes`: lane, size, node (the first), slot (its first GPU there), n_nodes, model; in order of node.
    `jobs`: lane, k, start, end (whole epoch seconds, UTC), in order of lane and start."""

    lanes: pl.DataFrame
    jobs: pl.DataFrame


def make_plan(size: Size) -> Plan:
    """The whole plan: about 100 bytes a job."""
    lanes = lay_lanes(size)
    return Plan(lanes, _fill(lanes, size))


def lay_lanes(size: Size) -> pl.DataFrame:
    """Lanes side by side, the largest first, on all nodes."""
    free = size.gpus // c.GPUS_PER_NODE  # whole nodes
    parts: list[pl.DataFrame] = []
    node = 0
    if size.gpus >= c.GIANT_FROM:
        parts.append(_class(c.GIANT, 1, node, giant=True))
        node += c.GIANT // c.GPUS_PER_NODE
    weight = sum(_gpu_time(n, share) for n, share in c.SIZES)
    left, carried = free - node, 0.0
    for n, share in reversed(c.SIZES):
        # nodes; what is too small a share for one such job goes to the next smaller size
        wanted = left * _gpu_time(n, share) / weight + carried
        per_lane = max(1, n // c.GPUS_PER_NODE)
        n_nodes = free - node if n == 1 else int(wanted // per_lane) * per_lane
        carried = wanted - n_nodes
        if n_nodes <= 0:
            continue
        parts.append(_class(n, n_nodes * c.GPUS_PER_NODE // n, node))
        node += n_nodes
    if not parts:
        parts.append(_class(1, size.gpus, 0))
    lanes = pl.concat(parts).with_row_index("lane").with_columns(pl.col("lane").cast(pl.Int64))
    # The 50-day job takes the first lane of eight GPUs.
    first = lanes.filter(pl.col("size") == c.GPUS_PER_NODE)["lane"].min()
    return lanes.with_columns((pl.col("lane") == (-1 if first is None else first)).alias("longest"))


def _class(n: int, n_lanes: int, node: int, *, giant: bool = False) -> pl.DataFrame:
    """Lanes of one size from a node on; models in bands, so that no node has two."""
    per_node, per_lane = max(1, c.GPUS_PER_NODE // n), max(1, n // c.GPUS_PER_NODE)
    nth = pl.col("nth")
    n_blocks = -(-n_lanes // per_node)
    part = (nth // per_node + 0.5) / n_blocks
    model = pl.lit(c.MODELS[-1].key)
    low = 1.0
    for band in reversed(c.MODELS):
        low -= band.share
        model = pl.when((part >= low) & (part < low + band.share)).then(pl.lit(band.key)).otherwise(model)
    return pl.select(pl.int_range(n_lanes, dtype=pl.Int64).alias("nth")).select(
        pl.lit(n, pl.Int64).alias("size"),
        (node + (nth // per_node) * per_lane).cast(pl.Int64).alias("node"),
        ((nth % per_node) * n if n < c.GPUS_PER_NODE else pl.lit(0)).cast(pl.Int64).alias("slot"),
        pl.lit(per_lane, pl.Int64).alias("n_nodes"),
        pl.lit("h100").alias("model") if giant else model.alias("model"),
        pl.lit(giant).alias("giant"),
    )


def _gpu_time(n: int, share: float) -> float:
    """Of GPU time, the weight of jobs of n GPUs."""
    return float(share * n ** (1 + c.RUN_BY_SIZE))


def lengths(lanes: pl.DataFrame, size: Size) -> pl.DataFrame:
    """For each job size: `mu`, the logarithm of the median run time with which the lanes hold so many jobs a
    night at the published allocation; `most` and `most_old`, which part of the log-normal lies below the
    longest run, of jobs and of their time; `gap_s`, the mean gap.

    At the published number of jobs run times are the published ones; fewer jobs are longer ones.
    """
    ordinary = lanes.filter(~pl.col("giant"))
    n = ordinary.select(pl.col("size").cast(pl.Float64).pow(-c.RUN_BY_SIZE).sum()).item()
    one_s = c.ALLOCATED * DAY_S * n / max(1, size.jobs)  # the mean of jobs of one GPU
    rows = []
    for gpus in sorted(set(ordinary["size"])):
        mean_s = one_s * gpus**c.RUN_BY_SIZE
        mu = _mu_of(mean_s)
        gap_s = mean_s * (1 - c.ALLOCATED) / c.ALLOCATED
        rows.append((gpus, mu, phi(_reach(mu)), phi(_reach(mu) - c.RUN_SIGMA), gap_s))
    columns = dict.fromkeys(("mu", "most", "most_old", "gap_s"), pl.Float64)
    return pl.DataFrame(rows, schema={"size": pl.Int64, **columns}, orient="row")


def _mu_of(mean_s: float) -> float:
    """Of a log-normal that is cut at the longest run and has this mean."""
    mu = math.log(c.RUN_MEDIAN_S)
    for _ in range(60):
        kept = phi(_reach(mu) - c.RUN_SIGMA) / phi(_reach(mu))
        mu += 0.5 * (math.log(mean_s / kept) - c.RUN_SIGMA**2 / 2 - mu)
    return mu


def _reach(mu: float) -> float:
    """How many deviations the longest run lies above the median."""
    return (math.log(c.RUN_MAX_S) - mu) / c.RUN_SIGMA


def _fill(lanes: pl.DataFrame, size: Size) -> pl.DataFrame:
    seed = Seed(size.seed)
    ordinary = lanes.filter(~pl.col("giant")).select("lane", "longest", "size")
    ordinary = ordinary.join(lengths(lanes, size), on="size", maintain_order="left")
    first = _first(ordinary, seed)
    done = [first.filter(pl.col("start").is_not_null()).select("lane", "k", "start", "end")]
    if lanes["giant"].any():
        start = int(BEGIN_AT + c.GIANT_AFTER_S)
        done.append(_one(lanes.filter("giant"), start, int(size.until_at + DAY_S)))
    live = first.select("lane", "k", pl.col("end").alias("free_at"))
    until = int(size.until_at)
    while live.height:
        block = _block(live.join(ordinary, on="lane", maintain_order="left"), seed)
        done.append(block.filter(pl.col("start") < until).select("lane", "k", "start", "end"))
        live = (
            block.group_by("lane", maintain_order=True)
            .agg(pl.col("k").last(), pl.col("end").last().alias("free_at"))
            .filter(pl.col("free_at") < until)
        )
    jobs = pl.concat(done).filter(pl.col("end") > BEGIN_AT).sort("lane", "start")
    return jobs.with_columns(key_of_job().cast(pl.UInt64).alias("job"))


def key_of_job() -> pl.Expr:
    """One number for a lane's job."""
    return pl.col("lane") * _MOST + pl.col("k")


def _one(lanes: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    at = {"start": start, "end": end}
    return lanes.select(
        "lane", pl.lit(0, pl.Int64).alias("k"), *(pl.lit(v, pl.Int64).alias(k) for k, v in at.items())
    )


def _first(lanes: pl.DataFrame, seed: Seed) -> pl.DataFrame:
    """Each lane when the first night begins: within a job (drawn by length, somewhere in it) or within a gap
    (start: null, end: when the next gap may begin)."""
    key = pl.col("lane")
    z = normal_of(seed.uniform(key, "first-length") * pl.col("most_old"))
    long_s = (pl.col("mu") + c.RUN_SIGMA**2 + c.RUN_SIGMA * z).exp().clip(c.RUN_LEAST_S, c.RUN_MAX_S)
    age_s = long_s * seed.uniform(key, "first-age")
    busy = (seed.uniform(key, "first-busy") < c.ALLOCATED) | pl.col("longest")
    long_s = pl.when("longest").then(c.RUN_MAX_S).otherwise(long_s)
    age_s = pl.when("longest").then(c.LONGEST_AGE_S).otherwise(age_s)
    start = (BEGIN_AT - age_s).floor()
    return lanes.select(
        "lane",
        pl.lit(0, pl.Int64).alias("k"),
        pl.when(busy).then(start.cast(pl.Int64)).alias("start"),
        pl.when(busy).then((start + long_s).ceil()).otherwise(BEGIN_AT).cast(pl.Int64).alias("end"),
    )


def _block(live: pl.DataFrame, seed: Seed) -> pl.DataFrame:
    """The next jobs of each lane, each after a gap."""
    key = key_of_job()
    z = normal_of(seed.uniform(key, "length") * pl.col("most"))
    run = (pl.col("mu") + c.RUN_SIGMA * z).exp().clip(c.RUN_LEAST_S, c.RUN_MAX_S).ceil()
    gap = (c.GAP_LEAST_S - pl.col("gap_s") * (1.0 - seed.uniform(key, "gap")).log()).ceil()
    return (
        live.with_columns(pl.int_ranges(pl.col("k") + 1, pl.col("k") + 1 + _BLOCK).alias("k"))
        .explode("k")
        .with_columns(run.cast(pl.Int64).alias("run"), gap.cast(pl.Int64).alias("gap"))
        .with_columns(
            (pl.col("free_at") + (pl.col("run") + pl.col("gap")).cum_sum().over("lane")).alias("end")
        )
        .with_columns((pl.col("end") - pl.col("run")).alias("start"))
    )

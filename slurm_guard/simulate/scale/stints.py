"""Who holds which GPU when, for some nodes: a row for each job or gap and GPU, with what it needs of both."""

import json

import polars as pl

from slurm_guard.simulate.physics import MODELS
from slurm_guard.simulate.scale import calibration as c
from slurm_guard.simulate.scale.draw import Seed, evenly
from slurm_guard.simulate.scale.plan import BEGIN_AT, DAY_S, Size

CLUSTER = "wide"
WINDOW_S = 60.0
_NO_GPM = json.dumps(
    dict.fromkeys(("dram_ms", "int_ms", "sm_cycles", "sm_ms", "tensor_ms"), "not supported by this GPU"),
    separators=(",", ":"),
)
BOOT_S = 90 * DAY_S  # the nodes booted this long before the first night


def node_name(node: pl.Expr) -> pl.Expr:
    """As accounting and nodes call it."""
    return pl.format("gpu{}", (node + 1).cast(pl.String).str.zfill(5))


def boots(nodes: pl.DataFrame, size: Size) -> pl.DataFrame:
    """Columns node, node_name, boot_id of some nodes."""
    seed = Seed(size.seed)
    return nodes.with_columns(
        node_name(pl.col("node")).alias("node_name"), seed.digits(pl.col("node"), "boot", 32).alias("boot_id")
    )


def boards(low: int, high: int, models: pl.DataFrame, size: Size) -> pl.DataFrame:
    """The GPUs of nodes low to high - 1 with the traits that physics.py gives them. `models`: node, model."""
    seed = Seed(size.seed)
    key = pl.col("g")

    def u(stream: str) -> pl.Expr:
        return seed.uniform(key, f"board-{stream}")

    specs = pl.DataFrame(
        [
            (m.key, m.name, m.mem_mib, m.tdp_w, *m.idle_w, *m.context_w, m.max_clock_mhz, m.idle_clock_mhz,
             m.pcie_gbs, m.nvlink_gbs, m.gpm, "{}" if m.gpm else _NO_GPM)
            for m in MODELS.values()
        ],
        schema=["model", "board", "mem_total", "tdp_w", "idle_lo", "idle_hi", "ctx_lo", "ctx_hi", "clock",
                "idle_clock", "pcie_gbs", "nvlink_gbs", "gpm", "untold"],
        orient="row",
    )  # fmt: skip
    every = pl.select(pl.int_range(low * c.GPUS_PER_NODE, high * c.GPUS_PER_NODE, dtype=pl.Int64).alias("g"))
    digits = seed.digits(key, "uuid", 32)
    cuts = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))
    uuid = pl.concat_str([pl.lit("GPU")] + [pl.col("digits").str.slice(*cut) for cut in cuts], separator="-")
    return (
        every.with_columns((key // c.GPUS_PER_NODE).alias("node"), (key % c.GPUS_PER_NODE).alias("index"))
        .join(models, on="node", maintain_order="left")
        .join(specs, on="model", maintain_order="left")
        .with_columns(digits.alias("digits"))
        .with_columns(
            uuid.alias("gpu"),
            (pl.col("idle_lo") + u("idle") * (pl.col("idle_hi") - pl.col("idle_lo"))).alias("idle_w"),
            (pl.col("ctx_lo") + u("ctx") * (pl.col("ctx_hi") - pl.col("ctx_lo"))).alias("ctx_w"),
            (1.0 + 0.02 * seed.normal(key, "board-silicon")).clip(0.9, 1.1).alias("silicon"),
            evenly(u("ambient"), (24.0, 36.0)).alias("ambient_c"),
        )
        .drop("digits", "idle_lo", "idle_hi", "ctx_lo", "ctx_hi")
    )


def places(runs: pl.DataFrame, low: int, high: int, size: Size) -> pl.DataFrame:
    """Runs by node: a row for each job and node of low to high - 1. Adds node, first (the job's first node),
    node_name, boot_id, run, ticket_at, slots (its GPUs there), ended (epoch s, within the nights)."""
    per_node = pl.min_horizontal("size", c.GPUS_PER_NODE)
    spread = (
        runs.rename({"node": "first"})
        .with_columns(
            pl.int_ranges(
                pl.max_horizontal("first", low), pl.min_horizontal(pl.col("first") + pl.col("n_nodes"), high)
            ).alias("node")
        )
        .explode("node")
    )
    nodes = boots(pl.select(pl.int_range(low, high, dtype=pl.Int64).alias("node")), size)
    ticket_ms = pl.col("start") * 1000 - 1000
    return spread.join(nodes, on="node", maintain_order="left").with_columns(
        pl.format(
            "{}/{}/{}/{}/{}",
            pl.lit(CLUSTER),
            "job_id",
            "node_name",
            pl.col("boot_id").str.head(8),
            ticket_ms,
        ).alias("run"),
        (ticket_ms / 1000).alias("ticket_at"),
        pl.int_ranges(pl.col("slot"), pl.col("slot") + per_node).alias("slots"),
        pl.min_horizontal(pl.col("end").cast(pl.Float64), size.until_at).alias("ended"),
        pl.max_horizontal(pl.col("start").cast(pl.Float64), BEGIN_AT).alias("seen_at"),
    )


def gaps(lanes: pl.DataFrame, runs: pl.DataFrame, low: int, high: int, size: Size) -> pl.DataFrame:
    """Stretches in which a lane's GPUs are nobody's: node, slots, seen_at, ended."""
    ends = runs.select("lane", pl.col("start").cast(pl.Float64), pl.col("end").cast(pl.Float64))
    last = lanes.select("lane", pl.lit(size.until_at).alias("start"), pl.lit(size.until_at).alias("end"))
    free = (
        pl.concat([ends, last])
        .sort("lane", "start")
        .with_columns(pl.col("end").shift(1).over("lane").fill_null(BEGIN_AT).alias("seen_at"))
        .select(
            "lane",
            pl.max_horizontal("seen_at", BEGIN_AT),
            pl.min_horizontal("start", size.until_at).alias("ended"),
        )
        .filter(pl.col("ended") > pl.col("seen_at"))
    )
    per_node = pl.min_horizontal("size", c.GPUS_PER_NODE)
    return (
        free.join(lanes.select("lane", "size", "node", "slot", "n_nodes"), on="lane", maintain_order="left")
        .with_columns(
            pl.int_ranges(
                pl.max_horizontal("node", low), pl.min_horizontal(pl.col("node") + pl.col("n_nodes"), high)
            ).alias("node"),
            pl.int_ranges(pl.col("slot"), pl.col("slot") + per_node).alias("slots"),
        )
        .explode("node")
        .select("node", "slots", "seen_at", "ended")
    )

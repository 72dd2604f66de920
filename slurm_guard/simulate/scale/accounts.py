"""Accounting of the nights as sacct prints it, and the truth of what is planted, which goes elsewhere."""

from itertools import pairwise

import polars as pl

from slurm_guard.simulate.scale.course import diverted
from slurm_guard.simulate.scale.plan import BEGIN_AT, DAY_S, Size
from slurm_guard.simulate.scale.stints import CLUSTER
from slurm_guard.simulate.scale.tables import node_list, uid
from slurm_guard.slurm.rows import FIELDS, US

TRUTH: dict[str, pl.DataType | type[pl.DataType]] = {
    "cluster": pl.String,
    "job_id": pl.Int64,
    "start_at": pl.Int64,
    "end_at": pl.Int64,
    "gpus": pl.Int64,
    "kind": pl.String,
    "honest": pl.Boolean,
    "scenario": pl.String,
    "expect": pl.List(pl.String),
    "onset_at": pl.Float64,
    "diverted_gpu_s": pl.Float64,
    "by_night_gpu_s": pl.List(pl.Float64),
}
# A run whose GPUs another user's process works on is told, and not held against: that one stands outside.
_EXPECT = {"beside": ["ALERT", "REVIEW"], "tail": ["ALERT", "REVIEW"], "foreign": ["NOTE"]}


def sacct_lines(runs: pl.DataFrame, size: Size) -> pl.Series:
    """One line a run, in their order, without the header."""
    running = pl.col("end") > size.until_at
    ended = pl.min_horizontal("end", pl.lit(int(size.until_at)))
    gpus = pl.col("size")
    tres = pl.format(
        "billing={},cpu={},gres/gpu:{}={},gres/gpu={},mem={}G,node={}",
        gpus * 8, gpus * 8, "model", gpus, gpus, gpus * 64, "n_nodes",
    )  # fmt: skip
    state = (
        pl.when(pl.col("state") == "CANCELLED").then(pl.format("CANCELLED by {}", uid())).otherwise("state")
    )
    home = pl.format("/home/{}/{}", "user", "name")
    mine = {
        "JobIDRaw": pl.col("job_id"),
        "JobID": pl.col("job_id"),
        "Cluster": pl.lit(CLUSTER),
        "State": state,
        "Submit": pl.col("submit"),
        "Start": pl.col("start"),
        "End": pl.when(running).then(pl.lit("Unknown")).otherwise(pl.col("end").cast(pl.String)),
        "ElapsedRaw": ended - pl.col("start"),
        "Suspended": pl.lit("00:00:00"),
        "AllocTRES": tres,
        "NNodes": pl.col("n_nodes"),
        "NodeList": node_list(),
        "User": pl.col("user"),
        "UID": uid(),
        "Account": pl.col("account"),
        "Partition": pl.col("model"),
        "QOS": pl.lit("normal"),
        "StdOut": pl.concat_str(home, pl.lit("/slurm.out")),
        "WorkDir": home,
        "JobName": pl.col("name"),
    }
    cells = [mine[name].cast(pl.String) if name in mine else pl.lit("") for name in FIELDS]
    placed = runs.rename({"node": "first"})
    return placed.select(pl.concat_str(cells, separator=US).alias("line"))["line"]


def header() -> str:
    """The first line."""
    return US.join(FIELDS)


def truth(runs: pl.DataFrame, size: Size) -> pl.DataFrame:
    """What really happened, of every run; seconds of the job's GPUs that worked for others, within the nights
    and in each of them. What is right by `expect` is so of nights in which there are some."""
    edges = [BEGIN_AT + night * DAY_S for night in range(size.nights + 1)]
    ends = [pl.min_horizontal(pl.col("end").cast(pl.Float64), pl.lit(at)) - pl.col("start") for at in edges]
    # stalls are nobody's
    up_to = [diverted(end.clip(0.0)) * (1.0 - pl.col("stall")) * pl.col("size") for end in ends]
    nightly = [
        pl.when(pl.col("scenario").is_null()).then(0.0).otherwise(b - a).round(1) for a, b in pairwise(up_to)
    ]
    honest = pl.col("scenario").is_null()
    expect = pl.lit(["CLEAR", "NOTE", "NOT AUDITABLE"], pl.List(pl.String))
    for word, verdicts in _EXPECT.items():
        expect = (
            pl.when(pl.col("scenario") == word).then(pl.lit(verdicts, pl.List(pl.String))).otherwise(expect)
        )
    lost = pl.sum_horizontal(nightly)
    mine = {
        "cluster": pl.lit(CLUSTER),
        "job_id": pl.col("job_id"),
        "start_at": pl.col("start"),
        "end_at": pl.when(pl.col("end") <= size.until_at).then("end"),
        "gpus": pl.col("size"),
        "kind": pl.col("kind"),
        "honest": honest,
        "scenario": pl.col("scenario").fill_null("honest"),
        "expect": pl.when(honest | (lost > 0)).then(expect).otherwise(pl.lit(["CLEAR"], pl.List(pl.String))),
        "onset_at": pl.col("start") + pl.col("onset_s"),
        "diverted_gpu_s": lost.round(1),
        "by_night_gpu_s": pl.concat_arr(nightly),
    }
    ordered = runs.sort("start", "job_id")
    return ordered.select(mine[name].cast(dtype).alias(name) for name, dtype in TRUTH.items())

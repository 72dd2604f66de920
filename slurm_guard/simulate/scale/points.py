"""Progress: the lines of each training's log, how the file grew, and the reading of it at the run's end.

One reading a run, two seconds after its end or after the last night: what a later reading would replace is
not written. It holds the lines since the first night began.
"""

import polars as pl

from slurm_guard import __version__
from slurm_guard.lake.schema import TABLES
from slurm_guard.simulate.scale import calibration as c
from slurm_guard.simulate.scale.course import is_training, progressed
from slurm_guard.simulate.scale.draw import Seed
from slurm_guard.simulate.scale.plan import Size
from slurm_guard.simulate.scale.stints import CLUSTER
from slurm_guard.simulate.scale.windows import rank_pid

READ_AFTER_S = 2.0
LINE_B = 104
LOOK_S = 60.0
JITTER = 0.2  # of the distance of two lines: judgement
_HOW = {"fd": ("keyvalue", "train.log"), "guard": ("guard", "progress.jsonl")}


def read_of(held: pl.DataFrame, from_at: float, until_at: float, *, last: bool) -> pl.DataFrame:
    """Runs whose log is read on this day: those that log, on their first node. `last`: and all after it."""
    at = pl.col("ended") + READ_AFTER_S
    mine = (at >= from_at) & (pl.lit(last) | (at < until_at))
    source = pl.when(pl.col("how") == "guard").then(pl.lit("guard")).otherwise(pl.lit("keyvalue"))
    return held.filter(pl.col("logs") & (pl.col("node") == pl.col("first")) & mine).with_columns(
        at.alias("read_at"),
        source.alias("source"),
        pl.when(pl.col("how") == "guard")
        .then(pl.lit("guard:job"))
        .otherwise(pl.format("keyvalue:train.log~{}", pl.col("job_id") % 899_981 + 100_000))
        .alias("track"),
        pl.when(pl.col("how") == "guard")
        .then(
            pl.format("/var/spool/slurm-guard/client/{}.{}/progress.jsonl", "job_id", pl.col("start") * 1000)
        )
        .otherwise(pl.format("/home/{}/{}/{}/train.log", "user", "name", "job_id"))
        .alias("path"),
        (pl.col("job_id") * 8 + 1_000_003).alias("ino"),
    )


def lines(runs: pl.DataFrame, size: Size) -> pl.DataFrame:
    """Every line of these runs' logs, in order: the runs' columns, t (seconds from the start), step, phase,
    nth (of the file), lo, hi (between which looks it came)."""
    seed = Seed(size.seed)
    from_s, until_s = pl.col("seen_at") - pl.col("start"), pl.col("ended") - pl.col("start")
    j = pl.int_ranges(
        (from_s / pl.col("every_s")).ceil().cast(pl.Int64),
        (until_s / pl.col("every_s")).floor().cast(pl.Int64),
    )
    keys = ["run", "job", "start", "seen_at", "ended", "startup_s", "cycle_s", "eval_s", "sway", "sway_s"]
    keys += ["every_s", "step_s", "part", "onset_s", "how", "source", "track", "read_at"]
    base = runs.select(keys)
    steps = base.with_columns(j.alias("j")).explode("j").drop_nulls("j")
    shift = JITTER * (seed.uniform(_line(pl.col("j")), "line") - 0.5)
    steps = steps.with_columns(((pl.col("j") + shift) * pl.col("every_s")).alias("t"))
    done = progressed(pl.col("t"))
    steps = steps.filter(is_training(pl.col("t")) & (pl.col("t") > from_s)).with_columns(
        (done / pl.col("step_s")).floor().alias("step"), pl.lit("train").alias("phase")
    )
    late = progressed(pl.col("t")) - pl.col("step") * pl.col("step_s")
    noise = c.TIME_NOISE * (seed.uniform(_line(pl.col("j")), "line-time") - 0.5) * pl.col("every_s")
    steps = steps.with_columns((pl.col("t") - late + noise).alias("t")).drop("j")
    every = pl.concat([steps, _evaluations(base)]).filter((pl.col("step") > 0) & (pl.col("t") < until_s))
    every = every.sort("run", "t", maintain_order=True).unique(
        ["run", "step", "phase"], keep="first", maintain_order=True
    )
    look = ((pl.col("start") + pl.col("t") - pl.col("seen_at")) / LOOK_S).floor()
    return every.with_columns(
        pl.int_range(pl.len()).over("run").alias("nth"),
        (pl.col("seen_at") + look * LOOK_S).alias("lo"),
        pl.min_horizontal(pl.col("seen_at") + (look + 1) * LOOK_S, "ended").alias("hi"),
    )


def _line(number: pl.Expr) -> pl.Expr:
    """A key for each line of each job."""
    return pl.col("job") * 2**22 + number.cast(pl.UInt64)


def _evaluations(base: pl.DataFrame) -> pl.DataFrame:
    """The line that each evaluation begins with."""
    from_s, until_s = pl.col("seen_at") - pl.col("start"), pl.col("ended") - pl.col("start")
    low = ((from_s - pl.col("startup_s")) / pl.col("cycle_s")).floor().clip(0).cast(pl.Int64)
    high = ((until_s - pl.col("startup_s")) / pl.col("cycle_s")).ceil().clip(0).cast(pl.Int64)
    some = base.filter(pl.col("eval_s") > 1.0).with_columns(pl.int_ranges(low, high).alias("j")).explode("j")
    begun = pl.col("startup_s") + (pl.col("j") + 1) * pl.col("cycle_s") - pl.col("eval_s")
    some = some.drop_nulls("j").with_columns(begun.alias("t"))
    ended = (pl.col("part") >= 1.0) & (pl.col("t") >= pl.col("onset_s")).fill_null(value=False)
    return some.filter(~ended & (pl.col("t") > from_s)).select(
        *base.columns,
        "t",
        (progressed(pl.col("t")) / pl.col("step_s")).floor().alias("step"),
        pl.lit("eval").alias("phase"),
    )


def points(told: pl.DataFrame, size: Size) -> pl.DataFrame:
    """The table `points`."""
    key = _line(pl.col("step"))
    noise, slow = (Seed(size.seed).uniform(key, stream) - 0.5 for stream in ("loss", "took"))
    loss = (1.6 + 8.0 * (pl.col("step") + 20.0).pow(-0.3)) * (1.0 + 0.04 * noise)
    train = pl.col("phase") == "train"
    at = pl.col("start") + pl.col("t")
    mine = {
        **_head(),
        "track": pl.col("track"),
        "segment": pl.lit(0),
        "at": pl.when(pl.col("source") == "guard").then(at.round(3)).otherwise(at.floor()),
        "obs_lo_at": pl.col("lo"),
        "obs_hi_at": pl.col("hi"),
        "step": pl.col("step"),
        "loss": pl.when(train).then(loss.round(4)),
        "phase": pl.col("phase"),
        "offset": pl.col("nth") * LINE_B,
        "flags": pl.when(pl.col("source") == "guard")
        .then(pl.lit([], pl.List(pl.String)))
        .otherwise(pl.lit(["naive-clock"], pl.List(pl.String))),
        "took_s": pl.when(train & (pl.col("source") != "guard")).then(
            (pl.col("step_s") * (1.0 + 0.05 * slow)).round(3)
        ),
    }
    return _select("points", told, mine)


def logs(runs: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The table `logs`: one file a run."""
    n = told.group_by("run", maintain_order=True).agg(pl.len().alias("n"))
    rows = runs.join(n, on="run", how="left", maintain_order="left").with_columns(pl.col("n").fill_null(0))
    mine = {
        **_head(),
        "path": pl.col("path"),
        "how": pl.col("how"),
        "source": pl.when(pl.col("n") > 0).then("source"),
        "track": pl.when(pl.col("n") > 0).then("track").otherwise(pl.lit("")),
        "size": pl.col("n") * LINE_B,
        "ino": pl.col("ino"),
        "n": pl.col("n"),
        "read_b": pl.col("n") * LINE_B,
        "bind_conf": pl.lit(1.0),
        "pids": pl.concat_list(rank_pid(pl.col("slots").list.first())),
        "problems": pl.when(pl.col("n") > 0)
        .then(pl.lit([], pl.List(pl.String)))
        .otherwise(pl.lit(["no-progress: no line in it says how far a training is"], pl.List(pl.String))),
        "reader": pl.lit(__version__),
        "truncated": pl.lit(value=False),
    }
    return _select("logs", rows, mine)


def files(runs: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The table `files`: a sight of the log at each look at which it had grown."""
    grown = told.group_by("run", "hi", maintain_order=True).agg(
        ((pl.col("nth").max() + 1) * LINE_B).alias("size"), (pl.col("start") + pl.col("t")).max().alias("at")
    )
    pid = rank_pid(pl.col("slots").list.first())
    rows = grown.join(
        runs.select("run", "path", "how", "ino", "job_id", "slots"), on="run", maintain_order="left"
    )
    mine = {
        "cluster": pl.lit(CLUSTER),
        "node": pl.col("run").str.split("/").list.get(2),
        "run": pl.col("run"),
        "at": pl.col("hi"),
        "path": pl.col("path"),
        "how": pl.col("how"),
        "dev": pl.lit(64_768),
        "ino": pl.col("ino"),
        "size": pl.col("size"),
        "ctime_ns": (pl.col("at") * 1e9).cast(pl.Int64),
        "pid": pid,
        "pids": pl.concat_list(pid),
        "why": pl.lit("{}"),
    }
    return _select("files", rows, mine)


def _head() -> dict[str, pl.Expr]:
    return {
        "cluster": pl.lit(CLUSTER),
        "node": pl.col("run").str.split("/").list.get(2),
        "run": pl.col("run"),
        "read": pl.lit(0),
        "read_at": pl.col("read_at"),
        "file": pl.lit(0),
    }


def _select(table: str, rows: pl.DataFrame, mine: dict[str, pl.Expr]) -> pl.DataFrame:
    return rows.select(
        (mine[name].cast(dtype) if name in mine else pl.lit(None, dtype)).alias(name)
        for name, dtype in TABLES[table].items()
    )

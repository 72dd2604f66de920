"""What each job is: whose, which program, how it behaves on its GPUs, how it ends, and what is planted in it.

Columns that are added to a plan's jobs (seconds count from the job's start unless they are `_at`):
    job_id, submit (epoch s), state, user_no, user, account, name, kind, logs (it logs progress), how
    startup_s, cycle_s, eval_s, sway, sway_s     the course (course.py)
    step_s, every_s       of one step at the nominal rate; between two lines of the log
    load, stall           of the range between idle and limit; of wall time lost to waiting
    sm, tensor, integer, dram, mem               shares of the board's maximum
    scenario, onset_s, part                      null: honest; else from when on, and which part of the work
"""

import polars as pl

from slurm_guard.simulate.scale import calibration as c
from slurm_guard.simulate.scale.draw import Seed, by_size, evenly, pick
from slurm_guard.simulate.scale.plan import BEGIN_AT, DAY_S, Plan, Size

FIRST_JOB = 1_000_001
_NAMES = ("pretrain", "finetune", "sft", "vit", "bert", "diffusion", "asr", "gnn", "dpo", "moe")


def describe(plan: Plan, size: Size) -> pl.DataFrame:
    """The plan's jobs with everything that is known of each, in order of lane and start."""
    seed = Seed(size.seed)
    jobs = plan.jobs.join(plan.lanes, on="lane", maintain_order="left")
    numbered = jobs.select("job", "start").sort("start", "job").select("job").with_row_index("nth")
    jobs = jobs.join(numbered, on="job", maintain_order="left").with_columns(
        (pl.col("nth").cast(pl.Int64) + FIRST_JOB).alias("job_id")
    )
    n_users = max(60, round(size.jobs / c.JOBS_PER_USER))
    jobs = jobs.with_columns(
        (seed.uniform(pl.col("job"), "user").pow(1.7) * n_users).cast(pl.Int64).alias("user_no"),
        (seed.uniform(pl.col("job"), "recipe").pow(1.3) * c.RECIPES).cast(pl.Int64).alias("recipe_no"),
    ).with_columns((pl.col("user_no") * c.RECIPES + pl.col("recipe_no")).cast(pl.UInt64).alias("recipe"))
    jobs = jobs.with_columns(*_of_recipe(seed))
    jobs = jobs.with_columns(*_of_run(seed))
    jobs = jobs.with_columns(*_names())
    jobs = _end(jobs, seed, size)
    jobs = _queue(jobs, seed, size)
    return _plant(jobs, seed, size).drop("nth", "k", "word")


def _of_recipe(seed: Seed) -> list[pl.Expr]:
    """What one program of one user has in all its runs."""
    key = pl.col("recipe")

    def u(stream: str) -> pl.Expr:
        return seed.uniform(key, f"recipe-{stream}")

    kind = pick(u("kind"), c.KINDS)
    return [
        kind.alias("kind"),
        pl.when(u("how") < 0.4).then(pl.lit("guard")).otherwise(pl.lit("fd")).alias("how"),
        by_size(u("step"), c.STEP_S).alias("step_s"),
        by_size(u("every"), c.LOG_EVERY_S).alias("every_s"),
        by_size(u("cycle"), c.EVAL_EVERY_S).alias("cycle_s"),
        evenly(u("eval"), c.EVAL_SHARE).alias("eval_share"),
        evenly(u("sway"), c.WOBBLE).alias("sway"),
        by_size(u("sway-long"), c.WOBBLE_S).alias("sway_s"),
        evenly(u("stall"), c.STALL).alias("stall"),
        # as physics.py has its kinds: training draws 0.68 to 0.97 of the range, serving 0.28 to 0.66
        pl.when(kind == "serve")
        .then(evenly(u("load"), (0.28, 0.66)))
        .otherwise(evenly(u("load"), (0.68, 0.95)))
        .alias("load"),
        evenly(u("sm"), (0.75, 0.95)).alias("sm"),
        evenly(u("tensor"), (0.30, 0.65)).alias("tensor"),
        evenly(u("integer"), (0.08, 0.22)).alias("integer"),
        evenly(u("dram"), (0.30, 0.62)).alias("dram"),
        evenly(u("mem"), (0.3, 0.8)).alias("mem"),
    ]


def _of_run(seed: Seed) -> list[pl.Expr]:
    """What differs from run to run of a program."""
    long_s = (pl.col("end") - pl.col("start")).cast(pl.Float64)
    startup = c.STARTUP_MEDIAN * (c.STARTUP_SIGMA * seed.normal(pl.col("job"), "startup")).exp()
    step = pl.col("step_s") * (1.0 + c.COST_SIGMA * seed.normal(pl.col("job"), "cost"))
    idle = pl.col("kind") == "notebook"
    startup_s = (startup.clip(0.001, c.STARTUP_MOST) * long_s).clip(2.0, c.STARTUP_MOST_S)
    soon_s = ((long_s - startup_s) / c.LINES_LEAST).clip(c.LOG_LEAST_S)
    return [
        startup_s.alias("startup_s"),
        pl.min_horizontal("every_s", soon_s).alias("every_s"),
        (pl.col("cycle_s") * pl.col("eval_share")).alias("eval_s"),
        step.alias("step_s"),
        pl.when(idle).then(0.0).otherwise("load").alias("load"),
        (pl.col("kind") == "train").alias("logs"),
    ]


def _names() -> list[pl.Expr]:
    user = pl.format("u{}", pl.col("user_no").cast(pl.String).str.zfill(5))
    words = pl.lit(pl.Series(_NAMES)).gather(pl.col("recipe") % len(_NAMES))
    return [
        user.alias("user"),
        pl.format("a{}", (pl.col("user_no") // 12).cast(pl.String).str.zfill(4)).alias("account"),
        pl.when(pl.col("kind") == "train").then(words).otherwise("kind").alias("word"),
        pl.format(
            "{}-{}", pl.when(pl.col("kind") == "train").then(words).otherwise("kind"), pl.col("recipe_no")
        ).alias("name"),
    ]


def _end(jobs: pl.DataFrame, seed: Seed, size: Size) -> pl.DataFrame:
    """States, by two classes of length."""
    u = seed.uniform(pl.col("job"), "state")
    short = (pl.col("end") - pl.col("start")) < c.SHORT_S
    state = pl.lit("COMPLETED")
    high = pl.lit(0.0)
    for word, shares in (("CANCELLED", c.CANCELLED), ("FAILED", c.FAILED), ("TIMEOUT", c.TIMED_OUT)):
        low, high = high, high + pl.when(short).then(shares[0]).otherwise(shares[1])
        state = pl.when((u >= low) & (u < high)).then(pl.lit(word)).otherwise(state)
    running = pl.col("end") > size.until_at
    return jobs.with_columns(pl.when(running).then(pl.lit("RUNNING")).otherwise(state).alias("state"))


def _queue(jobs: pl.DataFrame, seed: Seed, size: Size) -> pl.DataFrame:
    """Submit times: alone, or thousands within the burst that each night has."""
    wait = c.WAIT_MEDIAN_S * (c.WAIT_SIGMA * seed.normal(pl.col("job"), "wait")).exp()
    none = seed.uniform(pl.col("job"), "waits") < c.WAIT_NONE
    alone = pl.col("start") - pl.when(none).then(1.0).otherwise(wait.clip(1.0, 7 * DAY_S)).ceil()
    night = ((pl.col("start") - BEGIN_AT) / DAY_S).floor()
    burst_at = BEGIN_AT + night * DAY_S + 9 * 3600.0
    since = pl.col("start") - burst_at
    inside = since.is_between(c.BURST_S, c.BURST_S + c.BURST_SPREAD_S)
    # so many start in these hours; the burst takes the part of them that makes it as large as it was
    met = size.jobs * c.BURST_SPREAD_S / DAY_S
    part = min(c.BURST_JOBS, c.BURST_SHARE * size.jobs) / max(1.0, met)
    burst = inside & (seed.uniform(pl.col("job"), "burst") < part) & ~pl.col("giant")
    at = burst_at + seed.uniform(pl.col("job"), "burst-at") * c.BURST_S
    return jobs.with_columns(pl.when(burst).then(at.floor()).otherwise(alone).cast(pl.Int64).alias("submit"))


def _plant(jobs: pl.DataFrame, seed: Seed, size: Size) -> pl.DataFrame:
    """A small share of the long trainings is not what it says."""
    from_s = pl.max_horizontal(BEGIN_AT - pl.col("start"), 0.0)
    until_s = pl.min_horizontal(
        size.until_at - pl.col("start"), (pl.col("end") - pl.col("start")).cast(pl.Float64)
    )
    long_s = until_s - from_s
    may = (pl.col("logs")) & (long_s >= c.PLANTED_LEAST_S) & (pl.col("size") <= 64)
    chosen = may & (seed.uniform(pl.col("job"), "planted") < size.planted)
    which = seed.bits(pl.col("job"), "scenario") % len(c.SCENARIOS)
    words = pl.lit(pl.Series(c.SCENARIOS)).gather(which)
    onset = from_s + long_s * evenly(seed.uniform(pl.col("job"), "onset"), c.ONSET)
    part = evenly(seed.uniform(pl.col("job"), "part"), c.DIVERTED)
    return jobs.with_columns(
        pl.when(chosen).then(words).alias("scenario"),
        pl.when(chosen).then(onset.floor()).alias("onset_s"),
        pl.when(chosen).then(pl.when(words == "tail").then(1.0).otherwise(part)).otherwise(0.0).alias("part"),
    )

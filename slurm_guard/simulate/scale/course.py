"""A run's course in closed form: start-up, then training in cycles that end with an evaluation.

All are functions of the seconds since the job's start, so that a window and a line of the log that speak of
the same moment agree, wherever either is computed.
"""

import math

import polars as pl


def started(t: pl.Expr) -> pl.Expr:
    """Seconds of start-up up to t."""
    return pl.min_horizontal(t, "startup_s")


def evaluated(t: pl.Expr) -> pl.Expr:
    """Seconds of evaluation up to t."""
    u = (t - pl.col("startup_s")).clip(0.0)
    n = (u / pl.col("cycle_s")).floor()
    return n * pl.col("eval_s") + (u - (n + 1.0) * pl.col("cycle_s") + pl.col("eval_s")).clip(0.0)


def trained(t: pl.Expr) -> pl.Expr:
    """Seconds of training at the nominal rate up to t: what the GPU was given to do, whosever it was.

    The rate sways slowly about the nominal one: work and progress do so together.
    """
    plain = (t - pl.col("startup_s")).clip(0.0) - evaluated(t)
    turn = 2.0 * math.pi / pl.col("sway_s")
    return plain + pl.col("sway") / turn * (1.0 - (turn * plain).cos())


def progressed(t: pl.Expr) -> pl.Expr:
    """The part of it that is the job's own training; the rest is what is planted."""
    onset = pl.col("onset_s").fill_null(math.inf)
    own = trained(pl.min_horizontal(t, onset))
    return own + (1.0 - pl.col("part")) * (trained(t) - own)


def diverted(t: pl.Expr) -> pl.Expr:
    """Seconds of the GPU up to t that were not the job's."""
    return trained(t) - progressed(t)


def is_training(t: pl.Expr) -> pl.Expr:
    """Whether the log can say something at t."""
    u = t - pl.col("startup_s")
    within = u - (u / pl.col("cycle_s")).floor() * pl.col("cycle_s")
    ended = (pl.col("part") >= 1.0) & (t >= pl.col("onset_s")).fill_null(value=False)
    return (u > 0.0) & (within < pl.col("cycle_s") - pl.col("eval_s")) & ~ended

"""What the SMs' pipes did in a window, where the GPU tells (GPM: Hopper and later). Columns of `windows`."""

import polars as pl

# Measured on an H100 (docs/gpu-measurements.md): trainings kept tensor and floating-point pipes busy for 170
# to 480 ms of a second, integer hashing for 0. Where memory is read as fast as it can be, adding up one
# value in four bytes alone is 12 ms. Below both of these nothing that learns has run. Judgement.
LEAST_OF_SM = 0.001  # of the time with warps on the SMs
LEAST_OF_DRAM = 0.002  # of the time in which memory moved
INTEGER = 0.2  # of the SMs' time; polling keeps a few warps on the integer pipe and nothing else. Judgement.
_WHOLE_MS = 1.0  # windows count whole milliseconds
_FLOATS = ("FP16_UTIL", "FP32_UTIL", "FP64_UTIL")


def pipe_ms() -> pl.Expr:
    """Time of the busiest of the pipes; null where the GPU tells of none."""
    pipes = ("tensor_ms", "int_ms", "dram_ms")
    return pl.max_horizontal(*[pl.col(name).cast(pl.Float64) for name in pipes])


def cycles() -> pl.Expr:
    """SM cycles. A GPU that gives neither these nor energy, power or busy time, as an instance of MIG from
    Hopper on, tells by GPM how long its SMs had work: that time at its clock, or else at 1 GHz.
    """
    others = ("energy_mj", "power_mw", "busy_ms", "sm_cycles")
    nothing = pl.all_horizontal(*[pl.col(name).is_null().all().over("gpu") for name in others])
    clock = pl.when(pl.col("sm_clock_mhz").is_not_null().all().over("gpu")).then(pl.col("sm_clock_mhz"))
    worked = pl.col("sm_ms").cast(pl.Float64) * clock.otherwise(1000) * 1000
    return pl.coalesce(pl.col("sm_cycles").cast(pl.Float64), pl.when(nothing).then(worked))


def is_bare() -> pl.Expr:
    """Whether the SMs worked on integers and made no floating-point operation; null: the GPU cannot say."""
    sm, ints, dram = (pl.col(name).cast(pl.Float64) for name in ("sm_ms", "int_ms", "dram_ms"))
    floats = pl.col("tensor_ms").cast(pl.Float64)
    for name in _FLOATS:
        floats += pl.col("more").str.json_path_match(f"$.{name}").cast(pl.Float64, strict=False)
    none = (floats <= LEAST_OF_SM * sm) & (floats <= LEAST_OF_DRAM * dram.fill_null(0.0) + _WHOLE_MS)
    return none & (sm > 0) & (ints >= INTEGER * sm)

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
    """SM cycles. An instance of MIG has neither these nor energy or busy time; from Hopper on GPM tells how
    long its SMs had work: that time at the board's clock, where the clock is known."""
    worked = pl.col("sm_ms").cast(pl.Float64) * pl.col("sm_clock_mhz") * 1000
    return pl.coalesce(pl.col("sm_cycles").cast(pl.Float64), pl.when(_gpm_alone() & _clocked()).then(worked))


def busy_ms() -> pl.Expr:
    """Busy time; of such an instance whose clock is not known the time in which its SMs had work. It follows
    the clock as busy time does."""
    worked = pl.col("sm_ms").cast(pl.Float64)
    return pl.coalesce(pl.col("busy_ms").cast(pl.Float64), pl.when(_gpm_alone() & ~_clocked()).then(worked))


def _gpm_alone() -> pl.Expr:
    """Whether nothing but GPM ever tells of the GPU's work."""
    others = ("energy_mj", "power_mw", "busy_ms", "sm_cycles")
    return pl.all_horizontal(*[pl.col(name).is_null().all().over("gpu") for name in others])


def _clocked() -> pl.Expr:
    return pl.col("sm_clock_mhz").is_not_null().all().over("gpu")


def is_bare() -> pl.Expr:
    """Whether the SMs worked on integers and made no floating-point operation; null: the GPU cannot say."""
    sm, ints, dram = (pl.col(name).cast(pl.Float64) for name in ("sm_ms", "int_ms", "dram_ms"))
    floats = pl.col("tensor_ms").cast(pl.Float64)
    for name in _FLOATS:
        floats += pl.col("more").str.json_path_match(f"$.{name}").cast(pl.Float64, strict=False)
    none = (floats <= LEAST_OF_SM * sm) & (floats <= LEAST_OF_DRAM * dram.fill_null(0.0) + _WHOLE_MS)
    return none & (sm > 0) & (ints >= INTEGER * sm)

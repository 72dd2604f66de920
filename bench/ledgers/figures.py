"""What each of the three ledgers tells of a run, and when two of them are the same."""

import polars as pl

from slurm_guard.model import Account

ACCOUNTS = tuple(f"{a.value}_ms" for a in Account)
U = ("u_lo_ms", "u_ms", "u_hi_ms")
THETA = ("theta_cycles", "theta_energy", "theta_busy")
LEFT = ("left_lo", "left", "left_hi", "wait")
FIGURES: dict[str, type[pl.DataType]] = {
    "i": pl.Int64,
    **dict.fromkeys((*ACCOUNTS, *U), pl.Int64),  # GPU-ms
    **dict.fromkeys((*THETA, "rel_error"), pl.Float64),  # `rel_error`: of θ in the best channel
    "n_mode": pl.Int64,  # stretches in its cheap mode
    **dict.fromkeys(LEFT, pl.Float64),  # shares of training work
}

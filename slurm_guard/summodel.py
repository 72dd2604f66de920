"""Sums over runs as an audit document and a night's index hold them. No I/O; see sums.py for the arithmetic.

In all of them own work of runs that could not be audited is `unmatched`: nothing stands against it, so it is
not unexplained.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupSum:
    """Where the GPU time of one group of runs went."""

    kind: str  # cluster, account, partition, or section of the report
    name: str  # as accounting has it; empty: it has none
    n_runs: int
    allocated_gpu_ms: int
    ledger_gpu_ms: dict[str, int]  # account value, or `unmatched` -> GPU-ms


@dataclass(frozen=True, slots=True)
class NightSum:
    """One night in a row of numbers; its parts sum to the allocation."""

    from_at: float
    until_at: float
    n_runs: int
    n_alert: int  # … of each verdict; those that the site explained are in n_explained alone
    n_review: int
    n_note: int
    n_clear: int
    n_not_auditable: int
    n_explained: int  # called, and nothing left that the site has not explained
    allocated_gpu_ms: int
    explained_gpu_ms: int  # progress, phases and waits
    idle_gpu_ms: int
    unobserved_gpu_ms: int
    unmatched_gpu_ms: int
    unexplained_gpu_ms: int  # foreign, contradiction and residual: the central estimate
    unexplained_lo_gpu_ms: int  # sum of the runs' lower bounds

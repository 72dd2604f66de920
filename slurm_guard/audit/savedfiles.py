"""Checkpoints that the walk found on disk, beside what the log says of them.

Their content is never read; when they came to disk is the kernel's word (progress/checkpoints.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.track import Mark, Track
from slurm_guard.audit.writes import BEFORE_S, NEAR_S, Times

LATE_S = 900.0  # after its step a checkpoint is on disk, written beside the training. Judgement.
FINE = 0.25  # of all the log's steps between two that are known, beyond which any name would fit. Judgement.
_SOURCE = "checkpoint"


@dataclass(frozen=True, slots=True)
class Files:
    """Checkpoints that the walk found. `n_told`: those that could be held against the log, by the moments
    that it names or the steps in their names."""

    n: int
    size_b: int | None  # of the last one, on disk
    by_steps: bool
    n_told: int
    n_in_step: int  # came to disk when the log says


def files(
    tracks: Mapping[int, Track],
    times: Times,
    told: tuple[pl.DataFrame, pl.DataFrame],
    keys: pl.DataFrame,
) -> dict[int, Files]:
    """Per run with any. `times`: of the saves that logs name; `told`: logs and points of the last reading."""
    logs, points = told
    rows = logs.filter(pl.col("source") == _SOURCE).join(keys.select("run", "i"), on="run")
    if rows.is_empty():
        return {}
    sizes = dict(rows.sort("i", "file").group_by("i").agg(pl.col("size").drop_nulls().last()).iter_rows())
    saved = (
        points.join(rows.select("run", "file", "i").unique(), on=["run", "file"])
        .filter(pl.col("obs_hi_at").is_not_null())
        .select("i", "step", "obs_lo_at", "obs_hi_at", pl.col("flags").list.contains("epoch").alias("epoch"))
        .sort("i", "obs_hi_at", "step")
    )
    found = {}
    for (i,), part in saved.partition_by("i", as_dict=True, maintain_order=True).items():
        named = times.get(i, ())
        each = [(step, low, high) for _, step, low, high, epoch in part.iter_rows() if named or not epoch]
        told_of = [_in_step(one, named, tracks[i]) for one in each]
        known = [fits for fits in told_of if fits is not None]
        found[i] = Files(part.height, sizes.get(i), not named, len(known), sum(known))
    return found


def _in_step(
    one: tuple[int | None, float | None, float], named: tuple[float, ...], track: Track
) -> bool | None:
    """Whether a checkpoint came to disk when the log says; null: the log does not tell."""
    step, low, high = one
    low = high if low is None else low
    if named:
        return any(t - BEFORE_S <= high and low <= t + LATE_S for t in named)
    steps = [m for m in track.marks if m.phase == "train" and m.step is not None]
    if step is None or not steps or any(m.segment != steps[0].segment for m in steps):
        return None
    first, last = _step(steps[0]), _step(steps[-1])
    before = [_step(m) for m in steps if m.at <= low - LATE_S]
    after = [_step(m) for m in steps if m.at >= high + NEAR_S[0]]
    least, most = max(before, default=0), min(after, default=last + 1)
    if most - least > FINE * max(1, last - first):
        return None
    return least <= step <= most


def _step(mark: Mark) -> int:
    return mark.step if mark.step is not None else 0

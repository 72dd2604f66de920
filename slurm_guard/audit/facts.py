"""What the audit is given: accounting's runs and the lake's frames. Pure values, nothing is read here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

import polars as pl

from slurm_guard.config import AuditConfig, NetworkConfig
from slurm_guard.model import Run, Skip
from slurm_guard.sitemodel import Maintenance
from slurm_guard.siteword import PastNight, SiteWords

WIDEST_RUN_S = 400 * 86_400.0  # judgement: no Slurm time limit in use is longer than a year


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Costs of runs of earlier nights (history.PastCost) as the audit is given them, with their digest."""

    costs: pl.DataFrame
    sha256: str
    n_nights: int


@dataclass(frozen=True, slots=True)
class Grounds:
    """What trainings of earlier nights had passed (history.PastGround), with its digest."""

    grounds: pl.DataFrame
    sha256: str
    n_nights: int


@dataclass(frozen=True, slots=True)
class Traces:
    """What losses of earlier nights' runs are known by (history.PastTrace), with its digest."""

    traces: pl.DataFrame
    sha256: str
    n_nights: int


@dataclass(frozen=True, slots=True)
class Facts:
    """One window's facts. `frames` has every table of the lake's schema, possibly without rows."""

    cluster: str
    from_at: float
    until_at: float
    version: str
    runs: tuple[Run, ...]
    frames: Mapping[str, pl.DataFrame]
    config: AuditConfig
    skips: tuple[Skip, ...] = ()  # what loading could not use
    network: NetworkConfig = field(default_factory=NetworkConfig)
    # (bits, address): names that the site's resolver gave out for it, the newest first
    names: Mapping[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    words: SiteWords = SiteWords()  # noqa: RUF009 - a frozen value
    past: tuple[PastNight, ...] = ()  # earlier nights, in order
    costs: Snapshot | None = None  # of runs of earlier nights; null: this audit compares no runs
    grounds: Grounds | None = None  # of their trainings; null: chains of jobs show inside one night alone
    traces: Traces | None = None  # of their losses; null: tonight's runs are held against each other alone
    maintenance: tuple[Maintenance, ...] = ()  # clipped to this window
    summaries: Mapping[str, str] = field(default_factory=dict)  # by run id: jobstats' own, in a sentence
    maintenance_uids: frozenset[int] = frozenset()  # whose GPU work outside jobs needs no look meanwhile


def refusal(run: Run) -> str | None:
    """Why accounting's row cannot be judged; null when it can."""
    times = (run.from_at, run.until_at, run.start_at, run.start_at if run.end_at is None else run.end_at)
    if not all(isfinite(t) for t in times):
        return "accounting has a time that is not a number"
    if run.until_at < run.from_at:
        return "accounting has the run end before it starts"
    if run.until_at - run.from_at > WIDEST_RUN_S:
        return "accounting has the run last longer than a year"
    if run.n_gpus < 0 or run.suspended_s < 0:
        return "accounting has a negative number of GPUs or seconds"
    if run.suspended_s > run.until_at - run.from_at:
        return "accounting has the run suspended for longer than it lasted"
    return None


def split(runs: tuple[Run, ...]) -> tuple[list[Run], list[tuple[Run, str]]]:
    """Judgeable GPU runs in order of id, and the refused ones with the reason. Runs without GPUs are in
    neither.
    """
    unique = {run.id: run for run in sorted(runs, key=lambda r: (r.id, r.until_at, r.n_gpus))}
    good: list[Run] = []
    refused: list[tuple[Run, str]] = []
    for run in unique.values():
        if run.n_gpus == 0:
            continue
        reason = refusal(run)
        if reason is None:
            good.append(run)
        else:
            refused.append((run, reason))
    return good, refused


def runs_frame(runs: list[Run]) -> pl.DataFrame:
    """The runs as a frame, one row each; `i` is the place in the list and the audit's own key."""
    return pl.DataFrame(
        {
            "i": range(len(runs)),
            "cluster": [r.cluster for r in runs],
            "job_id": [r.job_id for r in runs],
            "uid": [r.uid for r in runs],
            "start_at": [r.start_at for r in runs],
            "end_at": [r.end_at for r in runs],
            "from_at": [r.from_at for r in runs],
            "until_at": [r.until_at for r in runs],
            "nodes": [list(r.nodes) for r in runs],
        },
        schema={
            "i": pl.Int64,
            "cluster": pl.String,
            "job_id": pl.Int64,
            "uid": pl.Int64,
            "start_at": pl.Float64,
            "end_at": pl.Float64,
            "from_at": pl.Float64,
            "until_at": pl.Float64,
            "nodes": pl.List(pl.String),
        },
    )

"""What the audit asks of accounting: every run that overlaps a window, and what could not be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from slurm_guard.model import Run, Skip


@dataclass(frozen=True, slots=True)
class LoadedRuns:
    """Runs of one cluster, clipped to the window, ordered by start and id; `skips` says what is missing."""

    runs: tuple[Run, ...]
    skips: tuple[Skip, ...]
    cluster: str  # empty: no row named one and none was configured
    backend: str  # sacct, sacct-file, pyslurm
    summaries: Mapping[str, str] = field(default_factory=dict)  # by run id: jobstats' own, in a sentence


class Accounting(Protocol):
    """A source of runs."""

    def load_runs(self, from_at: float, until_at: float) -> LoadedRuns:
        """Runs that overlap [from_at, until_at) in UTC epoch seconds; requeued runs each on their own.

        Raises GuardError no-accounting (exit 3) when there is nothing to ask, others for a failed query.
        """
        ...

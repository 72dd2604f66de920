"""What may start the night: one timer of systemd, or one file of cron."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timer:
    """It names slurm-guard. `fault`: why nothing is started by it; empty: it is."""

    path: str
    programs: tuple[str, ...] = ()
    fault: str = ""
    remedy: str = ""

"""What may start the night: one timer of systemd, or one file of cron."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timer:
    """It names slurm-guard. `fault`: why nothing is started by it; empty: it is.

    `as_root`: a line of it collects, audits or mails as root.
    """

    path: str
    programs: tuple[str, ...] = ()
    fault: str = ""
    remedy: str = ""
    as_root: bool = False

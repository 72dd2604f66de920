"""[keep] of the configuration: how long the head node keeps what."""

from dataclasses import dataclass

from slurm_guard.configkey import key as _key


@dataclass(frozen=True, slots=True)
class KeepConfig:
    """[keep]: days; `slurm-guard prune --apply` takes away what is older. 0: for ever."""

    lake_days: float = _key(180.0, "what the nodes saw, by the day of each row")
    quarantine_days: float = _key(90.0, "copies of files that could not be taken")
    reports_days: float = _key(730.0, "nights with their audit documents and pages")
    mail_days: float = _key(90.0, "letters and what became of them; at least 15")
    views_days: float = _key(400.0, "lines that say who looked at whose runs")

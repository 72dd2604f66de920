"""Quiet days: weekdays and dates on which only what cannot wait goes out."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from slurm_guard.configmail import DAYS


def is_quiet(at: float, zone: tzinfo, days: Sequence[str]) -> bool:
    """Whether the date of `at` in the site's zone is one of `days`: saturday, 12-24 or 2026-12-24."""
    day = datetime.fromtimestamp(at, zone).date()
    names = {DAYS[day.weekday()], day.isoformat(), day.isoformat()[5:]}
    return any(named.lower() in names for named in days)

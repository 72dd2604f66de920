"""What an audit is told of maintenance: the configuration's windows and Slurm's, and who works in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slurm_guard.model import Skip
from slurm_guard.sitemodel import Maintenance

if TYPE_CHECKING:
    from slurm_guard.config import Config


@dataclass(frozen=True, slots=True)
class Upkeep:
    """`skips`: what could not be learnt. Windows are clipped to the audited one."""

    windows: tuple[Maintenance, ...]
    admin_uids: frozenset[int]
    skips: tuple[Skip, ...]


def load_upkeep(
    settings: "Config", cluster: str, window: tuple[float, float], sacct_file: Path | None
) -> Upkeep:
    """With a file of sacct's text nobody is asked: it may be of another cluster, or of long ago."""
    from slurm_guard.configdoubts import uids_of
    from slurm_guard.slurm.reservations import load_maintenance
    from slurm_guard.slurm.sacct import Sacct

    uids, unknown = uids_of(settings.audit.maintenance_admins)
    skips = [
        Skip(
            f"user {name}",
            "maintenance-admin-unknown",
            "audit.maintenance_admins names nobody of this machine",
        )
        for name in unknown
    ]
    windows = _configured(settings, window)
    slurm = settings.slurm
    if slurm.maint_reservations and sacct_file is None:
        found, unread = load_maintenance(Sacct(slurm.sacct, slurm.timeout_s, slurm.cluster), cluster, window)
        windows += found
        skips += unread
    return Upkeep(windows, uids, tuple(skips))


def _configured(settings: "Config", window: tuple[float, float]) -> tuple[Maintenance, ...]:
    from slurm_guard.configmaintenance import instant
    from slurm_guard.hostlist import expand
    from slurm_guard.report.words import load_zone

    zone = load_zone(settings.report.timezone)
    found = []
    for one in settings.maintenance:
        from_at = max(instant(one.since, zone), window[0])
        until_at = min(instant(one.until, zone), window[1])
        if from_at < until_at:
            n = len(expand(one.nodes))
            found.append(Maintenance(one.nodes, n, from_at, until_at, one.reason, "guard.toml"))
    return tuple(found)

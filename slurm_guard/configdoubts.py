"""What is right in a configuration, and perhaps not meant: said by `config check` and by doctor."""

import pwd
from datetime import tzinfo
from urllib.parse import urlsplit

from slurm_guard.config import Config
from slurm_guard.configjobs import doubtful_jobs
from slurm_guard.configmaintenance import doubtful_windows
from slurm_guard.configvalues import idle_rules, wide_networks


def doubts(config: Config, zone: tzinfo | None, now_at: float) -> list[str]:
    """One sentence each. `zone` null: it is not known, and no window is looked at."""
    found = []
    for key in ("cluster", "egress", "tunnels"):
        wide = wide_networks(getattr(config.network, key))
        found += [f"network.{key}: {rule!a} holds a great part of all addresses" for rule in wide]
    for key in ("egress", "tunnels"):
        idle = idle_rules(config.network.cluster, getattr(config.network, key))
        found += [f"network.{key}: {rule!a}: {why}" for rule, why in idle]
    found += [f"audit.burn_in: {entry!a}: {why}" for entry, why in doubtful_jobs(config.audit.burn_in)]
    unknown = uids_of(config.audit.maintenance_admins)[1]
    found += [f"audit.maintenance_admins: there is no user {name!a} here" for name in unknown]
    endpoint = config.lake.store_endpoint
    if endpoint.startswith("http://") and not _is_here(endpoint):
        found.append(
            f"lake.store_endpoint: what goes to {endpoint} can be read on the way: https:// is better"
        )
    if zone is not None:
        windows = doubtful_windows(config.maintenance, zone, now_at)
        found += [f"maintenance of {w.nodes} ({w.since} to {w.until}): {why}" for w, why in windows]
    return found


def _is_here(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def uids_of(names: list[str]) -> tuple[frozenset[int], tuple[str, ...]]:
    """The uids of users that are named or given by number, and the names that this machine does not know."""
    found: set[int] = set()
    unknown = []
    for name in names:
        try:
            found.add(int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid)
        except KeyError:
            unknown.append(name)
    return frozenset(found), tuple(unknown)

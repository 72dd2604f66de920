"""[audit] and [network] of the configuration: what runs are held against."""

from dataclasses import dataclass

from slurm_guard.configkey import key as _key
from slurm_guard.networks import PRIVATE


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """[audit]: the time scales and thresholds of the verdict; all are written into each document."""

    least_gpu_h: float = _key(1.0, "unexplained GPU-hours (lower bound) from which an alert is possible")
    least_share: float = _key(0.05, "… and as a share of the allocation; the larger of both holds")
    silence_s: float = _key(900.0, "GPU work with a silent log for this long is looked at")
    parked_s: float = _key(3600.0, "an allocation idle for this long is called parked")
    startup_s: float = _key(1800.0, "GPU work before the first progress that start-up may explain")
    startup_share: float = _key(0.2, "… and at most this share of the run")
    slack_s: float = _key(120.0, "difference of clocks and flush delay that is never held against a run")
    unobserved_share: float = _key(0.2, "more unobserved than this makes a run a NOTE at least")
    observe_only: bool = _key(True, "compute and keep verdicts, mail no owner")
    enforce_partitions: list[str] = _key([], "partitions for which observe_only does not hold: a canary")
    alarm_budget: float = _key(
        0.1, "false alerts a night that are accepted; soft ALERTs beyond are REVIEW; 0: no budget"
    )
    history_nights: int = _key(60, "earlier nights that the alarm budget is measured on")
    intent_partitions: list[str] = _key([], "partitions on which each run must declare an intent")
    burn_in: list[str] = _key(
        [],
        "burn-in and acceptance jobs, each entry of user=, account=, partition=, qos= (names by commas): all "
        "of an entry must fit. Their work needs no progress; hard facts stay (operate.md)",
    )
    maintenance_admins: list[str] = _key(
        [],
        "users or uids whose GPU work outside jobs needs no look while the node is in maintenance; root's "
        "never does",
    )


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """[network]: what is near, and what is allowed."""

    cluster: list[str] = _key(
        list(PRIVATE),
        "networks of the cluster; every other address is outside",
    )
    egress: list[str] = _key(
        [],
        "allowed destinations outside: network or network:port, e.g. 140.82.112.0/20:443, for all or with "
        "user=, account=, partition= after it (names by commas); empty: no rule",
    )
    tunnels: list[str] = _key(
        [],
        "allowed tunnels: network, network:port, a program's full path (VS Code, squid); for whom: as "
        "egress; a job may put another program at a path (unshare -Urm, mount --bind): prefer networks",
    )
    resolver_log: str = _key(
        "", "file of lines `EPOCH ADDRESS NAME`: names that the site's resolver gave out; empty: none"
    )

"""Reservations with the flag MAINT, as slurmdbd keeps them: when which nodes were in maintenance.

Only Slurm's operators can make a reservation (22.05: "Invalid user id" for others), so that no job's owner
can say it of a node. One that was deleted while it lasted is kept with the instant of its deletion as its
end; one that never began is not kept (seen on 22.05).
"""

from slurm_guard.errors import GuardError
from slurm_guard.hostlist import expand
from slurm_guard.model import Skip
from slurm_guard.sitemodel import Maintenance
from slurm_guard.slurm.runs import parse_time
from slurm_guard.slurm.sacct import Sacct

FIELDS = ("Cluster", "Start", "End", "Flags", "NodeNames", "Name")  # the name last: it is anybody's text


def load_maintenance(
    sacct: Sacct, cluster: str, window: tuple[float, float]
) -> tuple[tuple[Maintenance, ...], list[Skip]]:
    """The windows that overlap the audited one, clipped to it; a Skip where nobody could tell."""
    try:
        text = sacct.read_reservations(*window, FIELDS)
    except GuardError as error:
        return (), [Skip("reservations", "reservations-unread", f"{error.slug}: {error.sentence}")]
    return parse_maintenance(text, cluster, window)


def parse_maintenance(
    text: str, cluster: str, window: tuple[float, float]
) -> tuple[tuple[Maintenance, ...], list[Skip]]:
    """The same of sacctmgr's text."""
    found: list[Maintenance] = []
    skips: list[Skip] = []
    for line in text.splitlines():
        parts = line.split("|", len(FIELDS) - 1)
        if len(parts) != len(FIELDS) or parts[0] != cluster or "MAINT" not in parts[3].split(","):
            continue
        try:
            one = _window(parts, window)
        except ValueError as error:
            skips.append(Skip(f"reservation {parts[5][:60]}", "reservations-unread", str(error)))
            continue
        if one is not None:
            found.append(one)
    return tuple(found), skips


def _window(parts: list[str], window: tuple[float, float]) -> Maintenance | None:
    """Null: it does not overlap, or has no node."""
    _, start, end, _, nodes, name = parts
    start_at, end_at = parse_time(start), parse_time(end)
    if start_at is None:
        return None
    from_at = max(start_at, window[0])
    until_at = window[1] if end_at is None else min(end_at, window[1])
    n_nodes = len(expand(nodes))
    if n_nodes == 0 or until_at <= from_at:
        return None
    return Maintenance(nodes, n_nodes, from_at, until_at, f"reservation {name}", "slurm")

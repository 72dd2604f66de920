"""Maintenance: windows that are forgotten or misspelt, and how long a node's silence was to be expected."""

from collections.abc import Iterator
from datetime import datetime, timezone

from slurm_guard.configmaintenance import LONG_S, OLD_S, MaintenanceConfig, instant
from slurm_guard.doctor.facts import Facts
from slurm_guard.doctor.finding import HEAD, Check, Said, Unseen, ok, seen, unseen, warning
from slurm_guard.hostlist import expand
from slurm_guard.report.words import load_zone

_DAY_S = 86_400.0
_MOST_NAMED = 8


def missed_s(facts: Facts, node: str, at: float) -> float:
    """For how long something of the node should have come since; time in maintenance does not count."""
    stretches = sorted(
        (max(since, at), min(until, facts.now_at))
        for window, since, until in _windows(facts)
        if node in expand(window.nodes)
    )
    missed, reached = facts.now_at - at, at
    for since, until in stretches:
        missed -= max(0.0, until - max(since, reached))
        reached = max(reached, until)
    return missed


def _windows(facts: Facts) -> list[tuple[MaintenanceConfig, float, float]]:
    """Those of guard.toml with their times; none where the file or its zone is wrong, which others say."""
    guard = facts.guard
    if isinstance(guard, Unseen) or guard.config is None or guard.zone_error:
        return []
    zone = load_zone(guard.config.report.timezone)
    return [(w, instant(w.since, zone), instant(w.until, zone)) for w in guard.config.maintenance]


def _maintenance(facts: Facts) -> Iterator[Said]:
    config = facts.config()
    if config.maintenance and seen(facts.guard).zone_error:
        yield unseen("report.timezone, in which windows are told, is none of this machine")
    known = () if isinstance(facts.slurm_nodes, Unseen) else facts.slurm_nodes
    names = {node.name for node in known}
    for window, since, until in _windows(facts):
        told = f"the window of {window.nodes} ({window.since} to {window.until})"
        strange = [node for node in expand(window.nodes) if names and node not in names]
        if facts.now_at - until > OLD_S:
            days = (facts.now_at - until) / _DAY_S
            yield warning(f"{told} ended {days:.0f} days ago", "take its [[maintenance]] out of guard.toml")
        elif until - since > LONG_S:
            yield warning(
                f"{told} lasts {(until - since) / _DAY_S:.0f} days, in which silent nodes are not missed",
                'until = "…"   # in its [[maintenance]]; for good: the switch, docs/operate.md',
            )
        elif strange:
            more = f" and {len(strange) - _MOST_NAMED} more" if len(strange) > _MOST_NAMED else ""
            yield warning(
                f"{told} names {', '.join(strange[:_MOST_NAMED])}{more}, which Slurm does not know",
                'nodes = "…"   # in its [[maintenance]]; scontrol show hostlist writes them',
            )
        elif since <= facts.now_at < until:
            end = datetime.fromtimestamp(until, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
            yield ok(f"{window.nodes} in maintenance until {end}: {window.reason}")


CHECKS = (
    Check(
        "maintenance",
        "`[[maintenance]]` windows: ended long ago, lasting for months, of nodes that Slurm does not know",
        "In a window a silent node is not missed: a forgotten one hides nodes, a misspelt one helps none.",
        "take it out of guard.toml, or mend it",
        HEAD,
        "no window of maintenance is forgotten",
        _maintenance,
    ),
)

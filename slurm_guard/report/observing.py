"""Of which partitions people are written to (rulings 23): the first weeks are observe-only by default."""

from collections.abc import Mapping


def open_partitions(
    observe_only: bool, enforced: list[str], settings: Mapping[str, object]
) -> frozenset[str] | None:
    """Null: all. `settings`: those that the audit was made with; it and today's configuration both have to
    allow it, so that ending observe-only writes to nobody about the nights before."""
    audit = settings.get("audit", settings)
    then = audit if isinstance(audit, dict) else {}
    now_open = frozenset(enforced) if observe_only else None
    named = then.get("enforce_partitions")
    was = frozenset(map(str, named)) if isinstance(named, list) else frozenset()
    then_open = None if then.get("observe_only") is False else was
    if now_open is None or then_open is None:
        return then_open if now_open is None else now_open
    return now_open & then_open

"""The bounded lists of a page: work outside allocations, skips, nodes, settings."""

from collections.abc import Mapping

from slurm_guard.model import Audit
from slurm_guard.report.safe import clean, clean_or_dash
from slurm_guard.report.view import Fact, Line, Table
from slurm_guard.report.words import Times, Unit

_MANY = {"stretch": "stretches"}


def more_words(count: int, word: str) -> str:
    """What was left out, counted; empty: nothing."""
    return (
        f"… and {count:,} more {word if count == 1 else _MANY.get(word, word + 's')}, in the JSON "
        f"{'and CSV ' if word == 'run' else ''}of this audit."
        if count > 0
        else ""
    )


def outside(audit: Audit, unit: Unit, times: Times, most: int) -> Table:
    """GPU work of processes outside the allocation of their run, the most first."""
    lines = [
        Line(
            (
                f"{clean(o.node, 40)} {clean(o.gpu, 60)}",
                times.span(o.start_at, o.end_at),
                unit.full(o.gpu_ms),
                clean(o.sentence),
            )
        )
        for o in sorted(audit.outside, key=lambda o: (-o.gpu_ms, o.node, o.start_at))[:most]
    ]
    heads = ("GPU", "When", "GPU time", "What was seen")
    return Table(heads, tuple(lines), more_words(len(audit.outside) - most, "stretch"))


def skips(audit: Audit, most: int) -> Table:
    """What could not be judged, and why."""
    lines = [
        Line((clean(s.subject, 200), clean(s.reason, 60), clean(s.detail, 400))) for s in audit.skips[:most]
    ]
    return Table(("What", "Reason", "Detail"), tuple(lines), more_words(len(audit.skips) - most, "skip"))


def nodes(audit: Audit, unit: Unit, times: Times, most: int) -> Table:
    """What was heard of each node; those with a remark first."""
    ordered = sorted(audit.nodes, key=lambda n: (not n.note, n.node))[:most]
    lines = [
        Line(
            (
                clean(n.node, 60),
                str(n.n_gpus),
                unit.full(n.observed_gpu_ms),
                times.full(n.last_heard_at, "never"),
                clean_or_dash(n.note, 200),
            )
        )
        for n in ordered
    ]
    heads = ("Node", "GPUs", "Observed", "Last heard", "Remark")
    return Table(heads, tuple(lines), more_words(len(audit.nodes) - most, "node"))


def _flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Nested settings as (dotted key, value), sorted."""
    found: list[tuple[str, object]] = []
    for key, value in sorted(settings.items()):
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found


def settings(known: Mapping[str, object]) -> tuple[Fact, ...]:
    """All settings of an audit, one by one."""
    return tuple(Fact(clean(k, 80), clean(str(v), 120)) for k, v in _flat(known))

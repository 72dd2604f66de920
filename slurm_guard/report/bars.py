"""Ledger bars as data: segments in percent, so that one drawing fits every width."""

from collections.abc import Mapping
from dataclasses import dataclass

from slurm_guard.model import Bounds
from slurm_guard.report import words
from slurm_guard.sums import is_unmatched as is_unmatched
from slurm_guard.sums import shown_ledger as shown_ledger


@dataclass(frozen=True, slots=True)
class Segment:
    """One account's part of a bar."""

    account: str
    x_pct: str
    width_pct: str
    title: str


@dataclass(frozen=True, slots=True)
class Whisker:
    """The bounds of the unexplained account, drawn from the bar's right end."""

    x_pct: str
    width_pct: str
    mid_pct: str
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A whole allocation from left to right."""

    segments: tuple[Segment, ...]
    whisker: Whisker | None
    alt: str


def build_bar(ledger_gpu_ms: Mapping[str, int], unit: words.Unit, bounds: Bounds | None = None) -> Bar:
    """A bar over all accounts; an empty ledger gives a bar without segments."""
    total = sum(ledger_gpu_ms.values())
    segments, so_far, said = [], 0, []
    for account in words.BAR_ORDER:
        part = ledger_gpu_ms.get(account, 0)
        if part <= 0 or total <= 0:
            continue
        title = f"{account}: {unit.full(part)} ({words.percent(part, total)})"
        segments.append(Segment(account, _pct(so_far, total), _pct(part, total), title))
        said.append(title)
        so_far += part
    whisker = _whisker(bounds, total, unit) if bounds is not None and total > 0 else None
    return Bar(tuple(segments), whisker, "; ".join(said) or "nothing allocated")


def _whisker(bounds: Bounds, total: int, unit: words.Unit) -> Whisker | None:
    if bounds.hi_gpu_ms <= 0:
        return None
    hi, mid, lo = (min(total, max(0, b)) for b in (bounds.hi_gpu_ms, bounds.mid_gpu_ms, bounds.lo_gpu_ms))
    title = f"unexplained: between {unit.full(bounds.lo_gpu_ms)} and {unit.full(bounds.hi_gpu_ms)}"
    return Whisker(_pct(total - hi, total), _pct(hi - lo, total), _pct(total - mid, total), title)


def _pct(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}".rstrip("0").rstrip(".")


def explained_gpu_ms(ledger_gpu_ms: Mapping[str, int]) -> int:
    """Progress, phases and waits, together."""
    return sum(ledger_gpu_ms.get(account.value, 0) for account in words.EXPLAINED)


def of(ledger_gpu_ms: Mapping[str, int], account: str) -> int:
    """One account; an absent one is zero, because a ledger names every account that holds something."""
    return ledger_gpu_ms.get(account, 0)

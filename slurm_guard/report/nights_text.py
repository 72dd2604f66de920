"""Several nights for a terminal: a line a night, the sums, and the runs with their nights."""

import textwrap

from slurm_guard import sums
from slurm_guard.report import words
from slurm_guard.report.bars import of
from slurm_guard.report.cards import build_row
from slurm_guard.report.narrow import SLUGS, slug_of
from slurm_guard.report.nights import Nights, NightSum, gaps, scope_line
from slurm_guard.report.safe import clean, fit
from slurm_guard.report.text import LEAST_WIDTH, Style, paint
from slurm_guard.report.text_sums import ledger_line
from slurm_guard.report.view import RunRow
from slurm_guard.report.words import Times, Unit

_SHORT = {"not-auditable": "not aud."}
# Runs of a verdict behind their number, one and many; the others are said as they are: 21 clear.
_COUNTED = {"alert": ("alert", "alerts"), "review": ("to review",) * 2, "note": ("note", "notes")}


def render_nights(found: Nights, scope: str, times: Times, style: Style) -> str:
    """The whole text; nothing but our own colours can reach a terminal."""
    width = max(LEAST_WIDTH, style.width)
    unit = words.unit_for(sum(s.ledger_gpu_ms.values()) for s in found.sums)
    out = ["GPU-hours of several nights", "=" * 27]
    for said in (scope, scope_line(found), *gaps(found)):
        out += _wrap(said, width) if said else []
    out += ["", *_wrap(headline(found), width)]
    if found.n_runs:
        out += ["", *_by_night(found, unit, width), "", *_ledger(found, unit, width)]
        out += ["", *_runs(found, unit, times, style)]
    return "\n".join(line.rstrip() for line in out) + "\n"


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def headline(found: Nights) -> str:
    """How many runs of which verdict."""
    if not found.n_runs:
        return "No run held a GPU in these nights, so there is nothing to judge."
    counts = {slug: sum(s.verdicts.get(slug, 0) for s in found.sums) for slug in SLUGS}
    said = ", ".join(_counted(n, slug) for slug, n in counts.items() if n)
    return f"{words.plural(found.n_runs, 'run')}: {said}."


def _counted(n: int, slug: str) -> str:
    one, many = _COUNTED.get(slug, (slug.replace("-", " "),) * 2)
    return words.plural(n, one, many)


def _by_night(found: Nights, unit: Unit, width: int) -> list[str]:
    """Runs by verdict and the unexplained of each night; then the same of all together."""
    slugs = [slug for slug in SLUGS if any(slug in s.verdicts for s in found.sums)]
    heads = ["runs", "allocated", "unexplained", *(_SHORT.get(slug, slug) for slug in slugs)]
    cells = [(s.night, _night_cells(s, slugs, unit)) for s in found.sums]
    whole = NightSum(
        "all nights", 0.0, 0.0, 0,
        {slug: sum(s.verdicts.get(slug, 0) for s in found.sums) for slug in slugs},
        found.ledger_gpu_ms,
        sum(s.lo_gpu_ms for s in found.sums),
        sum(s.hi_gpu_ms for s in found.sums),
    )  # fmt: skip
    cells.append(("all nights", _night_cells(whole, slugs, unit)))
    sizes = [max(len(head), *(len(row[k]) for _, row in cells)) for k, head in enumerate(heads)]
    shown = _fitting(sizes, width)
    about = f"By night; GPU time in {unit.name}, unexplained from its lower to its upper bound"
    aside = "; alerts and reviews without those that the site explained" if sums.EXPLAINED in slugs else ""
    lines = _wrap(f"{about}{aside}", width)
    lines.append(_columns("night", heads[:shown], sizes))
    lines += [_columns(night, row[:shown], sizes) for night, row in cells]
    gone = ", ".join(heads[shown:])
    return [*lines, *(_wrap(f"Not in {width} columns: {gone}; --format csv has all.", width) if gone else ())]


def _fitting(sizes: list[int], width: int) -> int:
    """How many columns a line has room for: a figure is shown whole or not at all."""
    room, n = width - 10, 0
    while n < len(sizes) and (room := room - 1 - sizes[n]) >= 0:
        n += 1
    return max(n, 3)


def _night_cells(night: NightSum, slugs: list[str], unit: Unit) -> list[str]:
    bounds = f"{unit.show(night.lo_gpu_ms)}–{unit.show(night.hi_gpu_ms)}"
    counts = [f"{night.verdicts.get(slug, 0):,}" for slug in slugs]
    return [f"{night.n_runs:,}", unit.show(sum(night.ledger_gpu_ms.values())), bounds, *counts]


def _columns(night: str, cells: list[str], sizes: list[int]) -> str:
    return f"{night:<10} " + " ".join(f"{c:>{size}}" for c, size in zip(cells, sizes, strict=False))


def _ledger(found: Nights, unit: Unit, width: int) -> list[str]:
    sums = found.ledger_gpu_ms
    total = sum(sums.values())
    rows = [
        ledger_line(a, (unit.show(of(sums, a)), unit.name, words.percent(of(sums, a), total)), width)
        for a in words.BAR_ORDER
    ]
    return [f"Where {unit.full(total)} went", *rows]


def _runs(found: Nights, unit: Unit, times: Times, style: Style) -> list[str]:
    width = max(LEAST_WIDTH, style.width)
    out = [f"Runs; GPU time in {unit.name}"]
    for row in found.rows:
        shown = build_row(row.judgement, unit, times)
        out.append(_head(row.night, shown, width, style.color))
        out += [f"    {line}" for line in _wrap(_numbers(shown, unit), width - 4)]
        if slug_of(row.judgement) != "clear":
            out += [f"    {line}" for line in _wrap(shown.sentence, width - 4)]
    rest = found.n_runs - len(found.rows)
    return out + (
        [f"… and {words.plural(rest, 'more run', 'more runs')}, in --format csv."] if rest > 0 else []
    )


def _head(night: str, row: RunRow, width: int, color: bool) -> str:
    title = fit(f"{row.job} {row.name}, {row.owner}", max(10, width - len(row.verdict) - 12)).rstrip()
    return f"{clean(night, 10)} {paint(row.verdict, row.slug, color)} {title}"


def _numbers(row: RunRow, unit: Unit) -> str:
    left = f"{row.unexplained} ({row.bounds}) unexplained" if row.bounds else "not judged"
    return (
        f"{row.allocated} {unit.name}: {row.explained} explained, {row.idle} idle, "
        f"{row.unobserved} unobserved, {left}; log: {row.trust}"
    )

"""Several nights as one page: sums, the trend, a line a night and a line a run."""

from dataclasses import dataclass

import slurm_guard
from slurm_guard.report import bars, words
from slurm_guard.report.cards import build_row
from slurm_guard.report.nights import NightRow, Nights, NightSum, gaps, scope_line
from slurm_guard.report.nights_text import headline
from slurm_guard.report.page import Options, ledger_rows
from slurm_guard.report.safe import clean
from slurm_guard.report.trend import COUNTED, build_trend
from slurm_guard.report.view import LedgerRow, Line, Table, TrendView
from slurm_guard.report.words import Times, Unit

_NIGHT_HEADS = ("Night", "Runs", "Allocated", "Unexplained", "Alerts", "Reviews", "Its page")
_RUN_HEADS = ("Night", "Verdict", "Job", "Owner", "Allocated", "Unexplained", "Log", "Why")


@dataclass(frozen=True, slots=True)
class NightsView:
    """Display strings alone."""

    title: str
    said: tuple[str, ...]  # what it is of, and what is missing
    headline: str
    n_runs: int
    unit: str
    total: str
    bar: bars.Bar
    ledger: tuple[LedgerRow, ...]
    trend: TrendView | None  # null: one night is none
    nights: Table
    runs: Table
    method: str
    footer: str


def build_nights(found: Nights, options: Options) -> NightsView:
    """The page of what was read; `options.scope` is said above everything."""
    unit = words.unit_for(sum(s.ledger_gpu_ms.values()) for s in found.sums)
    times, ledger = Times(options.zone), found.ledger_gpu_ms
    whose = f"{clean(options.site, 80)}, " if options.site else ""
    rest = found.n_runs - len(found.rows)
    more = f"… and {words.plural(rest, 'more run', 'more runs')}, in --format csv." if rest > 0 else ""
    rows = [night.row for night in found.sums if night.row is not None]
    return NightsView(
        title=f"GPU-hours of {whose}several nights",
        said=tuple(said for said in (options.scope, scope_line(found), *gaps(found)) if said),
        headline=headline(found),
        n_runs=found.n_runs,
        unit=unit.name,
        total=unit.full(sum(ledger.values())),
        bar=bars.build_bar(ledger, unit),
        ledger=ledger_rows(ledger, unit),
        trend=build_trend(rows, times, unit) if len(rows) > 1 else None,
        nights=Table(_NIGHT_HEADS, tuple(_night(night, unit) for night in reversed(found.sums)), COUNTED),
        runs=Table(_RUN_HEADS, tuple(_run(row, unit, times) for row in found.rows), more),
        method=words.METHOD,
        footer=f"slurm-guard {slurm_guard.__version__}",
    )


def _night(night: NightSum, unit: Unit) -> Line:
    """Its page is made when somebody asks for it; none is kept."""
    row = night.row
    return Line(
        (
            night.night,
            f"{night.n_runs:,}",
            unit.show(sum(night.ledger_gpu_ms.values())),
            f"{unit.show(night.lo_gpu_ms)}–{unit.show(night.hi_gpu_ms)}",
            f"{row.n_alert:,}" if row is not None else "–",
            f"{row.n_review:,}" if row is not None else "–",
            f"slurm-guard report --night {night.night} --format html -o {night.night}.html",
        )
    )


def _run(row: NightRow, unit: Unit, times: Times) -> Line:
    shown = build_row(row.judgement, unit, times)
    left = f"{shown.unexplained} ({shown.bounds})" if shown.bounds else shown.unexplained
    why = f"{shown.aside} {shown.sentence}" if shown.aside else shown.sentence
    return Line(
        (
            row.night,
            shown.verdict,
            f"{shown.job} {shown.name}",
            shown.owner,
            shown.allocated,
            left,
            shown.trust,
            why,
        )
    )

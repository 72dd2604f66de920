"""Sums of a page for a terminal: by account and partition, and the last nights."""

import textwrap

from slurm_guard.report.safe import fit
from slurm_guard.report.trend import COUNTED
from slurm_guard.report.view import GroupRow, Groups, Page

_NIGHTS = 7  # lines of the trend. Judgement: a week; page and document have the month
_WIDE = 72  # below this the shares are left out
_NARROW = 50  # below this what is explained and how many runs are left out: a figure is shown whole or not
_LEDGER = 44  # what a line of the ledger takes at ease
_ONE_LINE = 66  # below this the same of a night, and of its verdicts


def group_lines(page: Page, width: int) -> list[str]:
    """A small table for each kind."""
    return [line for groups in page.groups for line in ("", *_groups(groups, page.unit, width))]


def _groups(groups: Groups, unit: str, width: int) -> list[str]:
    heads = GroupRow(
        groups.title, "runs", unit, "explained", "idle", "unobserved", "unexplained", groups.rows[0].bar
    )
    size = min(28, max(8, width - 24), max(len(row.name) for row in (heads, *groups.rows)))
    return [fit(_row(row, size, width), width).rstrip() for row in (heads, *groups.rows)]


def _row(row: GroupRow, size: int, width: int) -> str:
    if width < _NARROW:
        return f"  {fit(row.name, size)}{row.allocated:>9}{row.unexplained:>13}"
    shares = f"{row.idle:>9}{row.unobserved:>12}" if width >= _WIDE else ""
    left = f"  {fit(row.name, size)}{row.n_runs:>6}{row.allocated:>9}{row.explained:>11}"
    return f"{left}{shares}{row.unexplained:>13}"


def trend_lines(page: Page, width: int) -> list[str]:
    """The last week, the latest night first; none where there is no trend."""
    if page.trend is None:
        return []
    lines = [line.cells for line in page.trend.table.lines[:_NIGHTS]]
    if not lines:
        return ["", fit(page.trend.sentence, width).rstrip()]
    heads = ("The last nights", page.unit, "explained", "", "", "unexplained", "alerts", "reviews", "runs")
    shown = ["", *(fit(_night(cells, width), width).rstrip() for cells in (heads, *lines))]
    if width < _ONE_LINE:  # the counts are left out
        return shown
    return [*shown, *textwrap.wrap(COUNTED, width, initial_indent="  ", subsequent_indent="  ")]


def ledger_line(account: str, cells: tuple[str, str, str], width: int) -> str:
    """One account with its amount, unit and share."""
    amount, unit, share = cells
    if width < _LEDGER:
        return f"  {account:<14}{amount:>8} {unit:<7}{share:>8}"
    return f"  {account:<14}{amount:>9} {unit:<8}{share:>8}"


def _night(cells: tuple[str, ...], width: int) -> str:
    night, whole, explained, _, _, left, alerts, reviews, _ = cells
    if width < _ONE_LINE:
        return f"  {night.removeprefix('The last '):<10}{whole:>8}{left:>20}"
    return f"  {night:<17}{whole:>8}{explained:>11}{left:>20}{alerts:>8}{reviews:>9}"

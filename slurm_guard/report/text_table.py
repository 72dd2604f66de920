"""The verdict table at any width: columns where they fit, two lines a run where they do not."""

import textwrap
from collections.abc import Callable, Sequence

from slurm_guard.report.safe import display_width, fit
from slurm_guard.report.view import RunRow

_HEADS = ("allocated", "explained", "idle", "unobserved", "unexplained")
_NAME_LEAST, _NAME_MOST = 12, 36  # judgement: a job id and a little of its name; a long name


def verdict_lines(
    rows: Sequence[RunRow], unit: str, width: int, paint: Callable[[RunRow], str]
) -> list[list[str]]:
    """Lines per row, the head first (none in the narrow form); `paint` gives the verdict, coloured or not."""
    sizes = [max(len(head), *(len(n) for n in ns)) for head, ns in zip(_HEADS, _columns(rows), strict=True)]
    verdict = max(len("verdict"), *(len(row.verdict) for row in rows))
    tail = max(len("(bounds)"), *(len(_bounds(row)) for row in rows))
    log = max(len("log"), *(len(row.trust) for row in rows))
    left = width - verdict - 1 - sum(sizes) - len(sizes) - 1 - tail - 1 - log
    if left < _NAME_LEAST:
        return [[], *(_narrow(row, unit, width, paint) for row in rows)]
    name = min(left, _NAME_MOST, max(display_width(_title(row)) for row in rows))
    heads = " ".join(f"{head:>{size}}" for head, size in zip(_HEADS, sizes, strict=True))
    head = f"{'verdict':<{verdict}} {fit('job', name)} {heads} {'(bounds)':<{tail}} log"
    lines = [[f"Runs; GPU time in {unit}", head]]
    for row in rows:
        cells = " ".join(f"{n:>{size}}" for n, size in zip(_numbers(row), sizes, strict=True))
        padding = " " * (verdict - len(row.verdict))
        lines.append(
            [f"{paint(row)}{padding} {fit(_title(row), name)} {cells} {_bounds(row):<{tail}} {row.trust}"]
        )
    return lines


def _bounds(row: RunRow) -> str:
    return f"({row.bounds})" if row.bounds else ""


def _numbers(row: RunRow) -> tuple[str, ...]:
    return (row.allocated, row.explained, row.idle, row.unobserved, row.unexplained)


def _columns(rows: Sequence[RunRow]) -> list[tuple[str, ...]]:
    return list(zip(*(_numbers(row) for row in rows), strict=True))


def _title(row: RunRow) -> str:
    return f"{row.job} {row.name}"


def _narrow(row: RunRow, unit: str, width: int, paint: Callable[[RunRow], str]) -> list[str]:
    said = (
        f"{row.allocated} {unit}: {row.explained} explained, {row.idle} idle, {row.unobserved} unobserved, "
        + (f"{row.unexplained} ({row.bounds}) unexplained" if row.bounds else "not judged")
        + f"; log: {row.trust}"
    )
    title = fit(_title(row), max(10, width - len(row.verdict) - 1))
    return [
        f"{paint(row)} {title}",
        *(f"    {line}" for line in textwrap.wrap(said, width - 4, break_on_hyphens=False)),
    ]

"""A run's timeline as lines of a terminal: GPU work, power and progress as small bars over one time axis."""

import math
import textwrap
from collections.abc import Sequence

from slurm_guard.model import Account, Audit, Judgement, Timeline
from slurm_guard.report import words
from slurm_guard.report.cards import build_row
from slurm_guard.report.safe import clean
from slurm_guard.report.words import Times, number

BLOCKS = "▁▂▃▄▅▆▇█"  # the lowest is an observed zero, and what shows as none
ASCII = "_.-:=+*#"
MOST_COLUMNS, LEAST_COLUMNS = 96, 6  # judgement: wide enough for a night, narrow enough for a phone
MOST_RUNS = 200  # of one text: as many as have cards, and more
_GAP = " "  # nobody looked
_LABEL = 12
_AT_EASE = 16  # columns of a run of fewer slots, where there is room
_UNITS = 10  # of progress that a label holds
_NO_WORK = (Account.IDLE.value, Account.UNOBSERVED.value)


def spark_lines(
    judgement: Judgement, times: Times, width: int, *, ascii_only: bool = False
) -> tuple[str, ...]:
    """The lines, each at most `width` columns; empty where there is no timeline."""
    line = judgement.timeline
    if line is None or not line.power_w:
        return ()
    marks = ASCII if ascii_only else BLOCKS
    unit = clean(judgement.progress.unit or "units", _UNITS)
    rows = (
        ("GPU work", _work(line), "GPUs"),
        (
            "unexplained",
            _sum(line, (Account.FOREIGN.value, Account.CONTRADICTION.value, Account.RESIDUAL.value)),
            "GPUs",
        ),
        ("power", line.power_w, "W"),
        ("progress", line.progress_per_s, f"{unit}/s"),
    )
    columns = min(MOST_COLUMNS, max(_AT_EASE, len(line.power_w)))
    while columns > LEAST_COLUMNS:  # what stands behind the bars is as long as its own number
        over = max(len(_row(*row, columns, marks)) for row in rows) - width
        if over <= 0:
            break
        columns = max(LEAST_COLUMNS, columns - over)
    return (*(_row(*row, columns, marks) for row in rows), *_below(line, times, columns, width))


def _below(line: Timeline, times: Times, columns: int, width: int) -> list[str]:
    """The axis, and how to read the bars: broken into lines, as a legend that is cut says nothing."""
    end_at = line.start_at + line.slot_s * len(line.power_w)
    first, last = times.full(line.start_at)[11:], times.full(end_at)[11:]
    room = columns - len(first)
    axis = f"{first}{last:>{room}}" if room > len(last) else f"{first} to {last}"
    zone = clean(times.zone_name(line.start_at), 10)
    note = f"bars from 0 to the row's highest; a blank: not observed; {zone}"
    return [" " * (_LABEL + 1) + part for part in (axis, *textwrap.wrap(note, max(width - _LABEL - 1, 20)))]


def sparks_of(
    audit: Audit, times: Times, width: int, *, ascii_only: bool = False
) -> dict[str, tuple[str, ...]]:
    """Lines by the anchor of the run on its page, of the runs that have any."""
    found = {}
    for judgement in audit.judgements[:MOST_RUNS]:
        lines = spark_lines(judgement, times, width, ascii_only=ascii_only)
        if lines:
            found[build_row(judgement, words.unit_for(()), times).anchor] = lines
    return found


def _work(line: Timeline) -> list[float | None]:
    return _sum(line, [name for name in line.accounts if name not in _NO_WORK])


def _sum(line: Timeline, names: Sequence[str]) -> list[float | None]:
    """GPUs at work for each slot; null where none of these accounts was seen."""
    series = [line.accounts[name] for name in names if name in line.accounts]
    sums: list[float | None] = []
    for parts in zip(*series, strict=False):
        known = [part for part in parts if part is not None]
        sums.append(sum(known) / (1000.0 * line.slot_s) if known and line.slot_s > 0 else None)
    return sums


def _row(label: str, values: Sequence[float | None], unit: str, columns: int, marks: str) -> str:
    means = resample(values, columns)
    known = [value for value in means if value is not None]
    if not known:
        return f"{label:<{_LABEL}} {'':<{columns}} not observed"
    top = max(known)
    bars = "".join(_GAP if value is None else _mark(value, top, marks) for value in means)
    return f"{label:<{_LABEL}} {bars} {number(top)} {unit}"


def _mark(value: float, top: float, marks: str) -> str:
    """Nothing is the lowest mark, and something never is."""
    if value <= 0 or top <= 0:
        return marks[0]
    return marks[max(1, min(len(marks) - 1, math.ceil(value / top * (len(marks) - 1))))]


def resample(values: Sequence[float | None], columns: int) -> list[float | None]:
    """The mean of what was seen in each column; null where nothing was."""
    n = len(values)
    out: list[float | None] = []
    for k in range(columns):
        part = values[k * n // columns : max(k * n // columns + 1, (k + 1) * n // columns)]
        known = [v for v in part if v is not None and math.isfinite(v)]
        out.append(sum(known) / len(known) if known else None)
    return out

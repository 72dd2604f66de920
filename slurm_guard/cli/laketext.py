"""Rows of the lake for a terminal, as CSV and as JSON; every string of them made harmless."""

import csv
import io
import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurm_guard.lake.show import Asked, Shown

KIND = "slurm-guard lake rows"
FORMAT = 1
_CELL = 60  # characters of a cell in a table. Judgement: a command line's beginning
_VALUE = 4000  # of a value that has lines of its own
_CSV_CELL = 32_000  # what a spreadsheet takes in one cell is 32,767
_WIDTH = 112  # where no terminal bounds it
_RULE = 72


@dataclass(frozen=True, slots=True)
class Page:
    """What was asked, what was found, and the zone in which a terminal shows times."""

    asked: "Asked"
    shown: "Shown"
    zone: tzinfo


def render(page: Page, form: str) -> bytes:
    """The bytes of one format; CSV and JSON have raw numbers, and times as UTC epoch seconds."""
    from slurm_guard.cli.rendered import encode, encoding_of

    if form == "csv":
        return _csv(page.shown).encode()
    if form == "json":
        return _json(page).encode()
    return encode(
        "\n".join(line.rstrip() for line in _text(page, _columns())) + "\n", encoding_of(to_stdout=True)
    )


def _columns() -> int:
    return max(20, shutil.get_terminal_size((_WIDTH, 24)).columns)


def asked_words(asked: "Asked", zone: tzinfo | None = None) -> str:
    """Which rows were asked for, short and harmless; empty: all. Times as epoch seconds, or in a zone."""
    from slurm_guard.report.safe import clean

    parts = [f"job {asked.job}"] if asked.job is not None else []
    parts += [f"run {clean(asked.run, 80)}"] if asked.run is not None else []
    parts += [f"node {clean(asked.node, 40)}"] if asked.node is not None else []
    parts += [f"{name}={clean(value, 40)}" for name, value in asked.where]
    for word, at in (("from", asked.from_at), ("to", asked.until_at)):
        shown = f"{at:.0f}" if zone is None and at is not None else _moment(at, zone)
        parts += [f"{word} {shown}"] if at is not None else []
    return ", ".join(parts)


def more_words(shown: "Shown") -> str:
    """How many rows there are beyond those that are shown."""
    rest = shown.n_all - len(shown.rows)
    return f"{len(shown.rows):,} of {shown.n_all:,} rows; {rest:,} more with a larger --limit"


def about_tables(lake: Path) -> Iterator[str]:
    """A line a table: its name, how far it reaches, what it holds."""
    from slurm_guard.lake.about import ABOUT
    from slurm_guard.lake.show import days_and_files

    width = _columns()
    for table, words in ABOUT.items():
        first, last, n = days_and_files(lake, table)
        days = "nothing" if n == 0 else first if first == last else f"{first} to {last}"
        line = f"{table:<10} {days:<24} {words}"
        yield from textwrap.wrap(line, width, subsequent_indent=" " * min(36, width // 3))


def about_table(lake: Path, table: str) -> Iterator[str]:
    """The columns of one table with their types, as the lake has them."""
    from slurm_guard.lake.about import ABOUT
    from slurm_guard.lake.schema import TABLES
    from slurm_guard.lake.show import days_and_files

    first, last, n = days_and_files(lake, table)
    yield f"{table}: {ABOUT[table]}"
    yield f"{n:,} files" + (f", {first} to {last}" if n else "")
    for name, kind in TABLES[table].items():
        yield f"  {name:<20} {_kind(kind)}"


def _kind(kind: object) -> str:
    inner = getattr(kind, "inner", None)
    name = {"String": "text", "Int64": "whole number", "Float64": "number", "Boolean": "true or false"}
    return f"list of {_kind(inner)}s" if inner is not None else name.get(str(kind), str(kind))


def _text(page: Page, width: int) -> list[str]:
    from slurm_guard.report.words import Times, plural

    shown, asked = page.shown, page.asked
    said = asked_words(asked, page.zone)
    what = f"{asked.table}{f' of {said}' if said else ''}"
    if not shown.rows:
        return textwrap.wrap(f"no row of {what}", width)
    at = next(
        (row[k] for row in shown.rows for k, n in enumerate(shown.columns) if _is_time(n, row[k])), None
    )
    zone = f"; times in {Times(page.zone).zone_name(at)}" if isinstance(at, float) else ""
    head = textwrap.wrap(f"{what}: {plural(shown.n_all, 'row')}{zone}", width)
    body = _table(page, width) or _records(page, width)
    rest = [more_words(shown)] if shown.n_all > len(shown.rows) else []
    return [*head, *body, *(line for said in rest for line in textwrap.wrap(said, width))]


def _is_time(name: str, value: object) -> bool:
    return name.endswith("_at") and isinstance(value, float)


def _table(page: Page, width: int) -> list[str]:
    """Columns beside one another; none where they do not fit."""
    from slurm_guard.report.safe import display_width, fit

    shown = page.shown
    rows = [[_cell(n, v, page, _CELL) for n, v in zip(shown.columns, row, strict=True)] for row in shown.rows]
    sizes = [max(map(display_width, cells)) for cells in zip(shown.columns, *rows, strict=True)]
    if sum(sizes) + 2 * (len(sizes) - 1) > width:
        return []
    right = [_is_number(row) for row in zip(*shown.rows, strict=True)]
    right = [
        is_number and not name.endswith("_at") for is_number, name in zip(right, shown.columns, strict=True)
    ]
    return [
        "  ".join(
            cell.rjust(size) if to_right else fit(cell, size)
            for cell, size, to_right in zip(cells, sizes, right, strict=True)
        )
        for cells in (list(shown.columns), *rows)
    ]


def _is_number(values: Sequence[object]) -> bool:
    return all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values
    )


def _records(page: Page, width: int) -> list[str]:
    """A line a value, where the columns do not fit beside one another."""
    shown = page.shown
    size = max(map(len, shown.columns))
    out: list[str] = []
    for k, row in enumerate(shown.rows, 1):
        out.append(f"-- {k} ".ljust(min(width, _RULE), "-"))
        for name, value in zip(shown.columns, row, strict=True):
            head = f"{name:<{size}} "
            out += textwrap.wrap(
                head + _cell(name, value, page, _VALUE),
                max(width, 20),
                subsequent_indent=" " * min(len(head), width // 2),
                break_on_hyphens=False,
            )
    return out


def _cell(name: str, value: object, page: Page, limit: int) -> str:
    """A value in words; a dash is not observed."""
    from slurm_guard.report.safe import clean

    if value is None:
        return "–"
    if _is_time(name, value):
        return _moment(value, page.zone)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return clean(", ".join("–" if one is None else f"{one}" for one in value), limit) or "(none)"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e5 else f"{value:.3f}"
    return clean(str(value), limit) if value != "" else '""'


def _moment(value: object, zone: tzinfo | None) -> str:
    from slurm_guard.report.words import Times

    at = value if isinstance(value, float) else None
    moment = None if zone is None else Times(zone).moment(at)
    return f"{value}" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def _csv(shown: "Shown") -> str:
    from slurm_guard.report.safe import clean, formula_safe

    def plain(value: object) -> object:
        if isinstance(value, list):
            value = json.dumps(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        return formula_safe(clean(value, _CSV_CELL)) if isinstance(value, str) else value

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(shown.columns)
    writer.writerows([plain(value) for value in row] for row in shown.rows)
    return out.getvalue()


def _json(page: Page) -> str:
    """One object, a line a row; everything beyond ASCII escaped."""
    shown = page.shown
    head = {"kind": KIND, "format": FORMAT, "table": page.asked.table, "asked": asked_words(page.asked)}
    head |= {"n_rows": shown.n_all, "n_shown": len(shown.rows)}
    rows = [json.dumps(dict(zip(shown.columns, row, strict=True))) for row in shown.rows]
    lines = ",\n".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in head.items())
    return "{\n" + lines + ',\n"rows":[' + ",".join(f"\n{row}" for row in rows) + "\n]\n}\n"

"""The tables of docs/detection.md, written between its two marks."""

import argparse
import os
import platform
import subprocess
import time
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.detect.scenarios import ELSEWHERE, scenarios
from bench.detect.state import code_digest
from bench.detect.violations import VIOLATIONS

_BEGIN, _END = "<!-- tables: begin -->", "<!-- tables: end -->"
Row = dict[str, Any]


def write_page(path: Path, rows: list[Row], options: argparse.Namespace, made: tuple[int, float]) -> None:
    """Put every table into the page, with a line that says how they were made. `made`: runs, seconds."""
    before, _, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"{path} has no {_BEGIN} and {_END}")
    parts = [_made(options, *made)]
    for table, of_table in groupby(rows, key=lambda row: str(row["table"])):
        parts += [f"### {table[0].upper()}{table[1:]}", _table(list(of_table))]
    parts += ["### Scenarios", _scenarios(), "### Suites of violated assumptions", _suites()]
    path.write_text("\n\n".join([before + _BEGIN, *parts, _END + after]), encoding="utf-8")


def _made(options: argparse.Namespace, n_runs: int, took_s: float) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    command = f"--seed {options.seed} --honest {options.honest} --diverting {options.diverting}"
    return (
        f"Made by `python -m bench detection {command} --violated {options.violated}` on "
        f"{time.strftime('%Y-%m-%d')} at commit {commit.strip()} (code {code_digest()}), {machine}: "
        f"{n_runs:,} simulated runs; this call took {took_s:.0f} s. Figures are *simulated* where the "
        "heading says nothing else. In brackets: exact 95 % intervals (Clopper–Pearson) of rates, quartiles "
        "of medians."
    )


def _table(rows: list[Row]) -> str:
    lines = ["| what | n | figure | | goal | holds |", "| --- | ---: | ---: | --- | ---: | --- |"]
    lines += [
        f"| {row['what']} | {row['n'] or ''} | {_figure(row)} | {_span(row)} | {_goal(row)} |" for row in rows
    ]
    return "\n".join(lines)


def _figure(row: Row) -> str:
    if row["value"] is None:
        return row["unit"] if len(row["unit"]) > 20 else "-"
    return f"{row['value']:.1f} {row['unit']}"


def _span(row: Row) -> str:
    if row["value"] is None or row["lo"] is None:
        return ""
    return f"[{row['lo']:.1f}, {row['hi']:.1f}]" if row["n"] else ""


def _goal(row: Row) -> str:
    if row["goal"] is None:
        return "|"
    return f"{row['goal']:g} | {'-' if row['met'] is None else 'yes' if row['met'] else '**no**'}"


def _scenarios() -> str:
    lines = ["| family | scenario | what it is | side | held out |", "| --- | --- | --- | --- | --- |"]
    for one in scenarios():
        own = "yes" if one.is_own else ""
        lines.append(f"| {one.name} | {', '.join(one.ids)} | {one.reason} | {one.how} | {own} |")
    lines += [f"| (not here) | {row} | {where} | | |" for row, where in ELSEWHERE.items()]
    return "\n".join(lines)


def _suites() -> str:
    lines = ["| suite | taken for granted | here instead |", "| --- | --- | --- |"]
    lines += [f"| {one.name} | {one.assumes} | {one.instead} |" for one in VIOLATIONS]
    return "\n".join(lines)

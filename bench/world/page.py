"""The tables of docs/adversarial.md, written between its two marks."""

import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.world.families import families

_BEGIN, _END = "<!-- tables: begin -->", "<!-- tables: end -->"
_HEADS = {
    "n": "runs",
    "alert": "ALERT",
    "review": "REVIEW",
    "note": "NOTE",
    "clear": "CLEAR",
    "not_auditable": "N/A",
    "wrong": "wrong of",
    "covered": "covered",
    "width_pct": "width %",
    "lower_above_truth": "low > true",
    "believed": "believed",
}


def write_page(path: Path, rows: list[dict[str, Any]], command: str, took_s: float) -> None:
    """Put the totals and the families into the page, with a line that says how they were made."""
    before, _, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"{path} has no {_BEGIN} and {_END}")
    reasons = {family.name: family.reason for family in families()}
    totals = [row for row in rows if row["what"] not in reasons]
    made = f"{_made(command, took_s)} Faults: {sum(row['faults'] for row in totals)}."
    parts = [made, _table(totals, _interval, "95 % of wrong")]
    for side in ("honest", "diverting"):
        of_side = [row for row in rows if row["side"] == side and row["what"] in reasons]
        parts += [f"### {side.capitalize()} families"]
        parts += [_table(of_side, lambda row: reasons[row["what"]], "what it is")]
    text = "\n\n".join([before + _BEGIN, *parts, _END + after])
    path.write_text(text, encoding="utf-8")


def _made(command: str, took_s: float) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout
    kernel = platform.release().partition("-")[0]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {kernel}"
    day = time.strftime("%Y-%m-%d")
    return (
        f"Made by `python -m bench {command}` on {day} at commit {commit.strip()} in {took_s:.0f} s: "
        f"{machine}, Python {platform.python_version()}. All figures are *simulated*."
    )


def _table(rows: list[dict[str, Any]], last: Callable[[dict[str, Any]], str], head: str) -> str:
    heads = ["", *_HEADS.values(), head]
    rule = ["---", *["---:"] * len(_HEADS), "---"]
    lines = [[row["what"], *(_cell(row, key) for key in _HEADS), last(row)] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def _cell(row: dict[str, Any], key: str) -> str:
    if key == "wrong":
        return f"{row['wrong']} of {row['of']}"
    value = row[key]
    if value is None:
        return "-"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _interval(row: dict[str, Any]) -> str:
    return f"{row['wrong_lo_pct']:.1f} to {row['wrong_hi_pct']:.1f} %"

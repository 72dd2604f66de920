"""The core of the ledger by ledger.sql: `python -m bench.ledgers.in_duckdb LAKE GIVEN OUT`.

Needs DuckDB alone.
"""

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from bench.ledgers.night import WINDOW
from bench.ledgers.timed import say

SQL = Path(__file__).with_name("ledger.sql")


def connect(lake: str, given: str, threads: int) -> duckdb.DuckDBPyConnection:
    """With the view `figures`, of which nothing is computed yet."""
    found = duckdb.connect(config={"threads": threads})
    found.execute("SET VARIABLE lake = $1", [lake])
    found.execute("SET VARIABLE given = $1", [given])
    found.execute("SET VARIABLE from_at = $1", [WINDOW[0]])
    found.execute("SET VARIABLE until_at = $1", [WINDOW[1]])
    found.execute(SQL.read_text("utf-8"))
    return found


def compute(lake: str, given: str, out: str, threads: int) -> None:
    """Compute, write."""
    connect(lake, given, threads).execute(f"COPY figures TO '{out}/figures.parquet' (FORMAT parquet)")


def plan_of(lake: str, given: str, threads: int) -> Iterator[str]:
    """The plan as it was run, a line an operator: seconds of all threads, rows that came out, what it did."""
    db = connect(lake, given, threads)
    found = db.execute("EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM figures").fetchall()
    yield from (line for root in _roots(json.loads(found[0][1])) for line in _lines(root, 0))


def _roots(profile: Any) -> Iterator[dict[str, Any]]:
    yield from (
        profile if isinstance(profile, list) else profile.get("operator") or profile.get("children") or []
    )


def _lines(node: dict[str, Any], depth: int) -> Iterator[str]:
    said = node.get("extra_info") or {}
    words = [f"{name}: {_short(said[name])}" for name in sorted(said) if name in _TOLD]
    took, rows = node.get("timing", 0.0), node.get("intermediate_rows", 0)
    yield f"{took:7.3f} s {rows:>9,}  {'  ' * depth}{node.get('name', '')} {'; '.join(words)}".rstrip()
    for child in node.get("children") or []:
        yield from _lines(child, depth + 1)


_TOLD = ("CTE Name", "CTE Index", "Join Type", "Conditions", "Groups", "Aggregates", "Expression", "Function")


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 160 else f"{text[:160]} …"


def main(lake: str, given: str, out: str) -> None:
    """Compute and say what it took; with `--plan` in the place of a folder, print the plan."""
    threads = int(os.environ.get("GUARD_BENCH_THREADS", "2"))
    if out == "--plan":
        sys.stdout.writelines(f"{line}\n" for line in plan_of(lake, given, threads))
    else:
        say(partial(compute, lake, given, out, threads))


if __name__ == "__main__":
    main(*sys.argv[1:4])

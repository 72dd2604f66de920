"""The core of the ledger by ledger.sql: `python -m bench.ledgers.in_duckdb LAKE GIVEN OUT THREADS`. Needs DuckDB alone."""

import sys
from pathlib import Path

import duckdb

from bench.ledgers.night import WINDOW

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


def main(lake: str, given: str, out: str, threads: str = "2") -> None:
    """Compute, write."""
    connect(lake, given, int(threads)).execute(f"COPY figures TO '{out}/figures.parquet' (FORMAT parquet)")


if __name__ == "__main__":
    main(*sys.argv[1:])

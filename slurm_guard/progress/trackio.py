"""Trackio's database, one a project: `metrics(run_id, timestamp, step, …)`, a row for each call of `log`.

It is written ahead: while a run lives, the newest rows stand in the file `….db-wal`, which is not read.
"""

from slurm_guard.progress.mlflowdb import name_of
from slurm_guard.progress.protocol import MAX_CLAIMS, MAX_SERIES, Claim, Series
from slurm_guard.progress.sqlite import Database, Table
from slurm_guard.progress.values import parse_stamp, to_count

NAME = "trackio"


def read_runs(database: Database, tables: dict[str, Table]) -> list[Series]:
    """A series for each of the latest runs; empty: no such table, or nothing in it."""
    table = tables.get("metrics")
    wanted = ("run_id", "timestamp", "step", "metrics")
    if table is None or not set(wanted) <= set(table.columns):
        return []
    run_in, at_in, step_in, _ = (table.columns.index(name) for name in wanted)
    claims: dict[str, list[Claim]] = {}
    n = 0
    for nth, (_, row) in enumerate(database.rows(table.root)):
        run, at, step = row[run_in], row[at_in], to_count(row[step_in])
        if not isinstance(run, str) or not isinstance(at, str) or step is None:
            continue
        instant, naive = parse_stamp(at)
        claims.setdefault(name_of(run), []).append(
            Claim(nth + 1, name_of(run), step, at=instant, naive=naive)
        )
        n += 1
        if n >= MAX_CLAIMS:
            for each in claims.values():
                del each[1:-1:2]
            n = sum(map(len, claims.values()))
    latest = sorted(claims, key=lambda name: (claims[name][-1].offset, name))[-MAX_SERIES:]
    return [Series(NAME, run, "", claims[run]) for run in latest]

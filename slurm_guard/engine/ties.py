"""Runs with a file in common: what one log says of each of them is settled among all of them at once."""

from collections.abc import Sequence

import polars as pl

from slurm_guard.audit import bind
from slurm_guard.audit.facts import runs_frame
from slurm_guard.lake.frames import distinct_rows
from slurm_guard.lake.schema import TABLES, empty
from slurm_guard.lake.view import View
from slurm_guard.model import Run


def shared_files(view: View, cluster: str, runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Pairs of ids of runs that both have a log, or of which one had a file open that is the other's log: all
    that audit/sharedlogs.py and audit/neighbours.py may look at."""
    logs = distinct_rows(view, cluster, "logs", ("run", "path", "ino"))
    files = distinct_rows(view, cluster, "files", ("run", "path", "ino"))
    every = {name: empty(name) for name in TABLES}
    every["logs"] = pl.concat([logs, files]).select("run")
    keys = bind.bind(runs_frame(list(runs)), every).select("run", "i")
    uids = pl.DataFrame(
        {"i": range(len(runs)), "uid": [run.uid for run in runs]}, schema={"i": pl.Int64, "uid": pl.Int64}
    )
    told = logs.filter(pl.col("ino").is_not_null()).join(keys, on="run")
    held = files.filter(pl.col("ino").is_not_null()).join(keys, on="run")
    pairs = [
        _neighbours(told.join(uids, on="i").select("i", "uid", "ino"), ["uid", "ino"]),
        _neighbours(
            pl.concat([told, held.join(told, on=["path", "ino"], how="semi")]).select("i", "path", "ino"),
            ["path", "ino"],
        ),
    ]
    return [(runs[a].id, runs[b].id) for part in pairs for a, b in part.iter_rows()]


def _neighbours(rows: pl.DataFrame, same: list[str]) -> pl.DataFrame:
    """(i, next) of each two that follow each other among rows with the same values."""
    ordered = rows.unique().sort(*same, "i", nulls_last=True)
    return ordered.select("i", pl.col("i").shift(-1).over(same).alias("next")).drop_nulls()

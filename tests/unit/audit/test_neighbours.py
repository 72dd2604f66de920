"""Logs in a work directory that several jobs share belong to the job whose processes write them."""

import polars as pl

from slurm_guard.audit.neighbours import PROBLEM, foreign_logs, without
from slurm_guard.lake.schema import TABLES

KEYS = pl.DataFrame({"run": ["a", "b"], "i": [0, 1]})
RUNS = pl.DataFrame({"i": [0, 1], "start_at": [100.0, 110.0], "end_at": [200.0, 210.0]})


def frame(table: str, *rows: dict[str, object]) -> pl.DataFrame:
    """Rows of a lake table; what is not given is null."""
    schema = TABLES[table]
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def log(run: str, file: int, how: str, ino: int, n: int = 9) -> dict[str, object]:
    return {"run": run, "file": file, "how": how, "path": f"/w/{ino}", "ino": ino, "n": n, "problems": []}


def held(run: str, ino: int, at: float) -> dict[str, object]:
    return {"run": run, "path": f"/w/{ino}", "ino": ino, "at": at, "how": "fd"}


def test_a_log_that_another_runs_process_holds_is_not_this_runs() -> None:
    logs = frame("logs", log("a", 1, "fd", 7), log("b", 1, "stdout", 8), log("b", 2, "walk", 7))

    foreign = foreign_logs(logs, frame("files", held("a", 7, 150.0)), KEYS, RUNS)

    assert foreign.rows() == [("b", 2)]


def test_a_log_that_an_earlier_execution_held_stays_with_the_one_that_goes_on_with_it() -> None:
    logs = frame("logs", log("b", 2, "walk", 7))
    later = RUNS.with_columns(pl.Series("start_at", [100.0, 300.0]), pl.Series("end_at", [200.0, 400.0]))

    foreign = foreign_logs(logs, frame("files", held("a", 7, 150.0)), KEYS, later)

    assert foreign.is_empty()


def test_a_log_alone_in_the_folder_stays() -> None:
    logs = frame("logs", log("a", 1, "stdout", 6), log("a", 2, "walk", 7), log("b", 2, "walk", 8))

    foreign = foreign_logs(logs, frame("files", held("a", 6, 150.0)), KEYS, RUNS)

    assert foreign.is_empty()


def test_a_log_left_out_counts_nothing_and_says_why() -> None:
    logs = frame("logs", log("a", 1, "fd", 7), log("b", 2, "walk", 7))

    rest = without(logs, foreign_logs(logs, frame("files", held("a", 7, 150.0)), KEYS, RUNS))

    assert rest.select("n", "problems").rows() == [(9, []), (0, [PROBLEM])]

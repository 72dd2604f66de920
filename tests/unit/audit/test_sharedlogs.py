"""One file that several runs have in their readings speaks for one of them, or for none."""

from dataclasses import replace

import polars as pl
import pytest

from slurm_guard.audit.facts import Facts
from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.sharedlogs import BREAK, PROBLEM, Member, owner_of, settle
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Verdict
from tests.builders import Log, Tenant, World, build, key, run_of

KEYS = pl.DataFrame({"run": ["a", "a2", "b"], "i": [0, 0, 1]})
BOTH = ((1000.0, 2000.0), (1000.0, 2000.0))
LINE_B = 20


def frame(table: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows of a lake table; what is not given is null."""
    schema = TABLES[table]
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def runs(*lives: tuple[float, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "i": range(len(lives)),
            "uid": [7] * len(lives),
            "start_at": [a for a, _ in lives],
            "end_at": [b for _, b in lives],
        },
        schema_overrides={"end_at": pl.Float64},
    )


def reading(
    run: str, how: str, at: range, ino: int = 5, path: str = "/w/train.log"
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """A run's log and its points: one record of `LINE_B` bytes every 10 s since 0, seen within 10 s."""
    conf = {"guard": 1.0, "fd": 1.0, "stdout": 0.95, "declared": 0.9, "walk": 0.5}[how]
    log = {
        "run": run, "file": 0, "how": how, "path": path, "ino": ino, "n": len(at), "track": "t:x",
        "bind_conf": conf, "problems": [],
    }  # fmt: skip
    points: list[dict[str, object]] = [
        {
            "run": run, "file": 0, "track": "t:x", "segment": 0, "step": t // 10,
            "offset": LINE_B * (t // 10),
            "obs_lo_at": t - 10.0, "obs_hi_at": float(t), "loss": 1.0, "phase": "train", "flags": [],
        }
        for t in at
    ]  # fmt: skip
    return log, points


def wrote(**of_run: int) -> pl.DataFrame:
    """Shares of one GPU process in each run, from 1000 to 2000, with the bytes that it wrote."""
    rows = [
        {"own": {"a": 0, "b": 1}[name], "node": name, "pid": 1, "start_ticks": 1, "start_at": 1000.0,
         "end_at": 2000.0, "written_b": size}
        for name, size in of_run.items()
    ]  # fmt: skip
    schema: dict[str, type[pl.DataType]]
    names = ("own", "pid", "start_ticks", "written_b")
    schema = dict.fromkeys(names, pl.Int64) | {
        "node": pl.String,
        "start_at": pl.Float64,
        "end_at": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema)


def left(
    readings: list[tuple[dict[str, object], list[dict[str, object]]]],
    lives: tuple[tuple[float, float | None], ...] = BOTH,
    uses: pl.DataFrame | None = None,
) -> tuple[dict[str, list[int]], dict[str, tuple[int, list[str]]], pl.DataFrame]:
    """(steps left per run key, (n, problems) per run key, points)."""
    points, logs = settle(
        frame("points", [p for _, part in readings for p in part]),
        frame("logs", [log for log, _ in readings]),
        (KEYS, runs(*lives)),
        [wrote() if uses is None else uses],
    )
    steps = {log["run"]: points.filter(pl.col("run") == log["run"])["step"].to_list() for log, _ in readings}
    said = {run: (n, list(p)) for run, n, p in logs.select("run", "n", "problems").iter_rows()}
    return steps, said, points  # type: ignore[return-value]


ALL = range(1000, 2000, 10)


@pytest.mark.parametrize("how", ["fd", "stdout", "walk"])
def test_a_log_that_two_runs_hold_alike_counts_for_none_and_says_what_to_do(how: str) -> None:
    steps, said, _ = left([reading("a", how, ALL), reading("b", how, ALL)])

    assert steps == {"a": [], "b": []}
    assert [n for n, _ in said.values()] == [0, 0]
    assert said["a"][1] == [
        PROBLEM.format(100, "no run"),
    ]


@pytest.mark.parametrize("how", ["fd", "stdout", "walk"])
def test_of_two_alike_the_only_one_that_wrote_as_much_as_the_file_grew_has_it(how: str) -> None:
    steps, said, _ = left([reading("a", how, ALL), reading("b", how, ALL)], uses=wrote(a=2_000, b=10))

    assert (len(steps["a"]), len(steps["b"])) == (100, 0)
    assert said["a"] == (100, [])
    assert said["b"][1][0].startswith("shared-log: 100 records count for another run")


def test_what_nobody_knows_of_the_others_writing_is_no_proof() -> None:
    steps, _, _ = left([reading("a", "fd", ALL), reading("b", "fd", ALL)], uses=wrote(a=2_000))

    assert steps == {"a": [], "b": []}


@pytest.mark.parametrize(
    ("better", "worse"), [("guard", "fd"), ("stdout", "fd"), ("fd", "declared"), ("declared", "walk")]
)
def test_the_surer_tie_has_it(better: str, worse: str) -> None:
    steps, _, _ = left([reading("a", worse, ALL), reading("b", better, ALL)], uses=wrote(a=90_000, b=90_000))

    assert (len(steps["a"]), len(steps["b"])) == (0, 100)


def test_a_silent_run_whose_output_slurm_was_told_to_put_into_anothers_log_gets_none_of_it() -> None:
    steps, _, _ = left([reading("a", "fd", ALL), reading("b", "stdout", ALL)], uses=wrote(a=9_000, b=0))

    assert steps["b"] == []


def test_a_hard_link_is_the_same_file() -> None:
    steps, _, _ = left([reading("a", "fd", ALL), reading("b", "fd", ALL, path="/w/other.log")])

    assert steps == {"a": [], "b": []}


def test_two_files_of_one_inode_number_are_two_files() -> None:
    log, points = reading("b", "fd", ALL)
    other = [{**p, "loss": 2.0} for p in points]

    steps, said, _ = left([reading("a", "fd", ALL), (log, other)])

    assert [len(s) for s in steps.values()] == [100, 100]
    assert said["a"] == (100, [])


def test_two_nodes_of_one_run_share_their_log() -> None:
    steps, _, _ = left([reading("a", "fd", ALL), reading("a2", "fd", ALL)])

    assert [len(s) for s in steps.values()] == [100, 100]


def test_runs_one_after_the_other_go_on_in_one_file() -> None:
    """Without times in it the second reading holds all of the file."""
    steps, _, points = left(
        [reading("a", "stdout", range(1000, 2000, 10)), reading("b", "stdout", range(1000, 3000, 10))],
        ((1000.0, 2000.0), (2001.0, 3000.0)),
    )

    assert steps["a"] == list(range(100, 200))
    assert steps["b"][-1] == 299
    assert 97 <= len(steps["b"]) <= 100
    assert points.filter(pl.col("run") == "b")["segment"].unique().to_list() == [BREAK]


def test_only_what_both_may_have_written_is_in_doubt_and_no_rise_reaches_over_it() -> None:
    steps, said, points = left(
        [reading("a", "fd", range(1000, 4000, 10)), reading("b", "fd", range(2000, 3000, 10))],
        ((1000.0, 4000.0), (2000.0, 3000.0)),
    )

    assert steps["b"] == []
    assert 190 <= len(steps["a"]) <= 200
    assert not set(steps["a"]) & set(range(200, 300))
    assert said["a"][0] == len(steps["a"])
    assert points["segment"].unique().sort().to_list() == [0, BREAK]


def test_thinned_readings_of_one_file_do_not_slip_through_each_others_gaps() -> None:
    a, b = reading("a", "fd", ALL), reading("b", "fd", ALL)
    steps, _, _ = left([(a[0], a[1][::2]), (b[0], b[1][::3])])

    assert steps == {"a": [], "b": []}


def test_a_run_that_goes_on_is_in_doubt_too() -> None:
    steps, _, _ = left([reading("a", "fd", ALL), reading("b", "fd", ALL)], ((1000.0, None), (1000.0, None)))

    assert steps == {"a": [], "b": []}


def test_of_three_the_only_writer_has_it() -> None:
    def member(i: int, wrote: bool | None) -> Member:
        return Member(i, 3, wrote, 0.0, 100.0)

    assert owner_of([member(0, False), member(1, True), member(2, False)]) == 1
    assert owner_of([member(0, False), member(1, True), member(2, None)]) is None
    assert owner_of([member(0, False), member(1, False)]) is None


def _as_job(facts: Facts, job_id: int) -> dict[str, pl.DataFrame]:
    """The tables of job 7 as another job's, with a board and processes of its own and the same log."""
    old, new = key(7) or "", key(job_id) or ""
    moved = {}
    for name, table in facts.frames.items():
        keys = [c for c in ("run", "window_run") if c in table.columns]
        other = table.with_columns(pl.col(c).str.replace(old, new, literal=True) for c in keys)
        if table.schema.get("gpu") == pl.String:
            other = other.with_columns(pl.col("gpu") + "b")
        if "pid" in table.columns:
            other = other.with_columns(pl.col("pid") + 5_000)
        if "job_id" in table.columns:
            other = other.with_columns(pl.lit(job_id, table.schema["job_id"]).alias("job_id"))
        moved[name] = other
    return moved


@pytest.mark.parametrize("how", ["fd", "stdout", "walk"])
def test_a_miner_that_holds_a_trainings_log_has_nothing_explained_by_it(how: str) -> None:
    trains = build(World(tenants=(Tenant("train", 0, 10_800, written_b=10_000_000),), log=Log(how=how)))
    mines = _as_job(build(World(tenants=(Tenant("train", 0, 10_800),), log=Log(how=how))), 8)
    frames = {name: pl.concat([table, mines[name]]) for name, table in trains.frames.items()}

    both = audit_facts(replace(trains, frames=frames, runs=(*trains.runs, run_of(World(), 8)))).judgements

    alone = audit_facts(trains).judgements[0]
    training, mining = sorted(both, key=lambda j: j.run.job_id)
    assert (training.verdict, training.progress) == (alone.verdict, alone.progress)
    assert mining.verdict is Verdict.NOT_AUDITABLE
    assert mining.progress.n_points == 0
    assert any("shared-log" in problem for problem in mining.progress.problems)

"""Wide nights: the same bytes for the same word, a lake as collect leaves it, and sums that agree."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.schema import TABLES
from slurm_guard.simulate.scale import calibration
from slurm_guard.simulate.scale.course import diverted, is_training, progressed, trained
from slurm_guard.simulate.scale.draw import Seed
from slurm_guard.simulate.scale.make import make
from slurm_guard.simulate.scale.plan import BEGIN_AT, DAY_S, Size, make_plan
from slurm_guard.simulate.scale.runs import describe
from slurm_guard.slurm.sacct import SacctFile

# Seventeen nodes: one file of sixteen and one of the last. Half of the long trainings are diverted.
SMALL = Size(136, 200, 1, "word", planted=0.5)
LAKE1 = Path(__file__).parents[2] / "fixtures" / "lake1" / "lake"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One night, made once."""
    out = tmp_path_factory.mktemp("wide")
    make(out, SMALL)
    return out


@pytest.fixture(scope="module")
def hundred_thousand() -> pl.DataFrame:
    """The jobs of one night of 100,000 GPUs, without their windows."""
    size = Size(100_000, 140_000, 1, "word")  # as many a GPU as in Helios
    return describe(make_plan(size), size)


def _digests(out: Path) -> dict[str, str]:
    found = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _rows(out: Path, table: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((out / "lake/v1" / table).rglob("*.parquet"))])


def _f(value: object) -> float:
    """A sum that polars types as anything."""
    assert isinstance(value, (int, float))
    return float(value)


def _fresh(jobs: pl.DataFrame) -> pl.DataFrame:
    return jobs.filter(pl.col("start") >= BEGIN_AT, ~pl.col("giant")).with_columns(
        (pl.col("end") - pl.col("start")).alias("run_s")
    )


def test_same_word_gives_the_same_bytes_however_much_is_computed_at_once(made: Path, tmp_path: Path) -> None:
    make(tmp_path, SMALL, at_once=2)

    assert _digests(tmp_path) == _digests(made)


def test_another_word_gives_another_night() -> None:
    first, second = (make_plan(Size(136, 200, 1, word)).jobs for word in ("one", "two"))

    assert not first.equals(second)


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    make(tmp_path, Size(8, 16, 2, "word"), lambda n, total: told.append((n, total)))

    assert told == [(1, 2), (2, 2)]


def test_the_lake_is_one_that_collect_could_have_left(made: Path) -> None:
    tables = sorted(path.name for path in (made / "lake/v1").iterdir() if path.name != "manifest")
    collected = {path.parents[1].name: path for path in (LAKE1 / "v1").rglob("*.parquet")}

    assert set(tables) >= {"windows", "shares", "points", "logs", "files", "tickets", "ends", "seals"}
    for table in tables:
        for path in (made / "lake/v1" / table).rglob("*.parquet"):
            assert path.parent.name.startswith("date=2025-"), path
            assert path.stat().st_mode & 0o007 == 0
            schema = pl.read_parquet_schema(path)
            assert schema == pl.Schema(TABLES[table])
            if table in collected:
                assert list(schema.items())[: len(pl.read_parquet_schema(collected[table]))] == list(
                    pl.read_parquet_schema(collected[table]).items()
                )


def test_rows_lie_in_their_days_and_streams_have_no_holes(made: Path) -> None:
    frames, skips = read_frames(made / "lake", "wide", BEGIN_AT, BEGIN_AT + DAY_S)

    assert skips == ()
    assert frames["windows"].height == _rows(made, "windows").height
    running = frames["windows"]["run"].drop_nulls().unique()
    assert set(running) <= set(frames["tickets"]["run"])
    assert set(frames["points"]["run"]) <= set(frames["logs"]["run"])
    assert set(frames["shares"].drop_nulls("window_run")["window_run"]) == set(running)


def test_gpu_seconds_of_accounting_are_those_of_the_windows(made: Path) -> None:
    runs = SacctFile(made / "sacct.txt").load_runs(BEGIN_AT, BEGIN_AT + DAY_S).runs
    accounted = {run.job_id: (run.until_at - run.from_at) * run.n_gpus for run in runs}

    windows = _rows(made, "windows").filter(pl.col("run").is_not_null())
    seen = windows.group_by(pl.col("run").str.split("/").list.get(1).cast(pl.Int64)).agg(
        (pl.col("end_at") - pl.col("start_at")).sum().alias("s")
    )

    assert dict(seen.iter_rows()) == pytest.approx(accounted)


def test_every_gpu_is_seen_all_day_by_one_at_a_time(made: Path) -> None:
    windows = _rows(made, "windows").sort("gpu", "start_at")
    after = pl.col("start_at") - pl.col("end_at").shift(1).over("gpu")

    assert windows["gpu"].n_unique() == SMALL.gpus
    assert windows.select(after.drop_nulls().abs().max()).item() == 0.0
    ends = windows.group_by("gpu").agg(pl.col("start_at").min(), pl.col("end_at").max())
    assert ends.select("start_at", "end_at").unique().rows() == [(BEGIN_AT, BEGIN_AT + DAY_S)]


def test_no_measurement_is_below_zero_and_busy_is_covered(made: Path) -> None:
    windows = _rows(made, "windows")
    numbers = [name for name, dtype in windows.schema.items() if dtype == pl.Int64]

    assert windows.select(pl.min_horizontal(pl.col(numbers).min()) >= 0).item()
    assert windows.filter(pl.col("busy_ms") > pl.col("covered_ms")).is_empty()
    assert windows.filter(pl.col("run").is_null() & (pl.col("busy_ms") > 0)).is_empty()


def test_work_follows_steps_in_honest_trainings(made: Path) -> None:
    """Half an hour of a run against another of the same run: busy time a step stays what it was."""
    honest = pl.read_parquet(made / "truth.parquet").filter("honest")
    job, part = pl.col("run").str.split("/").list.get(1).cast(pl.Int64).alias("job_id"), 1800
    windows = _rows(made, "windows").drop_nulls("run")
    work = windows.group_by(job, (pl.col("start_at") // part).alias("t")).agg(
        (pl.col("busy_ms").sum() / pl.col("gpu").n_unique()).alias("busy_ms")
    )
    points = _rows(made, "points").filter(pl.col("phase") == "train")
    span = (pl.col("step").max() - pl.col("step").min()) / (pl.col("at").max() - pl.col("at").min())
    pace = points.group_by(job, (pl.col("at") // part).alias("t")).agg(span.alias("pace"), pl.len())
    both = pace.filter(pl.col("len") > 8).join(work, on=["job_id", "t"]).join(honest, on="job_id", how="semi")

    a_step = both.group_by("job_id").agg((pl.col("busy_ms") / pl.col("pace")).alias("ratio"))
    spread = a_step.filter(pl.col("ratio").list.len() > 2).select(
        pl.col("ratio").list.std() / pl.col("ratio").list.mean()
    )

    assert spread.height >= 8
    assert _f(spread.to_series().median()) < 0.12


def test_truth_says_what_was_planted_within_the_night(made: Path) -> None:
    truth = pl.read_parquet(made / "truth.parquet")
    planted = truth.filter(~pl.col("honest"))

    assert set(planted["scenario"]) == set(calibration.SCENARIOS)
    assert (planted["diverted_gpu_s"] > 0).all()
    assert (truth.filter("honest")["diverted_gpu_s"] == 0).all()
    assert (planted["diverted_gpu_s"] <= DAY_S * planted["gpus"]).all()
    assert (truth["by_night_gpu_s"].list.len() == SMALL.nights).all()
    assert (truth["by_night_gpu_s"].list.sum() - truth["diverted_gpu_s"]).abs().max() == 0


def test_course_is_the_work_and_never_runs_back() -> None:
    run = {"startup_s": 90.0, "cycle_s": 1500.0, "eval_s": 120.0, "sway": 0.05, "sway_s": 1000.0}
    rows = pl.select(pl.int_range(0, 20_000, 7).cast(pl.Float64).alias("t")).with_columns(
        *(pl.lit(value).alias(name) for name, value in run.items()),
        pl.lit(9000.0).alias("onset_s"),
        pl.lit(0.4).alias("part"),
    )
    t = pl.col("t")

    course = rows.select("t", trained(t).alias("w"), progressed(t).alias("p"), diverted(t).alias("d"))

    assert (course["w"].diff().drop_nulls() >= -1e-9).all()
    assert (course["p"].diff().drop_nulls() >= -1e-9).all()
    assert _f(course.filter(pl.col("t") < 9000.0)["d"].abs().max()) == pytest.approx(0.0, abs=1e-6)
    late = course.row(-1, named=True)
    onset = course.filter(pl.col("t") <= 9000.0).row(-1, named=True)
    assert late["d"] == pytest.approx(0.4 * (late["w"] - onset["w"]), rel=0.01)
    assert not rows.select(is_training(t).first()).item()


def test_draws_are_even_and_streams_do_not_know_each_other() -> None:
    keys = pl.select(pl.int_range(100_000, dtype=pl.UInt64).alias("k"))
    seed = Seed("word")

    drawn = keys.select(seed.uniform(pl.col("k"), "a").alias("a"), seed.normal(pl.col("k"), "b").alias("b"))

    assert _f(drawn["a"].mean()) == pytest.approx(0.5, abs=0.005)
    assert _f(drawn["b"].mean()) == pytest.approx(0.0, abs=0.015)
    assert _f(drawn["b"].std()) == pytest.approx(1.0, abs=0.01)
    assert abs(drawn.select(pl.corr("a", "b")).item()) < 0.015


def test_a_large_night_has_the_published_shape(hundred_thousand: pl.DataFrame) -> None:
    jobs = hundred_thousand
    fresh = _fresh(jobs)
    held = pl.min_horizontal("end", pl.lit(BEGIN_AT + DAY_S)) - pl.max_horizontal("start", pl.lit(BEGIN_AT))

    assert fresh.height == pytest.approx(140_000, rel=0.1)
    assert jobs.select((held * pl.col("size")).sum()).item() / (100_000 * DAY_S) == pytest.approx(
        0.80, abs=0.06
    )
    assert _f(fresh["size"].median()) == 1
    assert _f(fresh["size"].mean()) == pytest.approx(3.716, rel=0.2)  # Helios, as are these
    assert _f(fresh["run_s"].median()) == pytest.approx(206, rel=0.25)
    assert _f(fresh["run_s"].mean()) == pytest.approx(6652, rel=0.2)
    ended = fresh.filter(pl.col("state") != "RUNNING")
    for state, share in (("CANCELLED", 0.221), ("FAILED", 0.155)):
        assert _f((ended["state"] == state).mean()) == pytest.approx(share, abs=0.04)


def test_a_large_night_has_a_burst_a_giant_and_a_job_of_fifty_days(hundred_thousand: pl.DataFrame) -> None:
    ten_minutes = hundred_thousand.group_by((pl.col("submit") - int(BEGIN_AT)) // 600).len()["len"]

    assert _f(ten_minutes.max()) == pytest.approx(3_475 + _f(ten_minutes.median()), rel=0.4)
    assert _f(hundred_thousand["size"].max()) == calibration.GIANT
    assert _f((hundred_thousand["end"] - hundred_thousand["start"]).max()) >= 50 * DAY_S - 2


@pytest.mark.parametrize("gpus", [8, 24, 64])
def test_a_cluster_of_any_size_gets_jobs(gpus: int) -> None:
    plan = make_plan(Size(gpus, 2 * gpus, 1, "word"))

    assert plan.lanes["size"].sum() == gpus
    assert plan.jobs.height > 0

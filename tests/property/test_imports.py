"""Laws of imported readings: whatever is missing from them makes no work and no idle time."""

from array import array

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slurm_guard.lake.others import LONGEST, rows_of
from slurm_guard.readings import Series
from tests.unit.lake.test_others import AT, GPUS, hour, run, series, steady

TIMES = 131  # readings of an hour with its lead


def _without(one: Series, gone: set[int]) -> Series:
    kept = [k for k in range(len(one.at)) if k not in gone]
    return one._replace(
        at=array("d", [one.at[k] for k in kept]), value=array("d", [one.value[k] for k in kept])
    )


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, TIMES - 1)))
@example({10})  # the one on the hour: the time from the reading before it belongs to the hour where it ends
def test_missing_readings_only_take_observed_time_away(gone: set[int]) -> None:
    """GPUs that are half busy all the time stay so, whichever readings are lost; and no time is made."""
    full = rows_of(steady(), "c", [run()])
    holed = steady()
    for key, parts in holed.values.items():
        holed.values[key] = [_without(one, gone) for one in parts]
    found = rows_of(holed, "c", [run()])

    if "windows" in found.tables:
        windows = found.tables["windows"]
        assert windows["busy_ms"].sum() * 2 == windows["covered_ms"].sum()
        before_ms = windows.select(1000 * (AT - pl.col("start_at")).clip(0).sum()).item()
        longest_ms = 1000 * LONGEST / windows["fs_hz"].min() + 1  # type: ignore[operator]
        assert before_ms <= len(GPUS) * longest_ms
        assert windows["covered_ms"].sum() - before_ms <= full.tables["windows"]["covered_ms"].sum()
        assert (windows["gap_ms"] >= 0).all()
        of_gpu = windows.sort("gpu", "start_at").partition_by("gpu")
        assert all((one["start_at"][1:] >= one["end_at"][:-1]).all() for one in of_gpu)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([7.0, 8.0, 0.0, 99.0]), st.integers(0, 120)), min_size=1, max_size=8)
)
def test_no_gpu_is_two_runs_at_once(changes: list[tuple[float, int]]) -> None:
    """Whatever is said of holders, no time of a GPU is given twice, and none to a run that nobody named."""

    def holder(t: float) -> float:
        return next((job for job, k in reversed(changes) if t >= 30.0 * k), changes[0][0])

    told = hour(busy=[series(gpu, lambda _: 0.5) for gpu in GPUS])
    told.holders["jobstats"] = [series("GPU-a", holder), series("GPU-b", lambda _: 0.0)]
    found = rows_of(told, "c", [run(7, n_gpus=1), run(8, n_gpus=1)])

    if "windows" in found.tables:
        windows = found.tables["windows"].sort("gpu", "start_at")
        for one in windows.partition_by("gpu"):
            assert (one["start_at"][1:] >= one["end_at"][:-1] - 1e-6).all()
        assert windows.filter(gpu="GPU-b")["run"].null_count() == windows.filter(gpu="GPU-b").height
        named = {f"c/{int(job)}/" for job, _ in changes if job in (7.0, 8.0)}
        keys = windows["run"].drop_nulls().unique().to_list()
        assert all(any(key.startswith(name) for name in named) for key in keys)
        assert windows["end_at"].max() <= AT + 3600  # type: ignore[operator]

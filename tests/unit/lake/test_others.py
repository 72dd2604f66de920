"""Another monitor's readings as windows: holes stay holes, and whose a GPU was is known or nobody's guess."""

from array import array
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slurm_guard.errors import GuardError
from slurm_guard.lake import compact
from slurm_guard.lake.compacted import counting
from slurm_guard.lake.doubles import without_doubles
from slurm_guard.lake.imports import keep_hour
from slurm_guard.lake.others import Others, rows_of
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Run
from slurm_guard.readings import Hour, Series
from tests.builders import World, run_of

AT = 1_780_002_000.0
DCGM = "dcgm-exporter"
GPUS = ("GPU-a", "GPU-b")


def run(
    job: int = 7, since_s: float = -60.0, until_s: float = 3660.0, n_gpus: int = 2, nodes: Any = ("n1",)
) -> Run:
    start, end = AT + since_s, AT + until_s
    one = run_of(World(), job)
    return replace(
        one,
        id=f"c/{job}/{int(start)}",
        start_at=start,
        end_at=end,
        from_at=start,
        until_at=end,
        n_gpus=n_gpus,
        nodes=nodes,
    )


def series(
    gpu: str,
    value: Callable[[float], float],
    *,
    every_s: float = 30.0,
    left_out: tuple[float, float] = (0.0, 0.0),
    node: str = "n1",
    target: str = "t",
    job: str | None = None,
    until_s: float = 3600.0,
) -> Series:
    """Readings from five minutes before the hour to its end, without those of a stretch."""
    times = [AT - 300 + k * every_s for k in range(int((until_s + 300) / every_s) + 1)]
    kept = [t for t in times if not left_out[0] <= t - AT < left_out[1]]
    return Series(
        node, gpu, target, job, 0, "H100", array("d", kept), array("d", [value(t - AT) for t in kept])
    )


def hour(**fields: list[Series]) -> Hour:
    holders = fields.pop("holders", [])
    return Hour(
        AT, {(DCGM, name): parts for name, parts in fields.items()}, {"jobstats": holders} if holders else {}
    )


def steady(**more: Any) -> Hour:
    """Both GPUs at half, 300 W."""
    return hour(
        busy=[series(gpu, lambda _: 0.5, **more) for gpu in GPUS],
        power=[series(gpu, lambda _: 300_000.0, **more) for gpu in GPUS],
    )


def sums(done: Others, column: str, of: pl.Expr | bool = True) -> int:
    return int(done.tables["windows"].filter(of)[column].sum()) if "windows" in done.tables else 0


RUNS = pl.col("run").is_not_null()


def test_a_run_that_had_every_gpu_gets_windows_of_a_minute() -> None:
    windows = rows_of(steady(), "c", [run()]).tables["windows"]

    assert windows.columns == list(TABLES["windows"])
    assert windows.height == 120
    row = windows.row(5, named=True)
    assert row["run"] == f"c/7/n1/imported/{int((AT - 60) * 1000)}"
    assert (row["covered_ms"], row["gap_ms"], row["busy_ms"], row["power_mw"]) == (60_000, 0, 30_000, 300_000)
    assert row["map"] == "imported"
    assert windows["energy_mj"].null_count() == 120


def test_a_hole_is_a_hole_and_no_idle_time() -> None:
    done = rows_of(steady(left_out=(600.0, 1200.0)), "c", [run()])

    windows = done.tables["windows"]
    assert sums(done, "covered_ms") == 2 * (3600 - 630) * 1000
    assert sums(done, "busy_ms") * 2 == sums(done, "covered_ms")
    assert windows.filter((pl.col("start_at") > AT + 600) & (pl.col("end_at") < AT + 1200)).is_empty()
    assert done.lost_s["in holes between readings"] == 2 * 630


def test_one_reading_missed_is_no_hole() -> None:
    done = rows_of(steady(left_out=(600.0, 630.0)), "c", [run()])

    assert sums(done, "covered_ms") == 2 * 3600 * 1000


def test_readings_too_far_apart_tell_nothing() -> None:
    done = rows_of(steady(every_s=150.0), "c", [run()])

    assert done.tables == {}
    assert done.lost_s["with readings farther apart than 120 s"] == 7200


def test_a_metric_that_some_readings_lack_is_null_where_it_lacks() -> None:
    half = hour(
        busy=[series("GPU-a", lambda _: 0.5)], power=[series("GPU-a", lambda _: 3e5, left_out=(0.0, 1800.0))]
    )
    windows = rows_of(half, "c", [run(n_gpus=1)]).tables["windows"].sort("start_at")

    assert windows["busy_ms"].null_count() == 0
    assert windows["power_mw"].is_null().to_list() == [True] * 30 + [False] * 30


def test_energy_is_the_counter_s_and_a_reset_is_null() -> None:
    counted = hour(energy=[series("GPU-a", lambda t: (t + 300 if t < 1800 else t - 1800) * 1000 * 250)])
    windows = rows_of(counted, "c", [run(n_gpus=1)]).tables["windows"].sort("start_at")

    assert windows["energy_mj"].null_count() == 1
    assert windows["energy_mj"].drop_nulls().unique().to_list() == [60 * 250 * 1000]


def test_a_counter_that_jumps_is_no_energy() -> None:
    counted = hour(energy=[series("GPU-a", lambda t: 1e9 if t >= 1800 else 0.0)])
    windows = rows_of(counted, "c", [run(n_gpus=1)]).tables["windows"]

    assert sorted(windows["energy_mj"].drop_nulls().unique().to_list()) == [0]
    assert windows["energy_mj"].null_count() == 1


def test_what_lies_across_a_run_s_ends_is_nobody_s() -> None:
    done = rows_of(steady(), "c", [run(since_s=615.0, until_s=1205.0)])

    own = done.tables["windows"].filter(RUNS)
    assert (own["start_at"].min(), own["end_at"].max()) == (AT + 630, AT + 1200)
    assert done.tables["windows"].filter(~RUNS)["end_at"].min() == AT + 60
    assert sums(done, "covered_ms") == 2 * (3600 - 2 * 30) * 1000


def test_two_runs_on_a_node_of_which_nobody_says_which_gpu_get_none() -> None:
    done = rows_of(steady(), "c", [run(7, n_gpus=1), run(8, n_gpus=1)])

    assert done.tables == {}
    assert done.lost_s["of which nothing says whose the GPU was"] == 7200


def test_a_run_with_a_part_of_the_gpus_gets_none_by_guess() -> None:
    assert rows_of(steady(), "c", [run(n_gpus=1)]).tables == {}


def test_of_a_run_on_two_nodes_every_gpu_must_be_known() -> None:
    both = hour(busy=[series("GPU-a", lambda _: 0.5), series("GPU-c", lambda _: 0.5, node="n2")])
    two = ("n1", "n2")

    assert rows_of(both, "c", [run(n_gpus=2, nodes=two)]).tables["windows"]["node"].unique().len() == 2
    assert rows_of(both, "c", [run(n_gpus=1, nodes=two)]).tables == {}
    assert rows_of(steady(), "c", [run(n_gpus=4, nodes=two)]).tables == {}


def test_boards_with_mig_are_no_run_s_by_count() -> None:
    split = steady()
    split.split_nodes.add("n1")

    assert rows_of(split, "c", [run(n_gpus=14)]).tables == {}


def test_jobstats_word_says_which_gpu_is_whose() -> None:
    told = steady()
    told.holders["jobstats"] = [
        series("GPU-a", lambda _: 7.0),
        series("GPU-b", lambda t: 8.0 if t < 1800 else 0.0),
    ]
    done = rows_of(told, "c", [run(7, n_gpus=1), run(8, n_gpus=1, until_s=1800.0)])

    windows = done.tables["windows"]
    assert windows.filter(gpu="GPU-a")["run"].unique().to_list() == [
        f"c/7/n1/imported/{int((AT - 60) * 1000)}"
    ]
    assert (
        windows.filter(gpu="GPU-b", run=f"c/8/n1/imported/{int((AT - 60) * 1000)}")["covered_ms"].sum()
        == 1_770_000
    )
    assert done.lost_s["while a GPU changed hands"] == 30


def test_a_job_that_accounting_lacks_gets_no_windows() -> None:
    told = steady()
    told.holders["jobstats"] = [series(gpu, lambda _: 99.0) for gpu in GPUS]
    done = rows_of(told, "c", [run(7)])

    assert done.tables == {}
    assert done.lost_s["at the ends of runs, or of jobs that accounting lacks"] == 7200


def test_an_old_word_on_the_holder_does_not_hold() -> None:
    told = steady()
    told.holders["jobstats"] = [series(gpu, lambda _: 7.0, until_s=600.0) for gpu in GPUS]
    done = rows_of(told, "c", [run(7, n_gpus=1), run(8, n_gpus=1)])

    assert done.tables["windows"].filter(RUNS)["end_at"].max() == AT + 660


def test_a_label_on_the_values_says_it_too_and_two_of_them_that_it_is_shared() -> None:
    one = rows_of(steady(job="7"), "c", [run(7, n_gpus=2), run(8, n_gpus=1)])
    both = steady(job="7")
    for parts in both.values.values():
        parts += [replace_job(part, "8") for part in parts]
    shared = rows_of(both, "c", [run(7, n_gpus=2), run(8, n_gpus=1)])

    assert sums(one, "covered_ms", RUNS) == 7_200_000
    assert shared.tables == {}
    assert shared.lost_s["on GPUs of several jobs at once"] == 7200


def replace_job(one: Series, job: str) -> Series:
    return one._replace(job=job)


def test_a_second_exporter_of_a_gpu_is_not_added() -> None:
    twice = steady()
    for parts in twice.values.values():
        parts += [series(gpu, lambda _: 0.9, every_s=60.0, target="u") for gpu in GPUS]
    done = rows_of(twice, "c", [run()])

    assert rows_of(steady(), "c", [run()]).tables["windows"].equals(done.tables["windows"])
    assert done.left_out["second exporters of a GPU"] == 2


def test_a_gpu_that_two_nodes_claim_is_nobody_s() -> None:
    strange = hour(busy=[series("GPU-a", lambda _: 0.5), series("GPU-a", lambda _: 0.9, node="n2")])

    done = rows_of(strange, "c", [run(n_gpus=1), run(8, n_gpus=1, nodes=("n2",))])

    assert done.tables == {}
    assert done.left_out["GPUs that two nodes claim"] == 1


def test_the_order_in_which_series_come_changes_nothing() -> None:
    parts = [
        series("GPU-a", lambda _: 0.2),
        series("GPU-b", lambda _: 0.4),
        series("GPU-a", lambda _: 0.6, target="u"),
    ]

    found = [rows_of(hour(busy=list(order)), "c", [run()]).tables["windows"] for order in permutations(parts)]

    assert all(one.sort("gpu", "start_at").equals(found[0].sort("gpu", "start_at")) for one in found)


def test_an_hour_is_kept_once_and_never_by_less(tmp_path: Any) -> None:
    def keep(one: Hour) -> Any:
        return keep_hour(tmp_path, "c", AT, rows_of(one, "c", [run()]).tables)

    def files() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(tmp_path.rglob("*.parquet"))}

    first = keep(steady(left_out=(600.0, 1200.0)))
    again = keep(steady(left_out=(600.0, 1200.0)))
    more = keep(steady())
    full = files()
    less = keep(steady(left_out=(0.0, 3000.0)))

    assert (first.is_new, again.is_new, more.is_new, less.is_new) == (True, False, True, False)
    assert less.n_before == 1
    assert files() == full
    assert len([name for name in full if "/windows/" in name]) == 1


def _spoil(path: Path, how: str) -> None:
    rows = pl.read_parquet(path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "another table's":
        pl.DataFrame(schema=TABLES["gpus"]).write_parquet(path)
    elif how == "a node's":
        rows.with_columns(map=pl.lit("confirmed")).write_parquet(path)
    else:
        path.rename(path.with_suffix(".away"))
        path.mkdir() if how == "a folder" else path.symlink_to(path.with_suffix(".away"))


@pytest.mark.parametrize("how", ["cut", "empty", "another table's", "a node's", "a folder", "a link"])
def test_what_lies_in_an_hour_s_place_and_is_no_import_is_named_and_left(tmp_path: Path, how: str) -> None:
    def keep(one: Hour) -> Any:
        return keep_hour(tmp_path, "c", AT, rows_of(one, "c", [run()]).tables)

    keep(steady(left_out=(600.0, 1200.0)))
    (path,) = (tmp_path / "v1" / "windows").rglob("*.parquet")
    _spoil(path, how)
    before = _tree(tmp_path)

    with pytest.raises(GuardError) as caught:
        keep(steady())

    assert caught.value.slug == "import-unreadable"
    assert str(path) in caught.value.sentence
    assert _tree(tmp_path) == before
    path.rmdir() if how == "a folder" else path.unlink()
    assert keep(steady()).is_new


def _tree(folder: Path) -> dict[str, object]:
    return {
        str(p): p.readlink() if p.is_symlink() else p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def test_a_file_of_an_earlier_release_without_a_column_is_an_hour_s_own(tmp_path: Path) -> None:
    def keep(one: Hour) -> Any:
        return keep_hour(tmp_path, "c", AT, rows_of(one, "c", [run()]).tables)

    keep(steady())
    (path,) = (tmp_path / "v1" / "windows").rglob("*.parquet")
    pl.read_parquet(path).drop("why").write_parquet(path)

    assert keep(steady(left_out=(0.0, 3000.0))).n_before == 1


def test_hours_of_a_day_that_is_put_together_are_still_replaced_by_a_later_import(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(at: float, one: Hour) -> Any:
        return keep_hour(tmp_path, "c", at, rows_of(one, "c", [run()]).tables)

    def counted() -> int:
        days = sorted((tmp_path / "v1" / "windows").iterdir())
        return sum(pl.read_parquet(path).height for day in days for path in counting(day))

    monkeypatch.setattr(compact, "LEAST_FILES", 2)
    for n in range(3):
        keep(AT - n, steady(left_out=(600.0, 1200.0)))
    for now_at in (0.0, 1e12):
        compact.compact(tmp_path, (date.min, date.max), now_at)
    n_before = counted()

    known = keep(AT, steady(left_out=(0.0, 3000.0)))
    more = keep(AT, steady())

    assert (known.n_before, more.is_new) == (1, True)
    assert counted() > n_before


def test_windows_across_midnight_lie_in_the_day_that_they_begin_in(tmp_path: Any) -> None:
    midnight = 1_780_012_800.0
    moved = {
        k: [s._replace(at=array("d", [t + midnight - AT - 15 for t in s.at])) for s in v]
        for k, v in steady().values.items()
    }
    tables = rows_of(Hour(midnight, moved), "c", [run(until_s=20_000.0)]).tables
    keep_hour(tmp_path, "c", midnight, tables)
    again = keep_hour(tmp_path, "c", midnight, tables)

    days = {
        p.parent.name: pl.read_parquet(p)["start_at"]
        for p in (tmp_path / "v1" / "windows").rglob("*.parquet")
    }
    assert sorted(days) == ["date=2026-05-28", "date=2026-05-29"]
    assert days["date=2026-05-28"].max() < midnight <= days["date=2026-05-29"].min()  # type: ignore[operator]
    assert not again.is_new


def _own(gpu: str, key: str | None, since_s: float, until_s: float) -> pl.DataFrame:
    row = {
        "cluster": "c",
        "node": "n1",
        "run": key,
        "gpu": gpu,
        "start_at": AT + since_s,
        "end_at": AT + until_s,
    }
    return pl.DataFrame([{**row, "map": "confirmed", "covered_ms": 60_000}], schema=TABLES["windows"])


def test_the_sampler_s_windows_of_a_job_hold_alone() -> None:
    imported = rows_of(steady(), "c", [run()]).tables["windows"]
    own = _own("GPU-a", "c/7/n1/0123abcd/1", 600, 660)

    left = without_doubles(pl.concat([imported, own]))

    assert left.equals(own)


def test_a_gpu_that_the_sampler_had_is_not_another_job_s_meanwhile() -> None:
    imported = rows_of(steady(), "c", [run()]).tables["windows"]
    own = pl.concat([_own("GPU-a", "c/9/n1/0123abcd/1", 600, 660), _own("GPU-a", None, 0, 600)])

    left = without_doubles(pl.concat([imported, own])).filter(map="imported")

    lost = imported.join(left, on=["gpu", "start_at"], how="anti")
    assert lost["gpu"].unique().to_list() == ["GPU-a"]
    assert (lost["start_at"].min(), lost["end_at"].max()) == (AT - 0.0, AT + 660)


def test_without_a_sampler_or_without_imports_nothing_is_left_out() -> None:
    imported = rows_of(steady(), "c", [run()]).tables["windows"]
    own = _own("GPU-a", "c/7/n1/0123abcd/1", 600, 660)

    assert without_doubles(imported).equals(imported)
    assert without_doubles(own).equals(own)
    assert without_doubles(own.clear()).is_empty()


def test_no_window_is_longer_than_its_readings_or_busier_than_whole() -> None:
    windows = rows_of(steady(every_s=45.0), "c", [run()]).tables["windows"]

    length = (windows["end_at"] - windows["start_at"]) * 1000
    assert (windows["covered_ms"] <= length + 1).all()
    assert (windows["busy_ms"] <= windows["covered_ms"]).all()
    assert sums(Others({"windows": windows}), "covered_ms") == pytest.approx(7_200_000, abs=2 * 45_000)

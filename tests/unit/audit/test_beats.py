"""Whose rhythm a window shows: by the process list, by other evidence, or nobody knows."""

from typing import Any

import polars as pl
import pytest

from slurm_guard.audit.beats import SHAPE, beats_in
from slurm_guard.audit.rhythm import Beat, compare
from slurm_guard.audit.track import Arc

N = 20
ARCS = tuple(Arc(60.0 * k, 60.0 * (k + 1), 10.0, 10.0) for k in range(N))  # a step every 6 s
_CELL: dict[str, Any] = {
    "i": pl.Int64, "node": pl.String, "gpu": pl.String, "start_at": pl.Float64, "raw_start_at": pl.Float64,
    "raw_end_at": pl.Float64, "fs_hz": pl.Float64, "period_s": pl.List(pl.Float64), "share": pl.Float64,
    "power_q_mw": pl.List(pl.Int64), "idle": pl.Float64, "busy_q_pct": pl.List(pl.Int64),
    "crossings": pl.Int64, "n": pl.Int64, "shared": pl.Boolean, "n_own": pl.Int64,
    "held_truncated": pl.Boolean,
}  # fmt: skip
_USE: dict[str, Any] = {
    "node": pl.String, "gpu": pl.String, "start_at": pl.Float64, "pid": pl.Int64, "start_ticks": pl.Int64,
    "sm_ms": pl.Int64,
}  # fmt: skip


def _cells(period_s: float, **more: Any) -> pl.DataFrame:
    rows = [
        {
            "i": 0, "node": "n1", "gpu": "GPU-0", "start_at": 60.0 * k, "raw_start_at": 60.0 * k,
            "raw_end_at": 60.0 * (k + 1), "fs_hz": 1.0, "period_s": [period_s], "share": 0.9,
            "power_q_mw": [200_000, 250_000, 300_000, 350_000, 400_000], "idle": 60_000.0,
            "busy_q_pct": [50, 90, 95, 97, 99], "crossings": 20, "n": 60, "shared": False,
            "n_own": None, "held_truncated": None, **more,
        }
        for k in range(N)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=_CELL, orient="row")


def _uses(*procs: tuple[int, int | None], windows: range = range(N)) -> pl.DataFrame:
    """The same processes (pid, sm_ms) in each window that has a list."""
    rows = [("n1", "GPU-0", 60.0 * k, pid, 1, sm_ms) for k in windows for pid, sm_ms in procs]
    return pl.DataFrame(rows, schema=_USE, orient="row")


def _strange(windows: range = range(0)) -> pl.DataFrame:
    rows = [("n1", "GPU-0", 60.0 * k, True) for k in windows]
    schema = {"node": pl.String, "gpu": pl.String, "raw_start_at": pl.Float64, "stranger": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _beats(*slices: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> list[Beat]:
    """Of run 0, from cells (which are their own windows), uses and strange windows of some nodes each."""
    given = [
        (cells.with_row_index("window"), uses, strange, cells.select(SHAPE))
        for cells, uses, strange in slices
    ]
    return beats_in(given, [0]).get(0, [])


def _word(cells: pl.DataFrame, uses: pl.DataFrame, strange: range = range(0)) -> str:
    """What the windows say of a claimed step of 6 s."""
    found = compare(_beats((cells, uses, _strange(strange))), ARCS)
    return "agrees" if found.agrees else "denies" if found.denies else "silent"


def test_one_listed_worker_speaks_for_and_against() -> None:
    uses = _uses((50, 50_000), (51, 100))

    assert (_word(_cells(6.0), uses), _word(_cells(7.4), uses)) == ("agrees", "denies")


def test_several_listed_workers_deny_nothing() -> None:
    uses = _uses((50, 30_000), (51, 20_000))

    assert (_word(_cells(6.0), uses), _word(_cells(7.4), uses)) == ("agrees", "silent")


def test_a_node_without_process_lists_may_confirm_and_never_denies() -> None:
    """Its users had the GPU by Slurm's word: a step that shows is theirs; one that does not may be hidden."""
    assert (_word(_cells(6.0), _uses()), _word(_cells(7.4), _uses())) == ("agrees", "silent")


@pytest.mark.parametrize(("shared", "strange"), [(True, 0), (None, 0), (False, N)])
def test_without_a_list_a_gpu_that_others_hold_or_may_hold_says_nothing(
    shared: bool | None, strange: int
) -> None:
    words = [_word(_cells(period_s, shared=shared), _uses(), range(strange)) for period_s in (6.0, 7.4)]

    assert words == ["silent", "silent"]


def test_one_process_listed_without_times_was_alone() -> None:
    assert _word(_cells(7.4), _uses((50, None))) == "denies"


def test_several_processes_without_times_deny_nothing() -> None:
    uses = _uses((50, None), (51, None))

    assert (_word(_cells(6.0), uses), _word(_cells(7.4), uses)) == ("agrees", "silent")


def test_a_time_that_is_missing_beside_others_is_unknown_unless_they_are_several_already() -> None:
    assert _word(_cells(7.4), _uses((50, 50_000), (51, None))) == "silent"
    assert _word(_cells(7.4), _uses((50, 30_000), (51, 20_000), (52, None))) == "silent"


def test_the_device_files_show_who_was_alone() -> None:
    alone = {"n_own": 1, "held_truncated": False}

    assert _word(_cells(7.4, **alone), _uses()) == "denies"
    assert _word(_cells(7.4, **{**alone, "held_truncated": True}), _uses()) == "silent"
    assert _word(_cells(7.4, **{**alone, "n_own": 9}), _uses()) == "silent"  # loaders hold them too
    assert _word(_cells(7.4, **{**alone, "n_own": 0}), _uses()) == "silent"


@pytest.mark.parametrize(("n_listed", "word"), [(12, "denies"), (6, "silent")])
def test_a_list_that_failed_now_and_then_does_not_silence_a_gpu_with_one_worker(
    n_listed: int, word: str
) -> None:
    assert _word(_cells(7.4), _uses((50, 50_000), windows=range(n_listed))) == word


def test_one_mixed_window_leaves_those_without_a_list_in_doubt() -> None:
    one = _uses((50, 50_000), windows=range(12))
    mixed = _uses((50, 30_000), (51, 20_000), windows=range(12, 13))
    beats = _beats((_cells(7.4), pl.concat([one, mixed]), _strange()))

    assert [beat.mixed for beat in beats] == [False] * 12 + [True] * 8


def test_windows_are_chosen_among_those_of_all_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slice names its GPUs by numbers of its own, which say nothing beside another's."""
    names = ("GPU-b", "GPU-c", "GPU-a")
    cells = [_cells(6.0 + k, gpu=name) for k, name in enumerate(names)]
    uses = [_uses((50, 50_000)).with_columns(pl.lit(name).alias("gpu")) for name in names]
    whole = (pl.concat(cells), pl.concat(uses), _strange())
    monkeypatch.setattr("slurm_guard.audit.beats.MAX_WINDOWS", 16)

    some = _beats(*((_named(c), _named(u), _named(_strange())) for c, u in zip(cells, uses, strict=True)))

    assert some == _beats(whole)
    assert len(some) == 15  # every fourth of sixty
    assert {beat.periods[0] for beat in some} == {6.0, 7.0, 8.0}


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    """GPUs coded by what this frame has of them."""
    return frame.with_columns(pl.col("gpu").cast(pl.Enum(frame["gpu"].unique())))

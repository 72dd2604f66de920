"""Names as numbers: joined and sorted as the texts are."""

import polars as pl

from slurm_guard.audit.codes import coded, like, texts
from slurm_guard.lake.schema import TABLES, empty

NAMES = ["n10", "n9", "n2", None, "n10"]


def _frames() -> dict[str, pl.DataFrame]:
    frames = {name: empty(name) for name in TABLES}
    windows = pl.DataFrame({"node": NAMES, "gpu": ["G1", "G0", "G2", "G0", "G1"], "run": ["r9", *NAMES[1:]]})
    shares = pl.DataFrame({"node": ["n3", "n9"], "window_run": ["r9", "r1"], "run": ["n2", None]})
    return {**frames, "windows": windows, "shares": shares}


def _keys() -> pl.DataFrame:
    return pl.DataFrame({"run": ["n2", "r0", "r9"], "i": [0, 1, 2], "node": ["n2", "n4", "n9"]})


def test_coded_names_are_sorted_as_their_texts() -> None:
    frames, _ = coded(_frames(), _keys())

    done = frames["windows"].sort("node", "gpu", nulls_last=True)

    assert texts(done).equals(_frames()["windows"].sort("node", "gpu", nulls_last=True))


def test_columns_of_one_kind_are_joined_whatever_table_they_are_of() -> None:
    frames, keys = coded(_frames(), _keys())

    mine = frames["shares"].join(
        keys.select(pl.col("run").alias("window_run"), "i"), on="window_run", how="left"
    )
    theirs = frames["windows"].join(keys.select("run", "i"), on="run")

    assert mine["i"].to_list() == [2, None]
    assert sorted(theirs["i"].to_list()) == [0, 2]
    assert keys.filter(pl.col("run").is_in(frames["windows"]["run"].implode()))["i"].to_list() == [0, 2]


def test_tables_that_are_not_wide_keep_their_texts_and_values_of_coded_ones_go_beside_them() -> None:
    frames, _ = coded(_frames(), _keys())

    plain = pl.DataFrame({"node": ["n9"], "pid": [1]})

    assert frames["tickets"].schema["node"] == pl.String
    assert frames["windows"].join(like(plain, frames["windows"]), on="node").height == 1
    assert like(plain, _frames()["windows"]).schema == plain.schema


def test_frames_that_are_coded_are_coded_again_without_a_difference() -> None:
    once, keys = coded(_frames(), _keys())

    again, _ = coded(once, keys)

    assert texts(again["windows"]).equals(_frames()["windows"])

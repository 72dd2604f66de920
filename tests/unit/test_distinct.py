"""Whether rows differ: never wrong about rows that are the same."""

import polars as pl

from slurm_guard.distinct import all_differ, parted

ROWS = pl.DataFrame(
    {"gpu": ["G0", "G0", "G1", None, None], "at": [1.0, 1.0, 1.0, 1.0, 2.0], "n": [1, 2, 3, 4, 5]}
)


def test_rows_with_the_same_in_all_columns_do_not_differ() -> None:
    assert not all_differ(ROWS, ["gpu", "at"])
    assert not all_differ(pl.concat([ROWS, ROWS]), ["gpu", "at", "n"])


def test_rows_that_differ_anywhere_differ_and_so_do_none() -> None:
    assert all_differ(ROWS, ["gpu", "at", "n"])
    assert all_differ(ROWS[1:], ["gpu", "at"])
    assert all_differ(ROWS.clear(), ["gpu"])
    assert all_differ(ROWS[:1], ["gpu"])


def test_nulls_are_the_same() -> None:
    assert not all_differ(ROWS[3:], ["gpu"])


def test_rows_that_are_alone_are_parted_from_those_that_are_not() -> None:
    lone, several = parted(ROWS, ["gpu", "at"])

    assert (lone["n"].to_list(), several["n"].to_list()) == ([3, 4, 5], [1, 2])
    assert [part.height for part in parted(ROWS, ["n"])] == [5, 0]
    assert [part.height for part in parted(ROWS.clear(), ["n"])] == [0, 0]

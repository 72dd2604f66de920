"""Whether rows differ, at a fraction of the cost of finding those that do not."""

from collections.abc import Sequence

import polars as pl


def all_differ(frame: pl.DataFrame, columns: Sequence[str]) -> bool:
    """Whether surely no two rows have the same in these columns; nulls are the same. Never true where two
    have: equal rows have equal hashes. Where two rows that differ have the same hash, it is false as well."""
    return bool(frame.select(_hash(columns).n_unique() == pl.len()).item()) if frame.height > 1 else True


def parted(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that surely have what they have in these columns for themselves, and all others: of nearly as many
    groups as rows the few with several are worth grouping."""
    lone = frame.select(_hash(columns).is_unique()).to_series()
    return (frame, frame.clear()) if lone.all() else (frame.filter(lone), frame.filter(~lone))


def _hash(columns: Sequence[str]) -> pl.Expr:
    told = pl.lit(0, pl.UInt64)
    for name in columns:
        told = told * 31 + pl.col(name).hash()
    return told

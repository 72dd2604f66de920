"""Names of nodes, GPUs and run keys as numbers in the same order: what is joined and sorted by them costs a
fraction of what it does by texts, and comes out the same. Only the tables with a row a window are worth it.
"""

from collections.abc import Mapping, Sequence

import polars as pl

_WIDE = ("windows", "shares", "held", "processes")
# Columns of one kind have one list of names, so that they can be held against each other.
_KINDS = {"node": ("node",), "gpu": ("gpu",), "run": ("run", "window_run")}
Frames = dict[str, pl.DataFrame]


def coded(frames: Mapping[str, pl.DataFrame], keys: pl.DataFrame) -> tuple[Frames, pl.DataFrame]:
    """The frames with the names of the wide ones as pl.Enum, and the run keys (bind.bind) likewise."""
    some = [*(frames[name] for name in _WIDE), keys]
    known = {kind: _names(some, columns) for kind, columns in _KINDS.items()}
    told = {column: known[kind] for kind, columns in _KINDS.items() for column in columns}
    wide = {name: _with(frames[name], told) for name in _WIDE}
    return {**frames, **wide}, _with(keys, told)


def texts(frame: pl.DataFrame) -> pl.DataFrame:
    """With names as texts again, beside tables that are not coded."""
    return frame.with_columns(pl.col(pl.Enum).cast(pl.String))


def in_one_order(frames: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Frames that were coded each by itself, with their GPUs coded alike: by far less than as texts."""
    if len(frames) < 2 or not all(isinstance(frame.schema["gpu"], pl.Enum) for frame in frames):
        return [*frames]
    kinds = [kind for frame in frames if isinstance(kind := frame.schema["gpu"], pl.Enum)]
    every = pl.Enum(pl.concat([kind.categories for kind in kinds]).unique().sort())
    return [frame.with_columns(pl.col("gpu").cast(every)) for frame in frames]


def like(frame: pl.DataFrame, model: pl.DataFrame) -> pl.DataFrame:
    """A frame of values that were taken from `model` or its like, with its kinds of names; without rows of
    names that it does not have."""
    told = {name: model.schema[name] for name in frame.columns if name in model.columns}
    kinds = {name: kind for name, kind in told.items() if isinstance(kind, pl.Enum)}
    known = [pl.col(name).is_in(kind.categories.implode()) for name, kind in kinds.items()]
    return _with(frame.filter(*known) if known else frame, kinds)


def _names(frames: list[pl.DataFrame], columns: tuple[str, ...]) -> pl.Enum:
    every = [f[name].cast(pl.String).unique() for f in frames for name in columns if name in f.columns]
    return pl.Enum(pl.concat(every).drop_nulls().unique().sort())


def _with(frame: pl.DataFrame, told: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return frame.with_columns(pl.col(name).cast(kind) for name, kind in told.items() if name in frame.columns)

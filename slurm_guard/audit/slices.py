"""A night's nodes some at a time: a run of thousands of GPUs has more windows than should be held at once.

What has a row for each window is measured slice by slice, and what is made of it comes together as counts,
highest values, lists, and sums of whole numbers, to which the order of slices is nothing (rulings 24). A
night that is looked at once is one slice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

WIDE = ("windows", "shares", "held")  # with rows for each window
Frames = dict[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Source:
    """One slice. `nodes` null: all that there are; `read`: the WIDE tables of these."""

    nodes: frozenset[str] | None
    read: Callable[[], Frames]


class Shelf(Protocol):
    """Where tables are between two sweeps over the slices: in memory, or outside of the audit."""

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """In the place of what has that name. Raises OSError."""

    def get(self, name: str) -> pl.DataFrame:
        """What was put there. Raises OSError."""


class InMemory:
    """A shelf that costs nothing but memory."""

    def __init__(self) -> None:
        self._frames: Frames = {}

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """In the place of what has that name."""
        self._frames[name] = frame

    def get(self, name: str) -> pl.DataFrame:
        """What was put there."""
        return self._frames[name]


@dataclass(frozen=True, slots=True)
class Sources:
    """All slices of what is measured, and the shelf for their tables, which is nobody else's."""

    slices: Sequence[Source]
    shelf: Shelf


@dataclass(frozen=True, slots=True)
class Kept:
    """Tables of each of `n` slices by name, between the sweeps over them."""

    n: int
    shelf: Shelf

    def put(self, k: int, name: str, frame: pl.DataFrame) -> None:
        """In the place of what has that name. Raises OSError."""
        self.shelf.put(f"{k}-{name}", frame)

    def get(self, k: int, name: str) -> pl.DataFrame:
        """What was put there. Raises OSError."""
        return self.shelf.get(f"{k}-{name}")

    def each(self, name: str) -> "Each":
        """That of every slice."""
        return Each(self, name)


@dataclass(frozen=True, slots=True)
class Each:
    """One table of all slices, as often as somebody goes through it."""

    kept: Kept
    name: str

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for k in range(self.kept.n):
            yield self.kept.get(k, self.name)


def in_memory(frames: Frames) -> Sources:
    """The WIDE tables of `frames` as one slice; they are taken out of it."""
    handed = [{name: frames.pop(name) for name in WIDE}]
    return Sources([Source(None, handed.pop)], InMemory())


def of_nodes(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Rows of the slice's nodes."""
    return frame if source.nodes is None else frame.filter(pl.col("node").is_in(sorted(source.nodes)))

"""A night's nodes some at a time: a run of thousands of GPUs has more windows than should be held at once.

What has a row for each window is measured slice by slice, and what is made of it comes together as counts,
highest values, lists, and sums of whole numbers, to which the order of slices is nothing (rulings 24). A
night that is looked at once is one slice.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

WIDE = ("windows", "shares", "held")  # with rows for each window
Frames = dict[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Source:
    """One slice. `nodes` null: all that there are; `read`: the WIDE tables of these."""

    nodes: frozenset[str] | None
    read: Callable[[], Frames]


@dataclass(frozen=True, slots=True)
class Sources:
    """All slices of what is measured. `folder`: where tables lie while others are measured, one that is
    nobody else's; null: in memory."""

    slices: Sequence[Source]
    folder: Path | None = None


class Kept:
    """Tables of each slice by name, between the sweeps over them."""

    def __init__(self, n: int, folder: Path | None) -> None:
        self.n = n
        self._folder = folder
        self._frames: dict[tuple[int, str], pl.DataFrame] = {}

    def put(self, k: int, name: str, frame: pl.DataFrame) -> None:
        """In the place of what has that name. Raises OSError."""
        if self._folder is None:
            self._frames[k, name] = frame
        else:
            frame.write_ipc(self._folder / f"{k}-{name}", compression="lz4")

    def get(self, k: int, name: str) -> pl.DataFrame:
        """What was put there. Raises OSError."""
        if self._folder is None:
            return self._frames[k, name]
        path = self._folder / f"{k}-{name}"
        try:
            return pl.read_ipc(path)
        except pl.exceptions.PolarsError as error:
            raise OSError(errno.EIO, f"{path.name} is not as it was written ({error})") from None

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
    return Sources([Source(None, handed.pop)])


def of_nodes(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Rows of the slice's nodes."""
    return frame if source.nodes is None else frame.filter(pl.col("node").is_in(sorted(source.nodes)))

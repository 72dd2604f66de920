"""Which files of the lake hold rows of which nodes: whoever reads some nodes alone opens no others' files."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from slurm_guard.lake.marks import check_regular
from slurm_guard.lake.scan import LONG, SPANS, UNREADABLE, day_of
from slurm_guard.lake.view import View

_SOME = 500  # files that are asked at once


@dataclass(frozen=True, slots=True)
class NodeReach:
    """Some nodes of a view, and the files that may have rows of theirs: `files`, and all that are `loose`."""

    nodes: frozenset[str]
    files: frozenset[Path]
    loose: frozenset[Path]
    view: View

    def paths(self, table: str, days: tuple[date, date]) -> Iterator[Path]:
        """Of the days, both included, those that may have rows of these nodes. Raises as View.paths."""
        for path in self.view.paths(table, days):
            if path in self.files or path in self.loose or path not in self.view.seen:
                yield path


@dataclass(frozen=True, slots=True)
class Reach:
    """The nodes of each file of a view. One that could not be read is `loose`, as is one without rows."""

    by_node: Mapping[str, frozenset[Path]]
    loose: frozenset[Path]
    view: View

    @property
    def nodes(self) -> frozenset[str]:
        """All that have rows."""
        return frozenset(self.by_node)

    def of(self, nodes: Iterable[str]) -> NodeReach:
        """Of these nodes alone."""
        mine = frozenset(nodes)
        none: frozenset[Path] = frozenset()
        files = none.union(*(self.by_node.get(node, none) for node in mine))
        return NodeReach(mine, files, self.loose, self.view)


def find_reach(view: View) -> Reach:
    """Of all that the view has."""
    by_node: dict[str, set[Path]] = {}
    own = {path: path for path in view.seen}  # one of each: what is handed to processes is smaller by it
    known: set[Path] = set()
    for paths in view.files.values():
        for at in range(0, len(paths), _SOME):
            for path, node in _nodes(list(paths[at : at + _SOME])):
                if node is not None:  # every row has one; a file of others is not known for it
                    known.add(path)
                    by_node.setdefault(node, set()).add(own[path])
    of_nodes = {node: frozenset(mine) for node, mine in by_node.items()}
    return Reach(of_nodes, frozenset(view.seen) - known, view)


def days_of(table: str, from_at: float, until_at: float) -> tuple[date, date]:
    """The days, both included, of which an audit of [from_at, until_at) may read the table at all: of what
    comes with a run whatever was there before."""
    if table not in SPANS or table in ("segments", "lost", "processes"):
        return date.min, date.max
    first = day_of(from_at - SPANS[table][2])
    return first, date.max if table in LONG else day_of(until_at)


def _nodes(paths: list[Path]) -> list[tuple[Path, str | None]]:
    """(file, node) of all their rows; a file that cannot be read is left out."""
    try:
        for path in paths:
            check_regular(path)
        rows = (
            pl.scan_parquet(
                paths,
                schema={"node": pl.String},
                hive_partitioning=False,
                glob=False,
                extra_columns="ignore",
                include_file_paths="path",
            )
            .unique()
            .collect()
        )
    except UNREADABLE:
        return [] if len(paths) == 1 else [pair for path in paths for pair in _nodes([path])]
    return [(Path(path), node) for path, node in rows.select("path", "node").iter_rows()]

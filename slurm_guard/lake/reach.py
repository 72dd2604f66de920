"""Which files of the lake hold rows of which nodes: whoever reads some nodes alone opens no others' files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl

from slurm_guard.lake.marks import check_regular
from slurm_guard.lake.scan import DAY_S, LONG, SPANS, UNREADABLE, day_of, files_of
from slurm_guard.lake.schema import TABLES

# A run whose sampler died leaves a ticket and nothing else; older ones are not looked for. The longest job
# in the public traces ran 50 days (Acme).
TICKET_DAYS = 60
_SOME = 500  # files that are asked at once


@dataclass(frozen=True, slots=True)
class NodeReach:
    """Some nodes, and the files that may have rows of theirs: those named, and all that are not known."""

    nodes: frozenset[str]
    files: frozenset[Path] = frozenset()
    known: frozenset[Path] = frozenset()

    def wants(self, path: Path) -> bool:
        """Whether the file may have rows of these nodes."""
        return path in self.files or path not in self.known


@dataclass(frozen=True, slots=True)
class Reach:
    """The nodes of each file of a window of time. Files that could not be read are not known, but `loose`, as
    are those without rows."""

    by_node: Mapping[str, frozenset[Path]] = field(default_factory=dict)
    known: frozenset[Path] = frozenset()
    loose: frozenset[Path] = frozenset()

    @property
    def nodes(self) -> frozenset[str]:
        """All that have rows."""
        return frozenset(self.by_node)

    def of(self, nodes: Iterable[str]) -> NodeReach:
        """Of these nodes alone."""
        mine = frozenset(nodes)
        none: frozenset[Path] = frozenset()
        files = none.union(*(self.by_node.get(node, none) for node in mine))
        return NodeReach(mine, files, self.known)


def find_reach(lake: Path, from_at: float, until_at: float) -> Reach:
    """Of all that read_frames may open for [from_at, until_at). Raises GuardError lake-newer, lake-older."""
    by_node: dict[str, set[Path]] = {}
    known: set[Path] = set()
    every: set[Path] = set()
    for table in TABLES:
        slack_s = SPANS[table][2] if table in SPANS and table != "processes" else TICKET_DAYS * DAY_S
        bounded = table in SPANS and table not in (
            *LONG,
            "lost",
        )  # what was lost of a run is said at any time
        days = (day_of(from_at - slack_s), day_of(until_at) if bounded else date.max)
        paths = list(files_of(lake, table, days))
        every.update(paths)
        for at in range(0, len(paths), _SOME):
            for path, node in _nodes(paths[at : at + _SOME]):
                if node is not None:  # every row has one; a file of others is not known for it
                    known.add(path)
                    by_node.setdefault(node, set()).add(path)
    of_nodes = {node: frozenset(mine) for node, mine in by_node.items()}
    return Reach(of_nodes, frozenset(known), frozenset(every - known))


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

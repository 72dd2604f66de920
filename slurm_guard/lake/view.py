"""The lake's files as one look found them: what a night is read from, however long that takes.

What is collected later is not in it, and its rows are for the next audit. What is put together later is in it
as it was: those files stay for hours (compact.GRACE_S). Nothing is written anew under its name but by
`forget` and an import, and nothing goes but by `prune` and in a copy: size and time of a file tell.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from slurm_guard.lake.compacted import stems_of
from slurm_guard.lake.scan import DAY_S, LONG, SPANS, day_of, files_of
from slurm_guard.lake.schema import TABLES
from slurm_guard.lake.turns import settled

# A run whose sampler died leaves a ticket and nothing else; older ones are not looked for. The longest job
# in the public traces ran 50 days (Acme).
TICKET_DAYS = 60
_OF_RUNS = ("segments", "lost", "processes")  # read of a run whenever it was said, beside those without SPANS
Seen = tuple[int, int]  # bytes and time of writing, in nanoseconds; below zero: it could not be asked


@dataclass(frozen=True, slots=True)
class View:
    """`files` by table, in the order of formats and names. `since`: by table; files of earlier days, of runs
    that last for more than TICKET_DAYS, are listed when they are asked for. `seen`: of every file."""

    lake: Path
    window: tuple[float, float]
    files: Mapping[str, tuple[Path, ...]]
    since: Mapping[str, date]
    seen: Mapping[Path, Seen]

    @property
    def nodes(self) -> None:
        """No nodes that it is bound to: see reach.NodeReach."""

    def paths(self, table: str, days: tuple[date, date]) -> Iterator[Path]:
        """Of the days, both included. Raises GuardError lake-newer, lake-older, lake-unreadable."""
        first = self.since[table]
        if days[0] < first:
            yield from files_of(self.lake, table, (days[0], min(days[1], first - timedelta(days=1))))
        low, high = (f"date={day.isoformat()}" for day in days)
        yield from (path for path in self.files[table] if low <= path.parent.name <= high)

    def changed(self) -> list[Path]:
        """Files that are gone since, or were written anew."""
        return [path for path, seen in self.seen.items() if seen[0] >= 0 and seen_of(path) != seen]

    def newer(self) -> list[tuple[str, Path]]:
        """(table, file) of what has come since, by itself or put together with others. Raises as `look`."""
        found = []
        for table, paths in _listed(self.lake, *self.window).items():
            had = _stems(self.files[table])
            found += [(table, path) for path in paths if not _stems([path]) <= had]
        return found


def look(lake: Path, from_at: float, until_at: float) -> View:
    """All that an audit of [from_at, until_at) may open. Lets a collection that is going on end before.

    Raises GuardError lake-newer, lake-older, lake-unreadable.
    """
    with settled(lake):
        files = _listed(lake, from_at, until_at)
    since = {table: _days(table, from_at, until_at)[0] for table in TABLES}
    seen = {path: seen_of(path) for paths in files.values() for path in paths}
    return View(lake, (from_at, until_at), files, since, seen)


def seen_of(path: Path) -> Seen:
    """As it is now."""
    try:
        status = path.stat()
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns


def _listed(lake: Path, from_at: float, until_at: float) -> dict[str, tuple[Path, ...]]:
    return {table: tuple(files_of(lake, table, _days(table, from_at, until_at))) for table in TABLES}


def _days(table: str, from_at: float, until_at: float) -> tuple[date, date]:
    slack_s = SPANS[table][2] if table in SPANS and table not in _OF_RUNS else TICKET_DAYS * DAY_S
    bounded = table in SPANS and table not in (*LONG, "lost")
    return day_of(from_at - slack_s), day_of(until_at) if bounded else date.max


def _stems(paths: Iterable[Path]) -> set[tuple[str, str]]:
    """(day, stem) of the files that their rows were collected into."""
    return {(path.parent.name, stem) for path in paths for stem in stems_of(path)}

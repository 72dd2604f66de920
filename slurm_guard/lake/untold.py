"""Rows that a collection, an import or a fetch had brought when it was killed: they are in the lake, no later
one takes them for new, and nobody has said of which audited nights they are.

Each leaves a mark in the lake from before its first file comes until that is said. One that nobody holds any
more says since when files are untold. Both times are the lake's file system's own.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.lake.arrived import Spans, note_more
from slurm_guard.lake.compacted import listed, replaced, stems_of
from slurm_guard.lake.schema import FORMAT, TABLES
from slurm_guard.lake.steps import formats_in
from slurm_guard.lake.store.late import read_gone
from slurm_guard.lake.view import seen_of

PREFIX = ".untold-"
_COARSE_NS = 2_000_000_000  # a file may be said to be older than the mark that was made before it


class Mark:
    """Of who brings files now. `since_ns`: the oldest of those that were left behind; null: there is none."""

    def __init__(self, lake: Path, left: dict[Path, int], own: Path) -> None:
        self._lake, self._left, self._own = lake, left, own
        self._since_ns = min(left.values(), default=None)

    @property
    def is_left(self) -> bool:
        """Whether there is something that nobody told."""
        return self._since_ns is not None

    def untold(self, days: Mapping[date, float]) -> Spans:
        """What was brought of these days and not told, after the instant that stands with the day: what came
        before is in its document. A file that was put together since, of rows whose own files are gone,
        counts with all of them."""
        spans: Spans = {}
        if self._since_ns is None:
            return spans
        for table in TABLES:
            for day, made_at in sorted(days.items()):
                since_ns = max(self._since_ns, int(made_at * 1e9)) - _COARSE_NS
                with suppress(GuardError, OSError):  # who audits these days hears of it
                    self._note(spans, table, day, since_ns)
        return spans

    def _note(self, spans: Spans, table: str, day: date, since_ns: int) -> None:
        group = f"v{FORMAT}/{table}"
        every = listed(self._lake / group / f"date={day}")
        paths = [path for path in every if path.name.endswith(".parquet")]
        came = [path for path in paths if seen_of(path)[1] >= since_ns]
        if not came:
            return
        old = {path: stems_of(path) for path in set(paths) - set(came)}
        had = read_gone(self._lake, group, day).union(*old.values())
        uncounted = replaced(paths)
        for path in came:
            stems = stems_of(path)
            if path.stem not in uncounted and not stems <= had:
                before = [one for one, of in old.items() if of & stems and one.stem not in uncounted]
                note_more(spans, table, path, before)

    def end(self) -> None:
        """All is told: of what was left behind, too."""
        for path in (*self._left, self._own):
            with suppress(OSError):
                path.unlink()


@contextmanager
def marked(lake: Path) -> Iterator[Mark | None]:
    """While files are brought; what was brought is untold where this ends without Mark.end.

    Null where nothing can be written, or nothing was ever collected there: nights that were audited from an
    older lake in its place are not told of where the first collection is killed.
    """
    held: list[int] = []
    try:
        yield _begin(lake, held)
    finally:
        for mark in held:
            os.close(mark)


def _begin(lake: Path, held: list[int]) -> Mark | None:
    try:
        if not formats_in(lake):
            return None
        left = _oldest_left(lake, held)
        own, path = tempfile.mkstemp(prefix=PREFIX, dir=lake)
        held.append(own)
        with suppress(BlockingIOError):  # another one looks at it just now
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (OSError, GuardError):  # who brings says so
        return None
    return Mark(lake, left, Path(path))


def _oldest_left(lake: Path, held: list[int]) -> dict[Path, int]:
    """The one that stands for all that were left behind; the others go, so that few are ever open."""
    oldest: dict[Path, int] = {}
    for path in lake.glob(f"{PREFIX}*"):
        at = _left_at(path, held)
        if at is None:
            continue
        one = {path: at}
        keep, drop = (one, oldest) if min(oldest.values(), default=at + 1) > at else (oldest, one)
        for newer in drop:
            newer.unlink()
        oldest = keep
        while len(held) > 1:
            os.close(held.pop(0 if keep is one else -1))
    return oldest


def _left_at(path: Path, held: list[int]) -> int | None:
    """When a mark was made that nobody holds; it is held from now on. Null: it is somebody's."""
    try:
        mark = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        at = os.fstat(mark).st_mtime_ns
    except OSError:
        os.close(mark)
        return None
    held.append(mark)
    return at

"""Databases that trainings log to: SQLite files of MLflow (its default since 3.7) and of Trackio.

One database is shared by many runs, of many jobs: each run is a series of its own, and only its records' own
time tells which job it belongs to. Where a row stands in the file says nothing of when it came there.
"""

from slurm_guard.progress import mlflowdb, trackio
from slurm_guard.progress.protocol import Found, Reader
from slurm_guard.progress.sqlite import MAGIC, BrokenError, Database

SOURCES = (mlflowdb.NAME, trackio.NAME)  # whose points have no place in the file


class DatabaseSource:
    """Told by its first bytes; whose tables it has, the reader finds."""

    name = "database"
    resyncs = False

    def claims(self, head: bytes, path: str) -> float:
        """0.9 for a SQLite file."""
        return 0.9 if head.startswith(MAGIC) else 0.0

    def reader(self) -> Reader:
        return DatabaseReader()


class DatabaseReader:
    """Keeps the whole file, at most what the driver feeds (64 MiB), and reads it at the end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes, offset: int) -> int:
        self._parts.append(data)
        return offset + len(data)

    def skipped(self, offset: int) -> None:
        """The tree cannot be followed over a gap: what was fed so far is read."""

    def finish(self) -> Found:
        data = b"".join(self._parts)
        self._parts = []
        try:
            database = Database(data)
        except BrokenError:
            return Found([], [], ["broken-records: 1"], len(data))
        tables = database.tables()
        series = mlflowdb.read_runs(database, tables) or trackio.read_runs(database, tables)
        problems = []
        if database.n_broken:
            problems.append(f"broken-records: {database.n_broken} pages or rows")
        if database.journals_ahead:
            problems.append(
                "write-ahead: its newest rows may stand in a file of their own, which is not read"
            )
        return Found(series, [], problems, len(data))

"""How far long work has come: a bar on a terminal's stderr, nothing in a pipe, a log or a cron job."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """Says what is being done and how much of it is. Without a terminal it says nothing."""

    def __init__(self, shown: "Progress | None" = None) -> None:
        self._shown = shown
        self._task: TaskID | None = None

    def stage(self, what: str, total: int | None = None) -> None:
        """A new piece of work; null: nobody knows how much it is."""
        if self._shown is None:
            return
        if self._task is not None:
            self._shown.remove_task(self._task)
        self._task = self._shown.add_task(what, total=total)

    def step(self, n_done: int, total: int | None = None) -> None:
        """So much of it is done."""
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, completed=n_done, total=total)


def listens() -> bool:
    """Whether somebody watches stderr."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def watched() -> Iterator[Bar]:
    """A bar while the block runs; it leaves nothing behind."""
    if not listens():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield Bar(shown)

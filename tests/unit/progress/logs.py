"""What the text source makes of a log, for tests."""

from slurm_guard.progress.pick import pick
from slurm_guard.progress.protocol import Series
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.track import build


def all_series(text: str) -> list[Series]:
    """The tracks' series."""
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    return [chosen.series for chosen in pick(reader.finish().series)]


def steps(text: str) -> list[int | None]:
    """The first track's counters; empty: there is none."""
    found = all_series(text)
    return (
        [mark.step for mark in build("t", [(0, claim) for claim in found[0].claims], [], ())] if found else []
    )

"""Which processes a run has had, each by the number that it knows itself by: event files carry that in their
names, and in a container's PID namespace it is not the host's."""

from __future__ import annotations

from slurm_guard.light import Any, Iterable
from slurm_guard.sampler.process import Process

MOST_AUTHORS = 1024  # of a run; 150 bytes each. Judgement: trainings of a node are tens
GAP_S = 90.0  # looks farther apart than this miss processes that matter; they are 10 or 20 s apart. Judgement


class Authors:
    """A run's processes since its ticket. `complete`: whether none that lived for some looks is missing."""

    __slots__ = ("_known", "_looked_at", "complete")

    def __init__(self, ticket_at: float) -> None:
        self.complete = True  # not after another sampler's time, a switch, or too many
        self._looked_at = ticket_at
        self._known: dict[tuple[int, int], list[Any]] = {}

    def note(self, members: Iterable[Process], at: float, whole: bool) -> None:
        """What a look found of the run. `whole`: the table left nobody out."""
        self.complete = self.complete and whole and at - self._looked_at <= GAP_S
        self._looked_at = at
        for process in members:
            row = self._known.get(process.key)
            if row is not None:
                row[1], row[3] = process.inner, round(process.last_at, 1)
            elif len(self._known) < MOST_AUTHORS:
                self._known[process.key] = [
                    process.pid, process.inner, round(process.start_at, 1), round(process.last_at, 1)
                ]  # fmt: skip
            else:
                self.complete = False

    def request(self) -> dict[str, Any]:
        """As the progress reader wants them: [pid, its own number or null, UTC seconds of its start and of
        the last look that saw it] of each, and whether these are all."""
        return {"authors": list(self._known.values()), "all_authors": self.complete}

"""What needs all runs of a night: a second pass over the little that each of them tells (rulings 24)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slurm_guard.audit import boards, replays, traces
from slurm_guard.audit.facts import Facts
from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.redone import Repeats, redone_spans, repeats_of
from slurm_guard.audit.settled import Missed, or_nothing, said_of
from slurm_guard.audit.size import Size
from slurm_guard.audit.track import Track
from slurm_guard.model import Run


@dataclass(frozen=True, slots=True)
class Told:
    """What runs tell for the others' sake, by their place in the list of runs. Tracks are without marks."""

    tracks: Mapping[int, Track]
    prints: Mapping[int, Fingerprint]
    heard: tuple[traces.Heard, ...]
    sizes: Mapping[int, Size]
    boards: Mapping[int, tuple[boards.Board, ...]]

    def moved(self, places: Sequence[int]) -> "Told":
        """The same by other places: `places` has the new one of each old."""
        return Told(
            {places[i]: track for i, track in self.tracks.items()},
            {places[i]: print_ for i, print_ in self.prints.items()},
            tuple(replace(one, i=places[one.i]) for one in self.heard),
            {places[i]: size for i, size in self.sizes.items()},
            {places[i]: mine for i, mine in self.boards.items()},
        )


def told_together(parts: Iterable[Told]) -> Told:
    """What all parts of a night tell."""
    every = list(parts)
    heard = sorted((one for part in every for one in part.heard), key=lambda one: one.i)
    return Told(
        {i: track for part in every for i, track in part.tracks.items()},
        {i: print_ for part in every for i, print_ in part.prints.items()},
        tuple(heard),
        {i: size for part in every for i, size in part.sizes.items()},
        {i: mine for part in every for i, mine in part.boards.items()},
    )


@dataclass(frozen=True, slots=True)
class Whole:
    """What all runs together say of each, by its place."""

    repeats: Mapping[int, Repeats | None] = field(default_factory=dict)
    traces: replays.Traces = replays.Traces({}, {})  # noqa: RUF009 - a frozen value
    claims: Mapping[int, boards.Claim] = field(default_factory=dict)
    missed: tuple[tuple[str, str], ...] = ()  # what could not be made, and why

    def of(self, places: Sequence[int]) -> "Whole":
        """That of the runs at these places, by their place among them; without the rows that are left for
        later audits."""
        seen = self.traces.seen
        return Whole(
            {k: self.repeats[i] for k, i in enumerate(places) if i in self.repeats},
            replays.Traces({}, {k: seen[i] for k, i in enumerate(places) if i in seen}),
            {k: self.claims[i] for k, i in enumerate(places) if i in self.claims},
        )


def whole_of(runs: list[Run], facts: Facts, told: Told) -> Whole:
    """Repeats, losses and sizes of all runs. Of `facts` neither runs nor frames are looked at."""
    missed: Missed = []
    prints = [told.prints[i] for i in range(len(runs))]
    window = (facts.from_at, facts.until_at)
    grounds = None if facts.grounds is None else facts.grounds.grounds
    repeats = repeats_of(runs, told.tracks, [one.settings for one in prints], window, grounds)
    nothing: dict[int, boards.Claim] = {}
    found = or_nothing("sizes", lambda: boards.claims(told.sizes, told.boards, runs), nothing, missed)
    again = {i: redone_spans(told.tracks[i], one) for i, one in repeats.items()}
    rows = None if facts.traces is None else facts.traces.traces
    try:
        seen = replays.find_traces(runs, list(told.heard), window, (prints, again), rows)
    except Exception as error:  # noqa: BLE001 - what compares all runs must not cost them their verdicts
        seen = replays.Traces({}, {}, said_of(error))
    return Whole(repeats, seen, found, tuple(missed))

"""Work that repeats what had been made before: from a restart's counter to how far the training had come.

A *stretch* is one segment of one log, a *training* what its stretches go on with, its *ground* the counters
from the lowest to the highest that it passed. What a stretch tells inside the ground of its training is
redone, what it tells outside is new. Nothing here is held against a run: it is progress like any other, told
apart.

- A stretch that begins above the first value goes on: with the training of its own log; else with the one
  other training of the run that had passed that counter; else with that of an earlier run (`trainings.py`).
- One that falls to its first value has *begun anew*: another training of a sweep, or the same from scratch,
  and no log says which. It is new, and how much of it lies on ground that had been passed is told beside.
- Where several trainings had passed that counter, or none is known, nobody can tell (*untold*): it is new.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from slurm_guard.audit.stats import median
from slurm_guard.audit.track import ANEW, Arc, Track
from slurm_guard.audit.trainings import Kin, line_name, log_name, shelf_of
from slurm_guard.history import PastGround
from slurm_guard.model import Run

MOST_KEPT = 20  # trainings of a run that later ones may go on with: of a sweep, the last. Judgement.
MANY_WRITERS = ": many-writers: "  # a reader's word on a log whose falls are no restarts
_Parts = tuple[float, float, float]  # units of an arc: redone, of those by earlier runs, perhaps redone
NOTHING: _Parts = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Parallel to the arcs of a track: units of each that are `redone`; of those, made by an `earlier` run
    before; and of the others, `perhaps` redone, by a training that began anew. When stretches began, by kind.
    """

    redone: tuple[float, ...] = ()
    earlier: tuple[float, ...] = ()
    perhaps: tuple[float, ...] = ()
    resumed_at: tuple[float, ...] = ()
    begun_at: tuple[float, ...] = ()
    untold_at: tuple[float, ...] = ()
    grounds: tuple[PastGround, ...] = ()  # what each training had passed by the log's end, the latest last


@dataclass(slots=True)
class _Training:
    """What one training has passed so far. `before`: the part of it by earlier runs; `maybe`: what one that
    may be the same had passed before this one began anew."""

    chain: str
    logs: list[str]  # that told it, the latest last
    low: float
    high: float
    last_at: float
    before: PastGround | None = None
    maybe: tuple[float, float] | None = None


@dataclass(slots=True)
class _Stretch:
    training: _Training
    low: float  # of the training's ground when the stretch began


@dataclass(slots=True)
class _Reading:
    """A track read arc by arc."""

    kin: Kin
    unit: str
    small: float  # a counter up to this is the first value
    trainings: list[_Training] = field(default_factory=list)
    stretches: dict[tuple[str, int], _Stretch] = field(default_factory=dict)
    resumed_at: list[float] = field(default_factory=list)
    begun_at: list[float] = field(default_factory=list)
    untold_at: list[float] = field(default_factory=list)

    def take(self, arcs: list[Arc]) -> list[_Parts]:
        """The parts of the next arcs, all of one stretch."""
        key = (arcs[0].log, arcs[0].segment)
        if key not in self.stretches:
            training = self._training_of(arcs[0])
            self.stretches[key] = _Stretch(training, training.low)
        stretch = self.stretches[key]
        training = stretch.training
        if training.low < training.high or training.maybe is not None:
            return [_part(arc, stretch) for arc in arcs]
        training.high, training.last_at = arcs[-1].end, arcs[-1].until_at  # most logs: nothing was passed yet
        return [NOTHING] * len(arcs)

    def _training_of(self, arc: Arc) -> _Training:
        """What a stretch with this first arc goes on with."""
        same = next((t for t in reversed(self.trainings) if arc.log in t.logs), None)
        if arc.begin <= self.small and (same is None or arc.begin < same.high):
            return self._anew(arc, same)
        own = [same] if same is not None else self._that_passed(arc.begin)
        if len(own) == 1:
            if arc.begin < own[0].high:
                self.resumed_at.append(arc.from_at)
            if arc.log != own[0].logs[-1]:
                own[0].logs.append(arc.log)
            return own[0]
        earlier = self.kin.passed(self.unit, arc, self.small) if not own else None
        if earlier is not None:
            if arc.begin < earlier.high:
                self.resumed_at.append(arc.from_at)
            return self._new(arc, earlier.chain, earlier)
        self.untold_at.append(arc.from_at)
        return self._new(arc)

    def _that_passed(self, counter: float) -> list[_Training]:
        return [t for t in self.trainings if t.low <= counter <= t.high + self.small]

    def _anew(self, arc: Arc, same: _Training | None) -> _Training:
        training = self._new(arc)
        if same is not None:
            training.maybe = (same.low, same.high)
        else:
            earlier = self.kin.began_before(self.unit, arc)
            training.maybe = None if earlier is None else _of(earlier)
        if training.maybe is not None:
            self.begun_at.append(arc.from_at)
        return training

    def _new(self, arc: Arc, chain: str | None = None, before: PastGround | None = None) -> _Training:
        low, high = (arc.begin, arc.begin) if before is None else _of(before)
        name = chain if chain is not None else f"{self.kin.run.id}#{len(self.trainings)}"
        self.trainings.append(_Training(name, [arc.log], low, high, arc.until_at, before))
        return self.trainings[-1]


def _part(arc: Arc, stretch: _Stretch) -> _Parts:
    """The parts of an arc, which its training has passed from then on."""
    training, mine = stretch.training, (arc.begin, arc.end)
    # The stretch itself has come as far as the arc's front and no further, whatever the highest is.
    seen = (stretch.low, training.high)
    redone = _common(mine, seen)
    earlier = 0.0 if training.before is None else _common(mine, _of(training.before))
    perhaps = 0.0
    if training.maybe is not None:
        both = (max(seen[0], training.maybe[0]), min(seen[1], training.maybe[1]))
        perhaps = _common(mine, training.maybe) - _common(mine, both)
    training.low, training.high = min(training.low, arc.begin), max(training.high, arc.end)
    training.last_at = max(training.last_at, arc.until_at)
    return redone, min(earlier, redone), max(0.0, perhaps)


def _is_mixed(track: Track) -> bool:
    """Whether a reader says of a log that the track is made of that several write it."""
    paths = [p.partition(MANY_WRITERS)[0] for p in track.problems if MANY_WRITERS in p]
    return any(f":{path}" in source for path in paths for source in track.sources)


def find_repeats(track: Track, kin: Kin) -> Repeats | None:
    """What of a track is redone; null where its log cannot tell: no progress, or a counter whose falls are no
    restarts (several writers)."""
    if not track.arcs or track.unit is None or _is_mixed(track):
        return None
    reading = _Reading(kin, track.unit, ANEW * median([a.units for a in track.arcs]))
    parts = [
        part
        for _, arcs in itertools.groupby(track.arcs, key=lambda arc: (arc.log, arc.segment))
        for part in reading.take(list(arcs))
    ]
    redone, earlier, perhaps = zip(*parts, strict=True)
    return Repeats(
        redone,
        earlier,
        perhaps,
        tuple(reading.resumed_at),
        tuple(reading.begun_at),
        tuple(reading.untold_at),
        tuple(
            kin.ground(t.chain, track.unit, t.logs[-1], (t.low, t.high), t.last_at)
            for t in reading.trainings[-MOST_KEPT:]
        ),
    )


def _of(ground: PastGround) -> tuple[float, float]:
    return ground.low, ground.high


def _common(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Units that two stretches of counters have in common."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def redone_spans(track: Track, repeats: Repeats | None) -> list[tuple[float, float]]:
    """When what had been made before was made again, epoch seconds."""
    if repeats is None:
        return []
    return [(arc.from_at, arc.until_at) for arc, n in zip(track.arcs, repeats.redone, strict=True) if n > 0]


def repeats_of(
    runs: list[Run],
    tracks: Mapping[int, Track],
    settings: Sequence[str | None],
    window: tuple[float, float],
    rows: pl.DataFrame | None,
) -> dict[int, Repeats | None]:
    """What each run's log repeats, by its place. `settings`: digests of their command lines; `rows`: grounds
    of earlier nights (history.PastGround), null: none are known."""
    lines = [line_name(run, settings[i]) for i, run in enumerate(runs)]
    logs = {arc.log for track in tracks.values() for arc in track.arcs}
    names = {line for line in lines if line is not None} | {log_name(log) for log in logs}
    shelf = shelf_of(rows, runs, names)
    found: dict[int, Repeats | None] = {}
    for i in sorted(range(len(runs)), key=lambda i: (runs[i].start_at, runs[i].id)):
        repeats = find_repeats(tracks[i], Kin(runs[i], lines[i], window, shelf))
        found[i] = repeats
        shelf.add(() if repeats is None else repeats.grounds)
    return found

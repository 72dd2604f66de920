"""What is known of a run's storage: written at its saves, found on disk, read while it trained."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

import polars as pl

from slurm_guard.audit.reads import Reads, reads
from slurm_guard.audit.savedfiles import Files, files
from slurm_guard.audit.track import Track
from slurm_guard.audit.writes import BEFORE_S, Saves, saves
from slurm_guard.model import Run

LEAST_SAVES = 3  # of a log, before anything is said. Judgement.


@dataclass(frozen=True, slots=True)
class Stored:
    """Null: the log says nothing of it, or nothing is known."""

    saves: Saves | None = None
    files: Files | None = None
    reads: Reads | None = None


NOTHING_STORED = Stored()
# (uses of some nodes each, process facts, keys), (logs, points) of the last reading
Given = tuple[tuple[Iterable[pl.DataFrame], pl.DataFrame, pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame]]


def saves_of(track: Track, from_at: float = -inf, until_at: float = inf) -> tuple[float, ...]:
    """When the log says that it saved, once for each: lines without training between them, or of one step,
    tell of one. Those alone that lie in the audited part of the run."""
    found: list[float] = []
    step: int | None = None
    trained = True
    for mark in track.marks:
        if mark.phase == "checkpoint":
            if trained and (mark.step is None or mark.step != step):
                found.append(mark.at)
            step, trained = mark.step, False
        elif mark.phase == "train":
            trained = True
    return tuple(t for t in found if from_at <= t - BEFORE_S and t <= until_at)


def stored_of(
    runs: list[Run],
    tracks: Mapping[int, Track],
    given: Given,
    frames: Mapping[str, pl.DataFrame],
) -> dict[int, Stored]:
    """Per run; runs of which nothing is known are absent."""
    tables, told = given
    times = {}
    for i, track in tracks.items():
        named = saves_of(track, runs[i].from_at, runs[i].until_at)
        if len(named) >= LEAST_SAVES:
            times[i] = named
    wrote = saves(runs, times, tables, told, frames) if times else {}
    found = files(tracks, times, told, tables[2])
    took = reads(runs, tracks, tables[0])
    return {i: Stored(wrote.get(i), found.get(i), took.get(i)) for i in sorted({*wrote, *found, *took})}

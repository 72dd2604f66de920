"""What the GPUs of a run could do at most, and what those could that its user had at the same time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.peaks import FASTEST, Peak, peak_of
from slurm_guard.audit.size import Size, size_of, sizes_of
from slurm_guard.audit.track import Track
from slurm_guard.model import Run


@dataclass(frozen=True, slots=True)
class Reach:
    """Operations a second. `dense`: 16-bit peak of all GPUs of the run; `most`: their fastest mode;
    `user_most`: that of all GPUs that its user held at once in this audit, as a training may be spread over
    jobs. `range_mw`: power between idle and limit of all of them, mW; null: a board did not tell."""

    dense: float
    most: float
    user_most: float
    range_mw: float | None


Claim = tuple[Size | None, Reach | None]
NONE: Claim = (None, None)


@dataclass(frozen=True, slots=True)
class Board:
    """One GPU of a run. `peak` null: of no known model; `range_mw` null: it did not tell."""

    peak: Peak | None
    range_mw: float | None


def sizes_told(logs: pl.DataFrame, keys: pl.DataFrame, found: Mapping[int, Track]) -> dict[int, Size]:
    """Sizes of models that the logs of runs with a track came with."""
    sizes = {i: size_of(named, found[i].sources) for i, named in sizes_of(logs, keys).items() if i in found}
    return {i: size for i, size in sizes.items() if size is not None}


def claims(
    sizes: Mapping[int, Size], boards: Mapping[int, Sequence[Board]], runs: Sequence[Run]
) -> dict[int, Claim]:
    """Each size with what the GPUs of its run can do. `boards`: of every run."""
    reached = reaches(boards, runs, sorted(sizes))
    return {i: (sizes[i], reached.get(i)) for i in sorted(sizes)}


def reaches(
    boards: Mapping[int, Sequence[Board]], runs: Sequence[Run], asked: Collection[int]
) -> dict[int, Reach]:
    """The reach of the runs at these places; those with a board whose peak is not known are left out.

    A board that nobody saw counts as the fastest there is, for the ceiling, and as those beside it for the
    rest.
    """
    owners = {runs[i].uid for i in asked}
    theirs: dict[int | None, list[int]] = {}
    for i, run in enumerate(runs) if asked else ():
        if run.uid in owners:
            theirs.setdefault(run.uid, []).append(i)
    most = {i: _most(boards.get(i, ()), runs[i].n_gpus) for mine in theirs.values() for i in mine}
    at_once = {uid: _at_once([(runs[i], most[i]) for i in mine]) for uid, mine in theirs.items()}
    found = {}
    for i in asked:
        seen = boards.get(i, ())
        peaks = [b.peak for b in seen if b.peak is not None]
        if not peaks or len(peaks) < len(seen):
            continue
        ranges = [b.range_mw for b in seen if b.range_mw is not None]
        scale = runs[i].n_gpus / len(seen)
        power = scale * sum(ranges) if len(ranges) == len(seen) else None
        user = max(most[i], at_once[runs[i].uid])
        found[i] = Reach(scale * sum(p.dense for p in peaks), most[i], user, power)
    return found


def told_of(cells: pl.DataFrame) -> pl.DataFrame:
    """What cells tell of the boards of each run; of such rows again the same."""
    told = (pl.col("model", "mig").min(), pl.col("limit").max(), pl.col("idle").min())
    return cells.group_by("i", "node", "gpu").agg(*told)


def boards_of(cells: pl.DataFrame) -> dict[int, tuple[Board, ...]]:
    """The boards of each run, in order of node and GPU. `cells`: or told_of, of some nodes each."""
    rows = told_of(cells).sort("i", "node", "gpu")
    found: dict[int, list[Board]] = {}
    for i, model, mig, limit, idle in rows.select("i", "model", "mig", "limit", "idle").iter_rows():
        told = limit is not None and idle is not None and limit > idle and mig is None
        peak = None if model is None else peak_of(model, mig)
        found.setdefault(i, []).append(Board(peak, limit - idle if told else None))
    return {i: tuple(mine) for i, mine in found.items()}


def _most(boards: Sequence[Board], n_gpus: int) -> float:
    seen = sum(FASTEST if b.peak is None else b.peak.most for b in boards)
    return seen + FASTEST * max(0, n_gpus - len(boards))


def _at_once(parts: Sequence[tuple[Run, float]]) -> float:
    """The highest sum of what ran at the same time."""
    steps = sorted(step for run, most in parts for step in ((run.from_at, 1, most), (run.until_at, 0, -most)))
    now = highest = 0.0
    for _, _, change in steps:
        now += change
        highest = max(highest, now)
    return highest

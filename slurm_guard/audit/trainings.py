"""Trainings that go on over several jobs: what earlier runs had passed, and which of them a run goes on with.

Three things tie a run to earlier ones of its user, the surest first: its log is the same (the latest training
in it goes on), it is the same job (requeued), or the same line (job name, folder, command line without what
differs between runs of one training). By job and line exactly one training must have passed the counter that
the run begins at: of two seeds that both had, none is taken.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import polars as pl

from slurm_guard.audit.track import Arc
from slurm_guard.history import PastGround
from slurm_guard.model import Run

# Of one line; where there are more, none is looked for: a large array of resumed tasks must not cost the
# night. Judgement: three jobs a day for most of a year.
MOST_OF_A_LINE = 1000
_Key = tuple[str, int, str, str]  # by what, uid, unit, its name


@dataclass(slots=True)
class Shelf:
    """Grounds of earlier runs, by what a later one may be known by."""

    _by: dict[_Key, list[PastGround]] = field(default_factory=dict)

    def add(self, grounds: Iterable[PastGround]) -> None:
        """Put these beside the others; those of nobody are left out."""
        for ground in grounds:
            if ground.uid is None:
                continue
            names = [("log", ground.log), ("job", str(ground.job_id))]
            if ground.line is not None:
                names.append(("line", ground.line))
            for by, name in names:
                self._by.setdefault((by, ground.uid, ground.unit, name), []).append(ground)

    def of(self, by: str, uid: int | None, unit: str, name: str | None) -> list[PastGround]:
        """Those of one name; none where it is not known."""
        return [] if uid is None or name is None else self._by.get((by, uid, unit, name), [])


@dataclass(frozen=True, slots=True)
class Kin:
    """One run among the earlier ones. `window`: that is audited."""

    run: Run
    line: str | None
    window: tuple[float, float]
    shelf: Shelf

    def passed(self, unit: str, arc: Arc, play: float) -> PastGround | None:
        """The ground that a stretch with this first arc goes on from, put together from its training's runs;
        null: none is known, or more than one. `play`: how far a counter may lie above what was seen."""
        by_log = self._latest("log", unit, log_name(arc.log), arc)
        if by_log is not None:
            return by_log
        for by, name in (("job", str(self.run.job_id)), ("line", self.line)):
            known = self._known(by, unit, name, arc)
            chains = {g.chain for g in known if g.low <= arc.begin <= g.high + play}
            if chains:
                return _whole(known, chains.pop()) if len(chains) == 1 else None
        return None

    def began_before(self, unit: str, arc: Arc) -> PastGround | None:
        """What one that begins at its first value may be from scratch: the latest training of the same log,
        else of the same job. A command line that is called once more is no reason to think so."""
        by_log = self._latest("log", unit, log_name(arc.log), arc)
        return by_log if by_log is not None else self._latest("job", unit, str(self.run.job_id), arc)

    def ground(
        self, chain: str, unit: str, log: str, passed: tuple[float, float], last_at: float
    ) -> PastGround:
        """What a training of this run leaves for later ones."""
        run, (low, high) = self.run, passed
        return PastGround(
            run.cluster, run.id, *self.window, run.uid, run.job_id, unit, chain, log_name(log), self.line,
            low, high, last_at,
        )  # fmt: skip

    def _latest(self, by: str, unit: str, name: str | None, arc: Arc) -> PastGround | None:
        known = self._known(by, unit, name, arc)
        return _whole(known, max(known, key=lambda g: (g.last_at, g.chain)).chain) if known else None

    def _known(self, by: str, unit: str, name: str | None, arc: Arc) -> list[PastGround]:
        """Those of other runs that had ended when the stretch's first record was written."""
        found = self.shelf.of(by, self.run.uid, unit, name)
        if len(found) > MOST_OF_A_LINE:
            return []
        return [g for g in found if g.run != self.run.id and g.last_at <= arc.until_at]


def _whole(known: list[PastGround], chain: str) -> PastGround:
    """One training over its runs: the latest of them, with all that any of them passed."""
    mine = [g for g in known if g.chain == chain]
    last = max(mine, key=lambda g: (g.last_at, g.run))
    return replace(last, low=min(g.low for g in mine), high=max(g.high for g in mine))


def log_name(track: str) -> str:
    """A track's name as it is kept."""
    return _digest(track)


def line_name(run: Run, settings: str | None) -> str | None:
    """What a later job of the same training has in common: null where its command line is not known."""
    if settings is None or run.uid is None:
        return None
    return _digest("\0".join((str(run.uid), run.name, run.work_dir or "", settings)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def shelf_of(rows: pl.DataFrame | None, runs: list[Run], names: set[str]) -> Shelf:
    """Earlier nights' grounds (rows of history.PastGround) that may speak of these runs, by their users, jobs
    and `names` (of logs and lines). Not the runs' own: those are read anew from their logs."""
    shelf = Shelf()
    if rows is None or rows.is_empty():
        return shelf
    near = pl.col("log").is_in(names) | pl.col("line").is_in(names).fill_null(value=False)
    near |= pl.col("job_id").is_in({run.job_id for run in runs})
    theirs = rows.filter(
        near & pl.col("uid").is_in({r.uid for r in runs}) & ~pl.col("run").is_in([r.id for r in runs])
    )
    shelf.add(PastGround(**row) for row in theirs.iter_rows(named=True))
    return shelf

"""The three passes over a night's parts: survey, measure, judge. Each works on one part alone, and leaves the
next what it needs as a file; what needs all runs lies between them (audit/whole.py)."""

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from slurm_guard.audit import bind, work
from slurm_guard.audit.codes import coded
from slurm_guard.audit.facts import Facts, runs_frame, split
from slurm_guard.audit.night import Night, measure
from slurm_guard.audit.outside import Stint
from slurm_guard.audit.run import Done, judge_runs
from slurm_guard.audit.tables import Part as NightPart
from slurm_guard.audit.whole import Told, Whole
from slurm_guard.engine.plan import Part
from slurm_guard.lake.frames import read_frames, read_windows
from slurm_guard.lake.reach import Reach
from slurm_guard.lake.schema import TABLES, empty
from slurm_guard.lake.write import write_whole
from slurm_guard.model import Run, Skip


@dataclass(frozen=True, slots=True)
class Site:
    """What every part needs: the night's facts without frames, the lake, and the folder of the parts' files.
    `keeps_cells`: the ledger by GPU and minute is wanted."""

    facts: Facts
    runs: tuple[Run, ...]  # judgeable ones, in order
    lake: Path
    folder: Path
    reach: Reach
    keeps_cells: bool = False


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What one part says to the norms of the night. `told`, `placed`: ids of runs."""

    survey: work.Survey
    told: frozenset[str]
    placed: frozenset[str]


def site_of(facts: Facts, lake: Path, folder: Path, reach: Reach, *, keeps_cells: bool) -> Site:
    """`facts` without frames."""
    return Site(facts, tuple(split(facts.runs)[0]), lake, folder, reach, keeps_cells)


def survey_part(site: Site, part: Part) -> Surveyed:
    """The first pass, over the nodes that the part holds."""
    facts = site.facts
    window = (facts.from_at, facts.until_at)
    frames = read_windows(site.lake, facts.cluster, *window, site.reach.of(part.nodes))
    runs = [site.runs[i] for i in part.near]
    table = runs_frame(runs)
    every = {name: frames[name] if name in frames else empty(name) for name in TABLES}
    keys = bind.bind(table, every)
    told = frozenset(runs[i].id for i in bind.with_gpus_told(keys, every))
    every, keys = coded(every, keys)
    good, _ = work.judgeable(every["windows"])
    found = work.survey(good, keys, table)
    placed = frozenset(runs[i].id for i in found.placed)
    return Surveyed(replace(found, placed=frozenset()), told, placed)


def measure_part(site: Site, number: int, part: Part, norms: work.Norms) -> Told:
    """The second pass: leaves the measured runs in a file, and tells what the other runs have to know, by
    places in the night."""
    facts = site.facts
    frames, skips = read_frames(
        site.lake, facts.cluster, facts.from_at, facts.until_at, site.reach.of(part.reach), lean=True
    )
    mine = replace(facts, runs=tuple(site.runs[i] for i in part.near), frames=frames, skips=())
    own = frozenset(part.own)
    places = tuple(k for k, i in enumerate(part.near) if i in own)
    night, told = measure(
        list(mine.runs), mine, NightPart(places, part.nodes, norms), keeps_cells=site.keeps_cells
    )
    _put(site, f"measured-{number}", (night, skips))
    return told.moved(part.near)


Judged = tuple[Done, list[pl.DataFrame]]


def judge_part(site: Site, number: int, part: Part, whole: Whole) -> Judged:
    """The third pass: the part's runs judged, its stints by places in the night; and its ledger by GPU and
    minute. `whole`: of the part's runs by their places among those near."""
    night, skips = _get(site, f"measured-{number}")
    own = frozenset(part.own)
    runs = {k: site.runs[i] for k, i in enumerate(part.near) if i in own}
    ledger: list[pl.DataFrame] = []

    def take(rows: pl.LazyFrame) -> None:
        ledger.append(rows.collect())

    done = judge_runs(runs, night, (whole, site.facts), take if site.keeps_cells else None)
    stints = tuple(_moved(s, part.near) for s in done.stints if s.node in part.nodes)
    return replace(done, skips=(*done.skips, *skips), stints=stints), ledger


def _moved(stint: Stint, places: tuple[int, ...]) -> Stint:
    own, host = (None if i is None else places[i] for i in (stint.own, stint.host))
    return replace(stint, own=own, host=host)


def _put(site: Site, name: str, value: tuple[Night, tuple[Skip, ...]]) -> None:
    """A file of our own in a folder that nobody else may enter: it is unpickled by us alone."""
    write_whole(site.folder / f"{name}.pickle", pickle.dumps(value, pickle.HIGHEST_PROTOCOL), 0o600)


def _get(site: Site, name: str) -> tuple[Night, tuple[Skip, ...]]:
    value: tuple[Night, tuple[Skip, ...]] = pickle.loads((site.folder / f"{name}.pickle").read_bytes())  # noqa: S301
    return value

"""The three passes over a night's parts: survey, measure, judge. Each works on one part alone, with what the
one before it made of that part; what needs all runs lies between them (audit/whole.py)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path

import polars as pl

from slurm_guard.audit import bind, work
from slurm_guard.audit.codes import coded
from slurm_guard.audit.facts import Facts, runs_frame
from slurm_guard.audit.night import Night, measure
from slurm_guard.audit.outside import Stint
from slurm_guard.audit.run import Done, judge_runs
from slurm_guard.audit.slices import Source, Sources
from slurm_guard.audit.tables import Part as NightPart
from slurm_guard.audit.whole import Told, Whole
from slurm_guard.engine.plan import Part, slices_of
from slurm_guard.engine.shelf import OnDisk
from slurm_guard.lake.frames import Named, read_frames, read_rest, read_wide, read_windows
from slurm_guard.lake.reach import Reach
from slurm_guard.lake.schema import TABLES, empty
from slurm_guard.model import Run, Skip


@dataclass(frozen=True, slots=True)
class Site:
    """What every part needs: the night's facts without frames, and the lake. `keeps_cells`: the ledger by
    GPU and minute is wanted."""

    facts: Facts
    runs: tuple[Run, ...]  # judgeable ones, in order
    lake: Path
    reach: Reach
    keeps_cells: bool = False
    slice_gpu_h: float = inf  # a part of more is read by groups of its nodes


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What one part says to the norms of the night. `told`, `placed`: ids of runs."""

    survey: work.Survey
    told: frozenset[str]
    placed: frozenset[str]


def survey_part(site: Site, part: Part) -> Surveyed:
    """The first pass, over the nodes that the part holds."""
    found = [_surveyed(site, part, nodes) for nodes in _slices(site, part, part.nodes)]
    tops = work.norms([one.survey for one in found], frozenset(), frozenset()).top
    quiet = pl.concat([one.survey.quiet for one in found])
    told, placed = (
        frozenset().union(*some) for some in zip(*((o.told, o.placed) for o in found), strict=True)
    )
    return Surveyed(work.Survey(quiet, tops, frozenset()), told, placed)


def _slices(site: Site, part: Part, nodes: frozenset[str]) -> tuple[frozenset[str], ...]:
    return slices_of(nodes, (site.runs[i] for i in part.near), site.slice_gpu_h)


def _surveyed(site: Site, part: Part, nodes: frozenset[str]) -> Surveyed:
    facts = site.facts
    window = (facts.from_at, facts.until_at)
    frames = read_windows(site.lake, facts.cluster, *window, site.reach.of(nodes))
    runs = [site.runs[i] for i in part.near]
    table = runs_frame(runs)
    every = {name: frames[name] if name in frames else empty(name) for name in TABLES}
    keys = bind.bind(table, every)
    told = frozenset(runs[i].id for i in bind.with_gpus_told(keys, every))
    del frames
    every, keys = coded(every, keys)
    good, _ = work.judgeable(every["windows"])
    found = work.survey(good, keys, table)
    placed = frozenset(runs[i].id for i in found.placed)
    return Surveyed(replace(found, placed=frozenset()), told, placed)


Measured = tuple[Night, tuple[Skip, ...]]


def measure_part(
    site: Site, part: Part, norms: work.Norms, scratch: Callable[[], AbstractContextManager[Path]]
) -> tuple[Measured, Told]:
    """The second pass: the measured runs, and what the other runs have to know, by places in the night.
    `scratch`: a folder of its own, for a part of several slices."""
    own = frozenset(part.own)
    places = tuple(k for k, i in enumerate(part.near) if i in own)
    runs = [site.runs[i] for i in part.near]
    mine = NightPart(places, part.nodes, norms)
    slices = _slices(site, part, part.reach)
    if len(slices) > 1:
        with scratch() as folder:
            sliced, skips = _read_rest(site, part, slices)
            each = [Source(nodes, partial(_read_wide, site, nodes)) for nodes in slices]
            sources = Sources(each, OnDisk(folder))
            night, told = measure(runs, sliced, mine, sources, keeps_cells=site.keeps_cells)
    else:
        handed, skips = _read(site, part)
        # Popped, here and below: nobody keeps the rows as they were read, a third of what a large run takes.
        night, told = measure(runs, handed.pop(), mine, keeps_cells=site.keeps_cells)
    return (night, skips), told.moved(part.near)


def _read_wide(site: Site, nodes: frozenset[str]) -> dict[str, pl.DataFrame]:
    facts = site.facts
    return read_wide(site.lake, facts.cluster, (facts.from_at, facts.until_at), site.reach.of(nodes))[0]


def _read_rest(site: Site, part: Part, slices: Sequence[frozenset[str]]) -> tuple[Facts, tuple[Skip, ...]]:
    """The facts with all rows of nodes that the part reaches, but for those for each window: of these the
    windows' run keys. Which rows belong to them is only known once all of them were read, a first time."""
    facts = site.facts
    span = (facts.from_at, facts.until_at)
    named = Named.none()
    keys, skips = [empty("windows").select("run")], set[Skip]()
    for nodes in slices:
        frames, mine, said = read_wide(site.lake, facts.cluster, span, site.reach.of(nodes))
        named = named.beside(mine)
        keys.append(frames["windows"].select("run").unique())
        skips |= set(said)
    rest, said = read_rest(site.lake, facts.cluster, span, site.reach.of(part.reach), named)
    frames = {**rest, "windows": pl.concat(keys).unique()}
    runs = tuple(site.runs[i] for i in part.near)
    return replace(facts, runs=runs, frames=frames, skips=()), tuple(skips | set(said))


def _read(site: Site, part: Part) -> tuple[list[Facts], tuple[Skip, ...]]:
    """The facts with all rows of nodes that the part reaches, alone in a list; and what was unreadable."""
    facts = site.facts
    reach = site.reach.of(part.reach)
    frames, skips = read_frames(site.lake, facts.cluster, facts.from_at, facts.until_at, reach, lean=True)
    runs = tuple(site.runs[i] for i in part.near)
    return [replace(facts, runs=runs, frames=frames, skips=())], skips


Judged = tuple[Done, list[pl.DataFrame]]


def judge_part(site: Site, part: Part, whole: Whole, measured: Measured) -> Judged:
    """The third pass: the part's runs judged, its stints by places among those near; and its ledger by GPU
    and minute. `whole`: of the part's runs by their places among those near."""
    night, skips = measured
    own = frozenset(part.own)
    runs = {k: site.runs[i] for k, i in enumerate(part.near) if i in own}
    ledger: list[pl.DataFrame] = []

    def take(rows: pl.LazyFrame) -> None:
        ledger.append(rows.collect())

    done = judge_runs(runs, night, (whole, site.facts), take if site.keeps_cells else None)
    stints = tuple(s for s in done.stints if s.node in part.nodes)
    return replace(done, skips=(*done.skips, *skips), stints=stints), ledger


def placed(judged: Judged, places: tuple[int, ...]) -> Judged:
    """The same with stints by places in the night: `places` has those of the runs near."""
    done, ledger = judged
    return replace(done, stints=tuple(_moved(stint, places) for stint in done.stints)), ledger


def _moved(stint: Stint, places: tuple[int, ...]) -> Stint:
    own, host = (None if i is None else places[i] for i in (stint.own, stint.host))
    return replace(stint, own=own, host=host)

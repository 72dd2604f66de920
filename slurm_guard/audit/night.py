"""From frames to one Case per run: bind, measure, divide, study, tally. What is wide is done in Polars."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import polars as pl

from slurm_guard.audit import (
    analytic,
    beats,
    boards,
    bounds,
    fingerprint,
    gather,
    grid,
    hear,
    kin,
    ledger,
    listed,
    mix,
    rhythm,
    second,
    siblings,
    spans,
    storage,
    traces,
)
from slurm_guard.audit import unlisted as holders
from slurm_guard.audit.case import Case
from slurm_guard.audit.codes import texts
from slurm_guard.audit.declared import Declared, as_told, declared
from slurm_guard.audit.divide import CELLS, divided
from slurm_guard.audit.earlier import Earlier, beside, earlier_of
from slurm_guard.audit.facts import Facts
from slurm_guard.audit.glean import Users
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.hear import Heard
from slurm_guard.audit.ledger import Sums
from slurm_guard.audit.net import flows as said
from slurm_guard.audit.net.changes import changes_of
from slurm_guard.audit.net.net import net_of, people_of
from slurm_guard.audit.net.nodewide import Change
from slurm_guard.audit.net.policy import Rules, read_rules
from slurm_guard.audit.net.unseen import Unseen, unseen_of
from slurm_guard.audit.outside import Stint
from slurm_guard.audit.settled import Missed, or_nothing, said_of, settled
from slurm_guard.audit.size import Size
from slurm_guard.audit.slices import Kept, Sources
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.steadiest import steadiest
from slurm_guard.audit.study import Study, study
from slurm_guard.audit.tables import Part, Tables, tables_of, ties_of
from slurm_guard.audit.track import Track
from slurm_guard.audit.unlisted import Unlisted
from slurm_guard.audit.upkeep import Upkeep
from slurm_guard.audit.whole import Told, Whole
from slurm_guard.model import NodeCoverage, Run


@dataclass(frozen=True, slots=True)
class Night:
    """Every run's measures, by its place in the list of runs."""

    cells: pl.DataFrame  # divided among processes (minutes.CELLS); without rows where nobody asked for them
    heard: Heard
    stints: tuple[Stint, ...]
    unlisted: tuple[Unlisted, ...]
    listed: tuple[listed.Listed, ...]
    slots: Mapping[int, Slots]
    sums: Mapping[int, Sums]
    tracks: Mapping[int, Track]
    studies: Mapping[int, Study]
    users: Users
    declared: Mapping[int, Declared]
    said: said.Words
    rules: Rules
    people: Mapping[int, pl.DataFrame]
    changes: Mapping[int, tuple[Change, ...]]
    unseen: Mapping[int, tuple[Unseen, ...]]
    siblings: Mapping[int, list[siblings.Levels]]
    seconds: Mapping[int, tuple[second.Second, ...]]
    earlier: Earlier
    failed: Mapping[int, str]  # runs that could not be studied, and why; they have no study of their own
    stored: Mapping[int, storage.Stored]
    mixes: Mapping[int, mix.Mix]
    missed: tuple[tuple[str, str], ...]  # what could not be made for all runs, and why
    upkeep: Upkeep
    coverage: tuple[NodeCoverage, ...]
    refused: tuple[tuple[str, int], ...]  # windows that contradict themselves, by node


def measure(
    runs: list[Run],
    facts: Facts,
    part: Part | None = None,
    sources: Sources | None = None,
    *,
    keeps_cells: bool = False,
) -> tuple[Night, Told]:
    """Bind, measure, divide, study and tally every run, or those of a part of the night. Also what the runs
    tell for the others' sake. `sources`: see tables_of."""
    own = range(len(runs)) if part is None else part.own
    handed = [dict(facts.frames)]
    facts = replace(facts, frames={})  # what the tables have no use for goes, unless the caller keeps it
    missed: Missed = []
    tables = tables_of(runs, handed.pop(), part, sources, missed)
    frames, keys, gleaned = tables.frames, tables.keys, tables.gleaned
    heard, (series, found, failed) = _logged({i: runs[i] for i in own}, runs, tables, facts, missed)
    ties = ties_of(tables)
    slots, users = divided(runs, tables, ties, found)
    logged = [i for i, track in found.items() if track.marks]  # no other run's steps could show
    rhythms = beats.beats_in(Rhythms(tables.kept), logged)
    heard_until = gather.read_until(tables.logs, keys)
    studies = _studied(runs, facts, (series, rhythms, heard_until), (found, slots, failed))
    boards_told = (fingerprint.models(gleaned.models), _most(gleaned.memories))
    before = earlier_of({i: runs[i] for i in own}, facts, (users, found), boards_told)
    uses = tables.kept.each("uses")
    stores = ((uses, gleaned.people, keys), (tables.logs, tables.points))
    upkeep = Upkeep(facts.maintenance, facts.maintenance_uids)
    nodes = None if part is None else part.nodes
    window = (facts.from_at, facts.until_at)
    told = _told(tables, found, before, tuple(heard), missed)
    cells = tables.kept.each("divided")
    return Night(
        pl.concat([texts(some.select(*CELLS)) for some in cells if keeps_cells] or [_no_cells()]),
        hear.listen(frames, keys, gleaned.refused, gleaned.good),
        gleaned.stints,
        gleaned.unlisted,
        tuple(listed.listed(gleaned.untold, (tables.runs, tables.told), ties)),
        slots,
        ledger.tally(cells, {i: s.spans for i, s in studies.items()}),
        found,
        studies,
        users,
        declared(runs, keys, frames),
        said.words(frames, keys),
        read_rules(facts.network, facts.names),
        people_of(gleaned.people, keys),
        changes_of(runs, keys, frames),
        unseen_of(runs, keys, frames),
        siblings.levels_of(cells, gleaned.boards, runs),
        second.seconds(users, *ties[1:], uses),
        before,
        failed,
        or_nothing("storage", lambda: storage.stored_of(runs, found, stores, frames), {}, missed),
        or_nothing("mix of pipes", lambda: mix.mixes([gleaned.bare]), {}, missed),
        tuple(missed),
        upkeep,
        hear.coverage(frames, (gleaned.covered, gleaned.good), runs, (upkeep, window), nodes),
        _refused(gleaned.refused, nodes),
    ), told


def _logged(
    mine: dict[int, Run], runs: list[Run], tables: Tables, facts: Facts, missed: Missed
) -> tuple[list[traces.Heard], tuple[dict[int, gather.Series], dict[int, Track], dict[int, str]]]:
    """What the logs of these runs tell: losses; and as `settled` has it."""
    slack_s = facts.config.slack_s
    series = gather.series_of(tables.points, tables.logs, tables.keys, slack_s)
    unheard: list[traces.Heard] = []
    heard = or_nothing("losses", lambda: traces.hear(series, runs, slack_s), unheard, missed)
    since = {i: run.start_at - slack_s for i, run in mine.items()}
    return heard, settled(since, series, gather.problems_of(tables.logs, tables.keys))


def _no_cells() -> pl.DataFrame:
    return pl.DataFrame(schema=CELLS)


def _most(memories: pl.DataFrame) -> dict[int, int]:
    return dict(memories.group_by("i").agg(pl.col("mem_mib").max()).iter_rows())


def _refused(counts: pl.DataFrame, nodes: frozenset[str] | None) -> tuple[tuple[str, int], ...]:
    """How many windows contradict themselves, by node; of these nodes, null: of all."""
    of_nodes = counts.group_by("node").agg(pl.col("len").sum()).sort("node").iter_rows()
    return tuple((node, n) for node, n in of_nodes if nodes is None or node in nodes)


@dataclass(frozen=True, slots=True)
class Rhythms:
    """What beats are found in, of each slice, as often as somebody goes through it."""

    kept: Kept

    def __iter__(self) -> Iterator[beats.Tables]:
        for k in range(self.kept.n):
            names = ("cells", "uses", "strange", "shapes")
            cells, uses, strange, shapes = (self.kept.get(k, name) for name in names)
            yield cells, uses, strange, shapes


def _told(
    tables: Tables,
    found: Mapping[int, Track],
    before: Earlier,
    heard: tuple[traces.Heard, ...],
    missed: Missed,
) -> Told:
    nothing: dict[int, Size] = {}
    return Told(
        {i: replace(track, marks=()) for i, track in found.items()},
        before.prints,
        heard,
        or_nothing("sizes", lambda: boards.sizes_told(tables.logs, tables.keys, found), nothing, missed),
        boards.boards_of(tables.gleaned.boards),
    )


def _studied(
    runs: list[Run],
    facts: Facts,
    heard: tuple[Mapping[int, gather.Series], Mapping[int, list[rhythm.Beat]], Mapping[int, float]],
    known: tuple[dict[int, Track], dict[int, Slots], dict[int, str]],
) -> dict[int, Study]:
    """Each run's study. Of `known` (tracks, slots, what failed of which run) the tracks become those in the
    steadiest unit; of a run that cannot be studied nothing is left but why."""
    series, rhythms, read_until = heard
    found, slots, failed = known
    studies: dict[int, Study] = {}
    for i in found:
        run = runs[i]
        try:
            steady = steadiest(run, slots[i], found[i], (series.get(i, []), facts))
            found[i] = replace(steady, read_until=read_until.get(i))
            tempo = rhythm.compare(rhythms.get(i, []), spans.stepping(found[i]))
            studies[i] = study(run, slots[i], found[i], tempo, facts.config)
        except Exception as error:  # noqa: BLE001 - one bad run must not stop the night (law 7 of style)
            failed[i], found[i], slots[i] = said_of(error), Track(), grid.nothing(run)
            studies[i] = study(run, slots[i], found[i], rhythm.Rhythm(), facts.config)
    return studies


def case_of(i: int, counted: Run, night: Night, given: tuple[Whole, Facts]) -> Case:
    """The case of the run at place `i`."""
    whole, facts = given
    told = night.declared.get(i)
    run = as_told(counted, told)
    studied, sums = night.studies[i], night.sums.get(i, Sums())
    guests = tuple(u for u in night.unlisted if u.host == i and u.own != i)
    again = kin.recurring_us(night.slots[i], studied.kinds) + holders.left_by_others(guests, run.uid)
    others = beside(i, run, studied, night.earlier)
    own_us = (again, (sums, ("own",)))
    claim = whole.claims.get(i, boards.NONE)
    band = analytic.band_of(*claim, night.tracks[i], studied)
    return Case(
        run,
        facts.config,
        night.slots[i],
        night.tracks[i],
        studied,
        sums,
        tuple(night.users.get(i, ())),
        tuple(s for s in night.stints if s.own == i),
        tuple(s for s in night.stints if s.host == i and s.own != i),
        replace(
            hear.of_run(i, run, night.heard, facts.until_at, facts.config.slack_s),
            edited=() if told is None else told.edited,
            summary=facts.summaries.get(run.id, ""),
            upkeep=tuple(n for n in run.nodes if night.upkeep.covers(n, run.from_at, run.until_at)),
        ),
        _spared(analytic.widened(others.left, band, night.tracks[i], night.slots[i], studied), *own_us),
        _spared(others.device_left, again, (sums, ("own", "stray", "foreign"))),
        tuple(u for u in night.unlisted if u.own == i),
        guests,
        replace(
            net_of(i, run, night.said, night.rules, (night.users.get(i, ()), night.people.get(i))),
            changes=night.changes.get(i, ()),
            unseen=night.unseen.get(i, ()),
        ),
        tuple(night.siblings.get(i, ())),
        _spared(others.own_left, *own_us),
        others.fingerprint,
        others.mem_mib,
        others.compared and replace(others.compared, left=_spared(others.compared.left, *own_us)),
        others.rises,
        i,
        tuple(p for p in night.listed if i in (p.own, p.host)),
        whole.repeats[i],
        night.seconds.get(i, ()),
        whole.traces.seen.get(i),
        night.stored.get(i, storage.NOTHING_STORED),
        night.mixes.get(i),
        *claim,
        band,
    )


def _spared(left: bounds.Left, us: float, base: tuple[Sums, tuple[str, ...]]) -> bounds.Left:
    train = sum(base[0].get(Kind.TRAIN, part) for part in base[1])
    return bounds.spare(left, us / train) if us > 0 and train > 0 else left

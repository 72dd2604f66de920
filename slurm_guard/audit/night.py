"""From frames to one Case per run: bind, measure, divide, study, tally. What is wide is done in Polars."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from slurm_guard.audit import (
    analytic,
    beats,
    bind,
    boards,
    bounds,
    gather,
    grid,
    hear,
    kin,
    ledger,
    listed,
    mix,
    neighbours,
    outside,
    owners,
    replays,
    rhythm,
    second,
    sharedlogs,
    siblings,
    spans,
    storage,
    traces,
    work,
)
from slurm_guard.audit import split as shares
from slurm_guard.audit import unlisted as holders
from slurm_guard.audit.case import Case
from slurm_guard.audit.coupling import has_turns, takes_turns, waits_for_it
from slurm_guard.audit.declared import Declared, as_told, declared
from slurm_guard.audit.earlier import Earlier, beside, earlier_of
from slurm_guard.audit.facts import Facts, runs_frame
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.hear import Heard
from slurm_guard.audit.holds import GpuUser, LogHold
from slurm_guard.audit.ledger import Sums
from slurm_guard.audit.net import flows as said
from slurm_guard.audit.net.changes import changes_of
from slurm_guard.audit.net.net import net_of, people_of
from slurm_guard.audit.net.nodewide import Change
from slurm_guard.audit.net.policy import Rules, read_rules
from slurm_guard.audit.net.unseen import Unseen, unseen_of
from slurm_guard.audit.outside import Stint
from slurm_guard.audit.redone import Repeats, redone_spans, repeats_of
from slurm_guard.audit.settled import Missed, or_nothing, said_of, settled
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.steadiest import steadiest
from slurm_guard.audit.study import Study, study
from slurm_guard.audit.track import Track
from slurm_guard.audit.unlisted import Unlisted
from slurm_guard.audit.upkeep import Upkeep
from slurm_guard.model import Run

Users = dict[int, list[GpuUser]]
# Columns of a cell that say where its time went.
CELLS = ("i", "node", "gpu", "start_at", "end_at", "cov", "active", "own", "stray", "foreign")


@dataclass(frozen=True, slots=True)
class Tables:
    """The frames with the joins that everything else needs."""

    runs: pl.DataFrame
    keys: pl.DataFrame
    good: pl.DataFrame
    refused: pl.DataFrame
    raw: pl.DataFrame  # cells before they are divided among processes
    uses: pl.DataFrame
    strange: pl.DataFrame  # windows in which somebody unlisted could have worked
    people: pl.DataFrame
    logs: pl.DataFrame
    points: pl.DataFrame  # those of each run's last reading that are not another run's, too


@dataclass(frozen=True, slots=True)
class Night:
    """Every run's measures, by its place in the list of runs."""

    tables: Tables
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
    repeats: Mapping[int, Repeats | None]
    traces: replays.Traces
    failed: Mapping[int, str]  # runs that could not be studied, and why; they have no study of their own
    stored: Mapping[int, storage.Stored]
    mixes: Mapping[int, mix.Mix]
    claims: Mapping[int, boards.Claim]
    missed: tuple[tuple[str, str], ...]  # what could not be made for the whole night, and why
    upkeep: Upkeep


def measure(runs: list[Run], facts: Facts, *, keeps_cells: bool = False) -> Night:
    """Bind, measure, divide, study and tally every run."""
    frames = dict(facts.frames)
    tables = _tables(runs, frames)
    series = gather.series_of(tables.points, tables.logs, tables.keys, facts.config.slack_s)
    missed: Missed = []
    logs = series
    unheard: list[traces.Heard] = []
    heard = or_nothing("losses", lambda: traces.hear(logs, runs, facts.config.slack_s), unheard, missed)
    series, found, failed = settled(len(runs), series, gather.problems_of(tables.logs, tables.keys))
    ties = _ties(tables, frames)
    cells, slots, users = _divided(runs, tables, ties, found)
    logged = [i for i, track in found.items() if track.marks]  # no other run's steps could show
    rhythms = beats.beats_of(tables.raw, tables.uses, tables.strange, logged)
    studies: dict[int, Study] = {}
    for i, run in enumerate(runs):
        try:
            found[i] = steadiest(run, slots[i], found[i], (series.get(i, []), facts))
            tempo = rhythm.compare(rhythms.get(i, []), spans.stepping(found[i]))
            studies[i] = study(run, slots[i], found[i], tempo, facts.config)
        except Exception as error:  # noqa: BLE001 - one bad run must not stop the night (law 7 of style)
            failed[i], found[i], slots[i] = said_of(error), Track(), grid.nothing(run)
            studies[i] = study(run, slots[i], found[i], rhythm.Rhythm(), facts.config)
    known = bind.with_gpus_told(tables.keys, frames)
    placed = set(tables.raw["i"].unique().to_list())  # those that hold a board
    before = earlier_of(runs, facts, (users, found), (tables.raw, tables.uses))
    repeats = _repeats(runs, facts, found, before)
    stores = ((tables.uses, tables.people, tables.keys), (tables.logs, tables.points))
    told = (tables.logs, tables.keys, tables.raw)
    return Night(
        tables,
        cells.select(CELLS) if keeps_cells else cells.clear().select(CELLS),
        hear.listen(frames, tables.keys, tables.refused, tables.good),
        tuple(outside.stints(tables.uses, tables.good, tables.runs, known, frames["events"])),
        tuple(
            holders.unlisted(frames, tables.people, tables.good, (tables.keys, tables.runs), known & placed)
        ),
        tuple(listed.listed(tables.uses, (tables.runs, known), ties)),
        slots,
        ledger.tally(cells, {i: s.spans for i, s in studies.items()}),
        found,
        studies,
        users,
        declared(runs, tables.keys, frames),
        said.words(frames, tables.keys),
        read_rules(facts.network, facts.names),
        people_of(tables.people, tables.keys),
        changes_of(runs, tables.keys, frames),
        unseen_of(runs, tables.keys, frames),
        siblings.levels_of(cells, runs),
        second.seconds(users, *ties[1:], tables.uses),
        before,
        repeats,
        _traces(runs, facts, heard, (before, found, repeats)),
        failed,
        or_nothing("storage", lambda: storage.stored_of(runs, found, stores, frames), {}, missed),
        or_nothing("mix of pipes", lambda: mix.mixes(tables.raw, tables.good), {}, missed),
        or_nothing("sizes", lambda: boards.claims(told, runs, found), {}, missed),
        tuple(missed),
        Upkeep(facts.maintenance, facts.maintenance_uids),
    )


def _repeats(
    runs: list[Run], facts: Facts, found: dict[int, Track], before: Earlier
) -> dict[int, Repeats | None]:
    settings = [print_.settings for print_ in before.prints]
    rows = None if facts.grounds is None else facts.grounds.grounds
    return repeats_of(runs, found, settings, (facts.from_at, facts.until_at), rows)


def _traces(
    runs: list[Run],
    facts: Facts,
    heard: list[traces.Heard],
    known: tuple[Earlier, dict[int, Track], dict[int, Repeats | None]],
) -> replays.Traces:
    before, found, repeats = known
    again = {i: redone_spans(found[i], one) for i, one in repeats.items()}
    rows = None if facts.traces is None else facts.traces.traces
    try:
        return replays.find_traces(runs, heard, (facts.from_at, facts.until_at), (before.prints, again), rows)
    except Exception as error:  # noqa: BLE001 - what compares all runs must not cost them their verdicts
        return replays.Traces({}, {}, said_of(error))


def _tables(runs: list[Run], frames: dict[str, pl.DataFrame]) -> Tables:
    table = runs_frame(runs)
    keys = bind.bind(table, frames)
    good, refused = work.judgeable(frames["windows"])
    people = owners.process_facts(frames["processes"])
    right = good.group_by("node", "gpu", "start_at").agg(
        pl.col("shared").any().alias("window_shared"),
        (pl.col("map") == "contradicted").any().alias("window_doubted"),
    )
    uses = owners.uses(frames["shares"], people, keys).join(
        right, on=["node", "gpu", "start_at"], how="left", maintain_order="left"
    )
    cells = work.cells(good, keys, table)
    logs = gather.latest(frames["logs"])
    foreign = neighbours.foreign_logs(logs, frames["files"], keys, table)
    logs = neighbours.without(logs, foreign)
    points = gather.latest(frames["points"]).join(
        foreign, on=["run", "file"], how="anti", maintain_order="left"
    )
    points, logs = sharedlogs.settle(points, logs, (keys, table), uses)
    strange = holders.strangers(frames["held"], people)
    return Tables(table, keys, good, refused, cells, uses, strange, people, logs, points)


Ties = tuple[pl.DataFrame, dict[int, list[LogHold]], set[tuple[str, int, int]]]


def _divided(
    runs: list[Run], tables: Tables, ties: Ties, found: dict[int, Track]
) -> tuple[pl.DataFrame, dict[int, Slots], Users]:
    """Cells and slots divided among processes; twice where a second process turns out to take turns."""
    people, held, flows = ties
    users: Users = {
        i: owners.link(those, held.get(i, []), flows)
        for i, those in gather.users_of(tables.uses, people).items()
    }
    cells, slots = _split(runs, tables, users)
    coupled = {
        i: rounds
        for i, people in users.items()
        if any(u.cls == "stray" for u in people)
        and i in slots
        and (rounds := _by_turns(people, slots[i], found[i])) != people
    }
    if coupled:
        users |= coupled
        cells, slots = _split(runs, tables, users)
    return cells, {i: slots.get(i, grid.nothing(run)) for i, run in enumerate(runs)}, users


def _ties(tables: Tables, frames: dict[str, pl.DataFrame]) -> Ties:
    """What processes are, which logs the runs' processes hold, and who speaks with whom."""
    held = gather.holds_of(tables.logs, frames["files"], tables.keys, tables.points)
    return tables.people, held, gather.partners(frames["flows"])


def _by_turns(people: list[GpuUser], slots: Slots, track: Track) -> list[GpuUser]:
    """Stray processes that take their turn with the training as a rollout server does are kin: those of its
    own program where it stands still for them; where their work per step is steady too, all that lived
    through several turns."""
    steady, waits = takes_turns(slots, track), waits_for_it(slots)
    return [
        replace(u, cls="kin", why="takes turns with the process that logs progress")
        if u.cls == "stray"
        and (
            (steady and has_turns(slots, u.first_at, u.last_at)) or (waits and owners.same_program(u, people))
        )
        else u
        for u in people
    ]


def _split(runs: list[Run], tables: Tables, users: Users) -> tuple[pl.DataFrame, dict[int, Slots]]:
    rows = [
        (i, u.node, u.pid, u.start_ticks, "beside" if owners.in_doubt(u, people) else u.cls)
        for i, people in users.items()
        for u in people
    ]
    schema = {"i": pl.Int64, "node": pl.String, "pid": pl.Int64, "start_ticks": pl.Int64, "cls": pl.String}
    classes = pl.DataFrame(rows, schema=schema, orient="row")
    strange = holders.not_its_own(tables.good, tables.strange)
    cells = shares.split(tables.raw, shares.classed(tables.uses, classes, tables.runs), strange)
    return cells, grid.grids(cells, runs)


def case_of(i: int, counted: Run, night: Night, facts: Facts) -> Case:
    """The case of the run at place `i`."""
    told = night.declared.get(i)
    run = as_told(counted, told)
    studied, sums = night.studies[i], night.sums.get(i, Sums())
    guests = tuple(u for u in night.unlisted if u.host == i and u.own != i)
    again = kin.recurring_us(night.slots[i], studied.kinds) + holders.left_by_others(guests, run.uid)
    others = beside(i, run, studied, night.earlier)
    own_us = (again, (sums, ("own",)))
    claim = night.claims.get(i, boards.NONE)
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
        night.repeats[i],
        night.seconds.get(i, ()),
        night.traces.seen.get(i),
        night.stored.get(i, storage.NOTHING_STORED),
        night.mixes.get(i),
        *claim,
        band,
    )


def _spared(left: bounds.Left, us: float, base: tuple[Sums, tuple[str, ...]]) -> bounds.Left:
    train = sum(base[0].get(Kind.TRAIN, part) for part in base[1])
    return bounds.spare(left, us / train) if us > 0 and train > 0 else left

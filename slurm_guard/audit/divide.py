"""The cells of runs divided among the processes that worked on their GPUs, slice by slice."""

from dataclasses import replace

import polars as pl

from slurm_guard.audit import grid, owners
from slurm_guard.audit import split as shares
from slurm_guard.audit.codes import like
from slurm_guard.audit.coupling import has_turns, takes_turns, waits_for_it
from slurm_guard.audit.glean import Users
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.holds import GpuUser
from slurm_guard.audit.tables import Tables, Ties
from slurm_guard.audit.track import Track
from slurm_guard.model import Run

# Columns of a cell that say where its time went.
CELLS = {
    "i": pl.Int64,
    "node": pl.String,
    "gpu": pl.String,
    **dict.fromkeys(("start_at", "end_at", "cov", "active", "own", "stray", "foreign"), pl.Float64),
}
DIVIDED = (*CELLS, "model", "dyn", "pipe")  # what is asked of a cell once it is divided


def divided(
    runs: list[Run], tables: Tables, ties: Ties, found: dict[int, Track]
) -> tuple[dict[int, Slots], Users]:
    """Slots divided among processes, and cells, which are kept as `divided`; twice where a second process
    turns out to take turns."""
    _, held, flows = ties
    users: Users = {
        i: owners.link(those, held.get(i, []), flows)
        for i, those in tables.gleaned.users.items()
        if i in found
    }
    widths = grid.widths_of([tables.gleaned.lengths], runs)
    slots = _split(runs, tables, users, widths)
    coupled = {
        i: rounds
        for i, people in users.items()
        if any(u.cls == "stray" for u in people)
        and i in slots
        and (rounds := _by_turns(people, slots[i], found[i])) != people
    }
    if coupled:
        users |= coupled
        slots = _split(runs, tables, users, widths)
    return {i: slots[i] if i in slots else grid.nothing(runs[i]) for i in found}, users


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


def _split(runs: list[Run], tables: Tables, users: Users, widths: grid.Widths) -> dict[int, Slots]:
    rows = [
        (i, u.node, u.pid, u.start_ticks, "beside" if owners.in_doubt(u, people) else u.cls)
        for i, people in users.items()
        for u in people
    ]
    schema = {"i": pl.Int64, "node": pl.String, "pid": pl.Int64, "start_ticks": pl.Int64, "cls": pl.String}
    classes = pl.DataFrame(rows, schema=schema, orient="row")
    kept = tables.kept
    sums = []
    for k in range(kept.n):
        uses = kept.get(k, "uses")
        marked = shares.classed(uses, like(classes, uses), tables.runs)
        cells = shares.split(kept.get(k, "cells"), marked, kept.get(k, "doubted"))
        kept.put(k, "divided", cells.select(DIVIDED))
        sums.append(grid.binned(cells, widths))
    return grid.slots_of(sums, widths, runs)

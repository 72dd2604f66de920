"""What is made of the rows for each window of a slice: tables that later sweeps go over, and what comes
together with the other slices'."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import polars as pl

from slurm_guard.audit import boards, fingerprint, gather, grid, hear, listed, mix, outside, owners, work
from slurm_guard.audit import unlisted as holders
from slurm_guard.audit.beats import SHAPE
from slurm_guard.audit.codes import coded, texts
from slurm_guard.audit.holds import GpuUser
from slurm_guard.audit.settled import Missed, or_nothing
from slurm_guard.audit.slices import Frames, Kept

Users = dict[int, list[GpuUser]]
# What later sweeps ask for; of a run of thousands of GPUs every column is a tenth of a gigabyte.
_CELLS = (
    *("i", "run", "node", "gpu", "model", "start_at", "end_at", "raw_start_at", "raw_end_at", "window"),
    *("cov", "active", "dyn", "cyc", "pipe", "bare", "level", "energy", "share", "idle"),
    *("shared", "n_own", "held_truncated"),
)
_USES = (
    *("i", "own", "window_run", "origin", "node", "gpu", "pid", "start_ticks", "start_at", "end_at"),
    *("uid", "holds", "sm_ms", "written_b", "stored_b", "read_b"),
)
_SAID = ("run", "node", "map", "procs_truncated", "why")
_NO_BARE = {"i": pl.Int64, "ints": pl.Float64, "dram": pl.Float64}


@dataclass(frozen=True, slots=True)
class Given:
    """What every slice is gleaned with. `keys`, `own`: run keys, and those of the runs that are measured;
    `told`: runs of which a ticket names the GPUs; `placed`: runs that hold a board, null: those seen here."""

    keys: pl.DataFrame
    own: pl.DataFrame
    runs: pl.DataFrame
    events: pl.DataFrame
    norms: work.Norms | None
    told: set[int]
    placed: set[int] | None


@dataclass(frozen=True, slots=True)
class Gleaned:
    """Of one slice, or of all. Names are texts."""

    windows: pl.DataFrame  # what windows say of themselves (_SAID), once
    refused: pl.DataFrame  # hear.counts_of those that contradict themselves
    good: pl.DataFrame  # … and of all others
    covered: pl.DataFrame  # hear.covered_of
    people: pl.DataFrame  # owners.process_facts
    models: pl.DataFrame  # (i, model)
    boards: pl.DataFrame  # boards.told_of
    lengths: pl.DataFrame  # grid.lengths_of
    memories: pl.DataFrame  # fingerprint.memories
    untold: pl.DataFrame  # listed.untold_of
    bare: pl.DataFrame  # mix.bare_of
    users: Users  # gather.users_of
    stints: tuple[outside.Stint, ...]
    unlisted: tuple[holders.Unlisted, ...]


def together(some: Sequence[Gleaned]) -> Gleaned:
    """Of all slices."""
    if len(some) == 1:
        return some[0]
    users: Users = {}
    for one in some:
        for i, mine in one.users.items():
            users.setdefault(i, []).extend(mine)
    names = [part.name for part in fields(Gleaned) if part.name not in ("users", "stints", "unlisted")]
    return Gleaned(
        **{name: pl.concat([getattr(one, name) for one in some]) for name in names},
        users={i: sorted(mine, key=gather.most_first) for i, mine in users.items()},
        stints=tuple(sorted((s for one in some for s in one.stints), key=outside.order)),
        unlisted=tuple(sorted((u for one in some for u in one.unlisted), key=holders.order)),
    )


def glean(k: int, rows: Frames, given: Given, kept: Kept, missed: Missed) -> Gleaned:
    """Of slice `k`: its wide tables and the processes of its nodes. Leaves `cells` before they are divided
    among processes, `uses`, `strange` (windows in which somebody unlisted could have worked), `doubted`
    (those whose work is perhaps not the run's) and `shapes` (beats.SHAPE of the windows)."""
    frames, codes = coded(rows, given.keys)
    rows.clear()
    own = codes.filter(pl.col("i").is_in(given.own["i"].unique().to_list()))
    good, refused = work.judgeable(frames["windows"])
    people = owners.process_facts(frames["processes"])
    uses = owners.uses(frames["shares"], people, codes).join(
        _rights(good), on=["node", "gpu", "start_at"], how="left", maintain_order="left"
    )
    cells = work.cells(good, own, given.runs, given.norms)
    strange = holders.strangers(frames["held"], people)
    kept.put(k, "cells", cells.select(_CELLS))
    kept.put(k, "uses", uses.select(_USES))
    kept.put(k, "strange", strange)
    kept.put(k, "doubted", holders.not_its_own(good, strange))
    kept.put(k, "shapes", good.select(SHAPE))
    placed = set(cells["i"].unique().to_list()) if given.placed is None else given.placed
    nothing = pl.DataFrame(schema=_NO_BARE)
    return Gleaned(
        texts(frames["windows"].select(_SAID).unique()),
        texts(hear.counts_of(refused)),
        texts(hear.counts_of(good)),
        texts(hear.covered_of(good)),
        texts(people),
        cells.select("i", "model").unique(),
        texts(boards.told_of(cells)),
        grid.lengths_of(cells),
        fingerprint.memories(uses),
        texts(listed.untold_of(uses)),
        or_nothing("mix of pipes", lambda: mix.bare_of(cells, good), nothing, missed),
        gather.users_of(uses, people),
        tuple(outside.stints(uses, good, given.runs, given.told, given.events)),
        tuple(holders.unlisted(frames, people, good, (codes, given.runs), given.told & placed)),
    )


def _rights(good: pl.DataFrame) -> pl.DataFrame:
    """Windows of GPUs that several runs hold by right, or of which it is in doubt who does; no others."""
    told = good.select(
        "node",
        "gpu",
        "start_at",
        pl.col("shared").fill_null(value=False).alias("window_shared"),
        (pl.col("map") == "contradicted").fill_null(value=False).alias("window_doubted"),
    ).filter(pl.col("window_shared") | pl.col("window_doubted"))
    return told.group_by("node", "gpu", "start_at").agg(pl.col("window_shared", "window_doubted").any())

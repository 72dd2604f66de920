"""The core of the ledger with the audit's own functions: `python -m bench.ledgers.in_polars LAKE GIVEN OUT`.

Nothing here reckons anything of the ledger: frames and runs are read, and handed to slurm_guard.audit in the
order in which night.measure, study.study and judge.judge do it.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import polars as pl

from bench.ledgers.figures import FIGURES
from bench.ledgers.night import WINDOW
from bench.ledgers.timed import say
from slurm_guard.audit import bounds, grid, ledger, owners, study, work
from slurm_guard.audit import split as shares
from slurm_guard.audit.blocks import (
    KNOWN,
    Fit,
    block_slots,
    blocks_of,
    channels_of,
    fit,
    kinds_per_slot,
    stretches,
    units_per_slot,
)
from slurm_guard.audit.bounds import Left
from slurm_guard.audit.codes import coded, like
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.ledger import Sums
from slurm_guard.audit.spans import Kind, Span
from slurm_guard.audit.study import Study
from slurm_guard.audit.track import Arc, Track
from slurm_guard.lake.scan import SPANS, day_of, files_of, scan
from slurm_guard.lake.schema import TABLES, empty
from slurm_guard.model import Account, Bounds, Run

# What the core needs of the lake. The audit's frames have every column: the others are null here.
NEEDED = {
    "windows": (
        *("cluster", "node", "run", "gpu", "model", "shared", "start_at", "end_at", "covered_ms"),
        *("energy_mj", "power_mw", "power_limit_mw", "power_q_mw", "busy_ms", "sm_cycles", "sm_clock_mhz"),
        *("sm_ms", "tensor_ms", "int_ms", "dram_ms", "mem_busy_ms"),
    ),
    "shares": (
        *("cluster", "node", "run", "window_run", "gpu", "start_at", "end_at", "pid", "start_ticks"),
        *("sm_ms", "holds"),
    ),
}


@dataclass(frozen=True, slots=True)
class Given:
    """The files that given.py left."""

    runs: list[Run]
    agreed: list[bool]
    frame: pl.DataFrame  # the runs as the audit joins them
    keys: pl.DataFrame
    people: pl.DataFrame
    classes: pl.DataFrame
    spans: Mapping[int, tuple[Span, ...]]
    tracks: Mapping[int, Track]


def rows_of(lake: Path, table: str) -> pl.DataFrame:
    """The night's rows of a table."""
    from_at, until_at = WINDOW
    first, last, slack_s = SPANS[table]
    paths = list(files_of(lake, table, (day_of(from_at - slack_s), day_of(until_at))))
    long_s = pl.col("end_at") - pl.col("start_at")
    keep = (pl.col(first) < until_at) & (pl.col(last) >= from_at) & long_s.is_between(0, 3600)
    others = [
        pl.lit(None, kind).alias(name) for name, kind in TABLES[table].items() if name not in NEEDED[table]
    ]
    return scan(table, paths).select(NEEDED[table]).filter(keep).with_columns(others).collect()


def read_given(folder: Path) -> Given:
    """From Parquet to what the audit's functions take."""
    table = {
        name: pl.read_parquet(folder / f"{name}.parquet") for name in ("runs", "keys", "people", "classes")
    }
    rows = table["runs"].sort("i").to_dicts()
    runs = [cast(Run, SimpleNamespace(**row, allocated_gpu_ms=row["allocated_ms"])) for row in rows]
    tiles: dict[int, list[Span]] = {}
    for i, a, b, kind in pl.read_parquet(folder / "spans.parquet").sort("i", "a").iter_rows():
        tiles.setdefault(i, []).append(Span(a, b, Kind(kind)))
    arcs: dict[int, list[Arc]] = {row["i"]: [] for row in rows}
    named: dict[int, list[float]] = {row["i"]: [] for row in rows}
    blur = {row["i"]: row["blur_s"] or 0.0 for row in rows}
    total = dict.fromkeys(arcs, 0.0)
    for i, _, a, b, units, is_named in (
        pl.read_parquet(folder / "arcs.parquet").sort("i", "place").iter_rows()
    ):
        # What the counter said is no part of the core: it goes on from arc to arc.
        arcs[i].append(Arc(a, b, units, None, total[i], blur[i]))
        total[i] += units
        if is_named:
            named[i].append((a + b) / 2)  # an end is the next arc's front
    tracks = {i: Track(arcs=tuple(mine), named_at=tuple(named[i])) for i, mine in arcs.items()}
    return Given(
        runs,
        [row["agreed"] for row in rows],
        table["runs"],
        table["keys"],
        table["people"],
        table["classes"],
        {i: tuple(mine) for i, mine in tiles.items()},
        tracks,
    )


def cells_of(lake: Path, given: Given) -> pl.DataFrame:
    """Cells of all runs, divided among the processes (night.measure, tables.tables_of)."""
    frames = {table: rows_of(lake, table) for table in NEEDED}
    frames, keys = coded({**frames, "held": empty("held"), "processes": given.people}, given.keys)
    good, _ = work.judgeable(frames["windows"])
    raw = work.cells(good, keys, given.frame)
    uses = owners.uses(frames["shares"], frames["processes"], keys)
    strange = pl.DataFrame(
        schema={"run": pl.String, "gpu": pl.String, "raw_start_at": pl.Float64, "strange": pl.Boolean}
    )
    return shares.split(raw, shares.classed(uses, like(given.classes, uses), given.frame), like(strange, raw))


@dataclass(frozen=True, slots=True)
class Studied:
    """One run's fits, without what the core leaves out of study.Study."""

    own: dict[str, Fit]
    left: Left


def studied(run: Run, slots: Slots, track: Track, tiles: tuple[Span, ...]) -> Studied:
    """θ in each channel and what it leaves over, as study.study has them."""
    kinds = kinds_per_slot(tiles, slots)
    units = units_per_slot(track, slots)
    piped = sum(slots.pipe_cov) >= KNOWN * sum(slots.cov) > 0
    parts = stretches(slots, units, kinds, (run.n_gpus, block_slots(track, slots, kinds)), track)
    columns = {"cycles": slots.own_cyc, "energy": slots.own_dyn, "busy": slots.own}
    channels = channels_of(slots, study._power_believed(slots, kinds))
    own = {channel: fit(blocks_of(parts, columns[channel])) for channel in channels}
    pipes = fit(blocks_of(parts, slots.pipe)) if piped else None
    return Studied(own, bounds.left_over(own, is_split=study._is_split(slots), pipes=pipes))


def figures_of(i: int, given: Given, slots: Slots, sums: Sums) -> tuple[Any, ...]:
    """One run's row: its accounts, U, θ and what is left over (judge.judge)."""
    run, track = given.runs[i], given.tracks[i]
    found = studied(run, slots, track, given.spans[i])
    accounts = ledger.balance(ledger.book(sums, (found.left.mid, found.left.wait), 0.0), run.allocated_gpu_ms)
    agreement = SimpleNamespace(agreement=SimpleNamespace(agreed=given.agreed[i]))
    facts = (run.allocated_gpu_ms, found.left if track.arcs else None)
    whole, _ = bounds.unexplained(cast(Study, agreement), sums, slots, (0.0, 0.0), facts)
    unexplained = _around(whole, accounts)
    thetas = [found.own[c].theta if c in found.own else None for c in ("cycles", "energy", "busy")]
    best = next((theta for theta in thetas if theta is not None), None)
    return (
        i,
        *(accounts[a.value] for a in Account),
        unexplained.lo_gpu_ms,
        unexplained.mid_gpu_ms,
        unexplained.hi_gpu_ms,
        *(None if theta is None else theta.value for theta in thetas),
        None if best is None else best.rel_error,
        0 if best is None else best.n,
        *(found.left.lo, found.left.mid, found.left.hi, found.left.wait),
    )


def _around(whole: Bounds, accounts: dict[str, int]) -> Bounds:
    from slurm_guard.audit.judge import _around as around

    return around(whole, accounts)


def compute(lake: Path, given: Given) -> pl.DataFrame:
    """The figures of every run."""
    cells = cells_of(lake, given)
    slots = grid.grids(cells, given.runs)
    sums = ledger.tally(cells, given.spans)
    rows = [
        figures_of(i, given, slots.get(i) or grid.nothing(run), sums.get(i, Sums()))
        for i, run in enumerate(given.runs)
    ]
    return pl.DataFrame(rows, schema=FIGURES, orient="row")


def write(lake: Path, folder: Path, out: Path) -> None:
    """Read, compute, write."""
    compute(lake, read_given(folder)).write_parquet(out / "figures.parquet")


def scan_only(lake: Path) -> None:
    """The floor: the needed columns of the lake, and nothing done with them."""
    for table in NEEDED:
        rows_of(lake, table)


def main(lake: str, folder: str, out: str) -> None:
    """Compute and say what it took; with `--floor` in the place of a folder, only read."""
    work = (
        partial(scan_only, Path(lake))
        if out == "--floor"
        else partial(write, *map(Path, (lake, folder, out)))
    )
    say(work)


if __name__ == "__main__":
    main(*sys.argv[1:4])

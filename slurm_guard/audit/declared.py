"""What the owner declared before the outcome was known: the prolog's copy, and edits since then."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from slurm_guard.model import Run

TEXTS = ("comment", "extra")


@dataclass(frozen=True, slots=True)
class Declared:
    """The prolog's copy of a run's texts; `edited`: those that read otherwise at the end or in accounting."""

    comment: str | None
    extra: str | None
    edited: tuple[str, ...] = ()


def declared(runs: list[Run], keys: pl.DataFrame, frames: Mapping[str, pl.DataFrame]) -> dict[int, Declared]:
    """Per run with a ticket; of several nodes the first ticket's words hold."""
    tickets = (
        frames["tickets"]
        .join(keys.select("run", "i"), on="run")
        .sort("i", "at", "run")
        .unique("i", keep="first", maintain_order=True)
    )
    ends = frames["ends"].join(keys.select("run", "i"), on="run").sort("i", "at", "run")
    last = {row["i"]: row for row in ends.iter_rows(named=True)}
    return {row["i"]: _of(row, last.get(row["i"]), runs[row["i"]]) for row in tickets.iter_rows(named=True)}


def _of(ticket: dict[str, object], end: dict[str, object] | None, run: Run) -> Declared:
    told = {name: None if ticket[name] is None else str(ticket[name]) for name in TEXTS}
    later = [] if end is None else [{name: end[name] for name in TEXTS}]
    # Accounting keeps the texts only where AccountingStoreFlags says so: nothing there says nothing.
    later.append({name: kept for name in TEXTS if (kept := getattr(run, name)) is not None})
    edited = [name for name in TEXTS if any(name in texts and texts[name] != told[name] for texts in later)]
    return Declared(told["comment"], told["extra"], tuple(edited))


def as_told(run: Run, told: Declared | None) -> Run:
    """The run with the prolog's words in the place of accounting's; without a ticket accounting's stay."""
    return run if told is None else replace(run, comment=told.comment, extra=told.extra)

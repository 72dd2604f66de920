"""The ledger: every millisecond of an allocation in exactly one account (law 2).

Cells are cut at the edges of the run's spans, summed as whole microseconds (so that order and threads cannot
matter), booked, and rounded once per run to milliseconds that sum to what Slurm charged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from slurm_guard.audit.spans import Kind, Span
from slurm_guard.model import Account

PARTS = ("cov", "blind", "own", "stray", "foreign")
EXPLAINS: dict[Kind, Account] = {
    Kind.STARTUP: Account.PHASE,
    Kind.SLOW_START: Account.RESIDUAL,
    Kind.TRAIN: Account.PROGRESS,
    Kind.MARKED: Account.PHASE,
    Kind.OVERLONG: Account.RESIDUAL,
    Kind.RECURRING: Account.PHASE,
    Kind.PAUSE: Account.PHASE,
    Kind.SILENT: Account.RESIDUAL,
    Kind.WAIT: Account.WAIT,
    Kind.TAIL: Account.PHASE,
    Kind.NONE: Account.RESIDUAL,
}


@dataclass(frozen=True, slots=True)
class Sums:
    """GPU-microseconds of one run by kind of span: kind -> part -> µs."""

    of: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def get(self, kind: Kind, part: str) -> int:
        """µs of one part in one kind of span."""
        return self.of.get(kind.value, {}).get(part, 0)

    def total(self, part: str) -> int:
        """µs of one part over the run."""
        return sum(parts[part] for parts in self.of.values())


def tally(cells: pl.DataFrame, spans: Mapping[int, tuple[Span, ...]]) -> dict[int, Sums]:
    """Sums of every run that has a cell inside its spans."""
    tiles = [(i, s.from_at, s.until_at, s.kind.value) for i, tile in spans.items() for s in tile]
    schema = {"i": pl.Int64, "a": pl.Float64, "b": pl.Float64, "kind": pl.String}
    pieces = (
        cells.select("i", "start_at", "end_at", "cov", "active", "own", "stray", "foreign")
        .join(pl.DataFrame(tiles, schema=schema, orient="row"), on="i")
        .with_columns(
            (pl.min_horizontal("end_at", "b") - pl.max_horizontal("start_at", "a")).alias("both"),
            (pl.col("end_at") - pl.col("start_at")).alias("long"),
        )
        .filter(pl.col("both") > 0)
    )
    part = pl.col("both") / pl.col("long")
    blind = pl.when(pl.col("active").is_null()).then(pl.col("cov")).otherwise(0.0)
    values = {"cov": pl.col("cov"), "blind": blind, **{c: pl.col(c).fill_null(0.0) for c in PARTS[2:]}}
    sums = (
        pieces.group_by("i", "kind")
        .agg(*[(v * part * 1000 + 0.5).floor().cast(pl.Int64).sum().alias(n) for n, v in values.items()])
        .sort("i", "kind")
    )
    found: dict[int, dict[str, dict[str, int]]] = {}
    for row in sums.iter_rows(named=True):
        found.setdefault(row["i"], {})[row["kind"]] = {name: row[name] for name in PARTS}
    return {i: Sums(kinds) for i, kinds in found.items()}


def book(sums: Sums, left: tuple[float, float], denied: float) -> dict[Account, float]:
    """µs per account before rounding; of training work the share `left[0]` is residual and `left[1]` waiting,
    `denied` of what is credited is contradiction."""
    residual, wait = left
    books = dict.fromkeys(Account, 0.0)
    for name, parts in sums.of.items():
        kind = Kind(name)
        own = parts["own"]
        books[Account.IDLE] += max(0, parts["cov"] - parts["blind"] - own - parts["stray"] - parts["foreign"])
        books[Account.FOREIGN] += parts["foreign"]
        books[Account.RESIDUAL] += parts["stray"]
        if kind is Kind.TRAIN:
            books[Account.RESIDUAL] += own * residual
            books[Account.WAIT] += own * wait
            credited = own * (1.0 - residual - wait)
            books[Account.CONTRADICTION] += credited * denied
            books[Account.PROGRESS] += credited * (1.0 - denied)
        else:
            books[EXPLAINS[kind]] += own
    return books


def balance(books: Mapping[Account, float], allocated_gpu_ms: int) -> dict[str, int]:
    """Whole GPU-ms per account that sum to the allocation exactly.

    What is missing is unobserved. More than the allocation (rounding of Slurm's seconds, suspended time) is
    scaled down in proportion. Remainders go to the accounts that lost most, ties in the accounts' order.
    """
    seen: dict[Account, float] = {
        a: max(0.0, books.get(a, 0.0)) / 1000 for a in Account if a is not Account.UNOBSERVED
    }
    total = sum(seen.values())
    if total > allocated_gpu_ms:
        seen = {a: v * allocated_gpu_ms / total for a, v in seen.items()}
    seen[Account.UNOBSERVED] = max(0.0, allocated_gpu_ms - sum(seen.values()))
    whole = {a: int(seen[a]) for a in Account}
    left = allocated_gpu_ms - sum(whole.values())
    order = sorted(Account, key=lambda a: -(seen[a] - whole[a]))  # stable: ties keep the enum's order
    for k in range(left):
        whole[order[k % len(order)]] += 1
    while sum(whole.values()) > allocated_gpu_ms:  # float sums may be one millisecond over
        whole[max(Account, key=lambda a: whole[a])] -= 1
    return {a.value: whole[a] for a in Account}

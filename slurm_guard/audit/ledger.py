"""The ledger: every millisecond of an allocation in exactly one account (law 2).

Cells are cut at the edges of the run's spans, summed as whole microseconds (so that order and threads cannot
matter), booked, and rounded once per run to milliseconds that sum to what Slurm charged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

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


def tally(
    cells: pl.DataFrame | Iterable[pl.DataFrame], spans: Mapping[int, tuple[Span, ...]]
) -> dict[int, Sums]:
    """Sums of every run that has a cell inside its spans, which follow each other without a hole. `cells`:
    all, or those of some nodes each."""
    tiles = _tiles(spans)
    parts = [_tallied(some, tiles) for some in ([cells] if isinstance(cells, pl.DataFrame) else cells)]
    sums = pl.concat(parts).group_by("i", "kind").agg(pl.col(PARTS).sum()).sort("i", "kind")
    found: dict[int, dict[str, dict[str, int]]] = {}
    for row in sums.iter_rows(named=True):
        found.setdefault(row["i"], {})[row["kind"]] = {name: row[name] for name in PARTS}
    return {i: Sums(kinds) for i, kinds in found.items()}


def _tallied(cells: pl.DataFrame, tiles: pl.DataFrame) -> pl.DataFrame:
    """µs by run and kind."""
    columns = ("i", "start_at", "end_at", "cov", "active", "own", "stray", "foreign")
    met = _met(cells.select(columns), tiles)
    pieces = pl.concat([met, tiles.select(pl.col("a", "b").gather(met["tile"]))], how="horizontal")
    pieces = pieces.with_columns(
        (pl.min_horizontal("end_at", "b") - pl.max_horizontal("start_at", "a")).alias("both"),
        (pl.col("end_at") - pl.col("start_at")).alias("long"),
    ).filter(pl.col("both") > 0)
    part = pl.col("both") / pl.col("long")
    blind = pl.when(pl.col("active").is_null()).then(pl.col("cov")).otherwise(0.0)
    values = {"cov": pl.col("cov"), "blind": blind, **{c: pl.col(c).fill_null(0.0) for c in PARTS[2:]}}
    return (
        pieces.group_by("tile")
        .agg(*[(v * part * 1000 + 0.5).floor().cast(pl.Int64).sum().alias(n) for n, v in values.items()])
        .join(tiles.select("tile", "i", "kind"), on="tile")
        .group_by("i", "kind")
        .agg(pl.col(PARTS).sum())
    )


def _tiles(spans: Mapping[int, tuple[Span, ...]]) -> pl.DataFrame:
    """The spans of all runs, numbered. `begin`: from when on a cell is of it, or of a later one."""
    rows = [
        (i, s.from_at if k else -inf, s.from_at, s.until_at, s.kind.value)
        for i, mine in spans.items()
        for k, s in enumerate(mine)
    ]
    schema = {"i": pl.Int64, "begin": pl.Float64, "a": pl.Float64, "b": pl.Float64, "kind": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_row_index("tile")


def _met(cells: pl.DataFrame, tiles: pl.DataFrame) -> pl.DataFrame:
    """Each cell once for each tile of its run from the one that it begins in to the one that it ends in.
    Every cell beside every tile would be thousands of rows for each of a long run's."""
    begins = tiles.select("i", "begin", "tile").sort("begin", maintain_order=True)

    def at(rows: pl.DataFrame, edge: str, *, exact: bool) -> pl.DataFrame:
        """With the last tile that begins before the edge; `exact`: or at it."""
        theirs = begins.rename({"tile": f"tile_{edge}", "begin": edge})
        return rows.sort(edge).join_asof(
            theirs, on=edge, by="i", allow_exact_matches=exact, check_sortedness=False
        )

    met = at(at(cells, "start_at", exact=True), "end_at", exact=False).drop_nulls("tile_end_at")
    first, last = pl.col("tile_start_at"), pl.col("tile_end_at")
    return (
        met.with_columns(pl.int_ranges(first, last + 1, dtype=pl.UInt32).alias("tile"))
        .drop("tile_start_at", "tile_end_at")
        .explode("tile", empty_as_null=False)
    )


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

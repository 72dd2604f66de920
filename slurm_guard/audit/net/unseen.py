"""What nodes could not tell of connections: bytes, and whose many short, nearly empty ones were.

It is said of the node, and beside each run that was there. It is held against nobody: of what nobody can be
named for, any run on the node may have made all or none, and the node's own services too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.net.briefs import EMPTY_B, LEAST_PLACES
from slurm_guard.model import Run

MOST = 3  # told of one run. Judgement
_HOUR_S = 3600.0
_UNCOUNTED = "flows-uncounted"
_REASONS = {
    "kernel": "the kernel tells no bytes of connections",
    "text": "connections are read from text tables, without bytes",
    "namespace": "in a network namespace of the run's connections are told without bytes",
}
_OF_NODE = ("kernel", "text")
_CUT = (
    "the look at the network before the run was cut: which listeners and connections of the owner's are new "
    "after it is not known"
)


@dataclass(frozen=True, slots=True)
class Unseen:
    """One thing that a node could not tell, from `first_at` to `last_at`."""

    node: str
    first_at: float
    last_at: float
    text: str


def unseen_of(
    runs: list[Run], keys: pl.DataFrame, frames: Mapping[str, pl.DataFrame]
) -> dict[int, tuple[Unseen, ...]]:
    """Of each run what was not to be told while it was on the node; at most MOST."""
    found: dict[int, list[Unseen]] = {}
    cut = _cut(frames).join(keys.select("run", "i"), on="run").sort("i", "node")
    for i, node in cut.select("i", "node").iter_rows():
        found.setdefault(i, []).append(Unseen(node, runs[i].start_at, runs[i].start_at, _CUT))
    told = _uncounted(frames).join(keys.select("run", "i"), on="run").sort("i", "at", "node")
    for row in told.iter_rows(named=True):
        text = f"{_REASONS[row['reason']]}: whether bytes were handed on is not known"
        at = runs[row["i"]].start_at
        found.setdefault(row["i"], []).append(Unseen(row["node"], at, max(at, row["at"]), text))
    nameless = _nameless(frames)
    for i, run in enumerate(runs):
        until = run.until_at
        for node in run.nodes:
            some = [one for one in nameless.get(node, ()) if one.first_at <= until]
            found.setdefault(i, []).extend(one for one in some if one.last_at >= run.start_at)
    return {i: tuple(parts[:MOST]) for i, parts in found.items() if parts}


def remarks(frames: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """Of each node, in a few words."""
    found: dict[str, list[str]] = {}
    told = _uncounted(frames).filter(pl.col("reason").is_in(_OF_NODE)).select("node", "reason").unique()
    for node, reason in told.sort("node", "reason").iter_rows():
        found.setdefault(node, []).append(f"{_REASONS[reason]}: no tunnel can be told")
    for node, parts in sorted(_nameless(frames).items()):
        found.setdefault(node, []).append(parts[0].text)
    return {node: "; ".join(parts) for node, parts in found.items()}


def _cut(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """(run, node) of runs before which not every socket of the node was listed, and after which some were."""
    whole = pl.col("net").str.json_path_match("$.truncated")
    before = frames["tickets"].filter((whole == "true").fill_null(value=False))
    after = frames["ends"].filter(pl.col("net").is_not_null())
    return before.select("run", "node").unique().join(after.select("run").unique(), on="run", how="semi")


def _uncounted(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """(node, run, at, reason) where no bytes were told."""
    rows = frames["events"].filter((pl.col("name") == _UNCOUNTED) & pl.col("at").is_finite())
    reasons = [_reason(detail) for detail in rows["detail"].to_list()]
    said = rows.select("node", "run", "at").with_columns(pl.Series("reason", reasons, pl.String))
    return said.filter(pl.col("reason").is_not_null() & pl.col("node").is_not_null())


def _reason(detail: str | None) -> str | None:
    """Null: none that is known."""
    try:
        said = json.loads(detail or "")
    except ValueError:
        return None
    reason = said.get("reason") if isinstance(said, dict) else None
    return reason if isinstance(reason, str) and reason in _REASONS else None


def _nameless(frames: Mapping[str, pl.DataFrame]) -> dict[str, list[Unseen]]:
    """What looks like a scan and is nobody's, by node and hour, the largest first."""
    first, last = pl.col("first_seen_at"), pl.col("last_seen_at")
    rows = frames["briefs"].filter(
        pl.col("run").is_null()
        & pl.col("node").is_not_null()
        & (first.is_finite() & last.is_finite() & (last >= first))
        & (pl.col("n_places") >= LEAST_PLACES)
        & (pl.col("in_b") <= EMPTY_B * pl.col("n"))
    )
    hours = (
        rows.group_by("node", (first / _HOUR_S).floor().alias("hour"))
        .agg(pl.col("n").sum(), pl.col("n_places").max(), first.min(), last.max())
        .sort("node", "n", "hour", descending=[False, True, False])
    )
    found: dict[str, list[Unseen]] = {}
    for row in hours.iter_rows(named=True):
        n, n_places = row["n"], row["n_places"]
        text = f"whose about {n:,} short connections to {n_places:,} places or more were is not known"
        parts = found.setdefault(row["node"], [])
        if len(parts) < MOST:
            parts.append(Unseen(row["node"], row["first_seen_at"], row["last_seen_at"], text))
    return found

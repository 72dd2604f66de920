"""Connections that nobody followed one by one, as the nodes counted them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from slurm_guard.audit.net.policy import SITE, Ground
from slurm_guard.networks import OUTSIDE

MOST_BRIEFS = 10_000  # rows of one run; a node writes at most a few a minute. Judgement
ALONE = "alone"
LEAST_PLACES, EMPTY_B = 100, 512  # of a scan: places, and bytes that each probe receives (scans.py)


@dataclass(frozen=True, slots=True)
class BriefPlace:
    """Connections to one far end. `near`, `inside`, `allowed` as of a Flow."""

    peer: str
    n: int
    n_failed: int
    out_b: int
    in_b: int
    near: int | None
    inside: bool
    allowed: str | None

    @property
    def goes_out(self) -> bool:
        """To outside."""
        return self.near == OUTSIDE and not self.inside


@dataclass(frozen=True, slots=True)
class Brief:
    """One record. `is_sure`: the connections are the run's; else no other user was on the node, and they may
    be the node's own services'. `places`: those that are listed, of `n_places`."""

    node: str
    exe: str | None
    pid: int | None
    is_sure: bool
    first_at: float
    last_at: float
    n: int
    n_addresses: int
    n_places: int
    n_unheard: int
    places: tuple[BriefPlace, ...]

    def grown(self, n_listed: int, n_all: int) -> int:
        """So many of the listed places as there would be of all: the listed ones stand for the others."""
        return round(n_all * n_listed / len(self.places)) if self.places else 0


def last_briefs(rows: pl.DataFrame) -> dict[int, pl.DataFrame]:
    """The rows of each run (`i`), in the order in which they were written."""
    first, last = pl.col("first_seen_at"), pl.col("last_seen_at")
    sound = rows.filter(first.is_finite() & last.is_finite() & (last >= first))
    order = ["i", "first_seen_at", "node", "how", "netns", "last_seen_at", "n", "pid"]
    ordered = sound.sort(order, nulls_last=True).unique(maintain_order=True)
    kept = ordered.group_by("i", maintain_order=True).head(MOST_BRIEFS)
    return {int(key[0]): part for key, part in kept.partition_by("i", as_dict=True).items()}


def briefs_of(frame: pl.DataFrame | None, ground: Ground) -> Iterator[Brief]:
    """Each with its places' whereabouts; amounts are never negative."""
    for row in () if frame is None else frame.iter_rows(named=True):
        yield Brief(
            row["node"],
            row["exe"],
            row["pid"],
            row["how"] is not None and row["how"] != ALONE,
            row["first_seen_at"],
            row["last_seen_at"],
            _count(row, "n"),
            _count(row, "n_addresses"),
            _count(row, "n_places"),
            _count(row, "n_unheard"),
            tuple(_places(row, ground)),
        )


def _places(row: Mapping[str, Any], ground: Ground) -> Iterator[BriefPlace]:
    lists = [row[name] or () for name in ("peer", "peer_n", "peer_failed", "peer_out_b", "peer_in_b")]
    for peer, *counts in zip(*lists, strict=False):
        if peer is None:
            continue
        n, n_failed, out_b, in_b = (max(0, count or 0) for count in counts)
        allowed = SITE if ground.tunnel(peer, row["exe"]) else ground.egress(peer)
        near = ground.near(row["node"], peer)
        yield BriefPlace(peer, n, n_failed, out_b, in_b, near, ground.inside(peer), allowed)


def _count(row: Mapping[str, Any], name: str) -> int:
    return max(0, row[name] or 0)

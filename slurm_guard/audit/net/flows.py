"""A run's connections and relays as plain values: the last word on each, whatever order they came in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from slurm_guard.audit.net.briefs import last_briefs
from slurm_guard.audit.net.policy import Addresses
from slurm_guard.networks import parse_place

# Connections of one run that are looked at one by one, the longest first. Judgement: a node follows hundreds.
MOST_FLOWS = 20_000
MOST_RELAYS = 2_000  # rows; judgement
LOOK_S = 10.0  # between a node's looks at sockets. Documented: node.table_interval_s unless it is set
KEEP_B_S = 26.0  # keep-alives. Documented: a node calls a look with less than 256 bytes quiet
_LISTEN = "LISTEN"
# What tells one connection of a stream from another: the kernel's cookie, else inode and ends.
_ID = ("run", "proto", "cookie", "old_inode", "old_local", "old_peer")


@dataclass(frozen=True, slots=True)
class FlowWord:
    """The last word on one connection. Null: not observed."""

    node: str
    pid: int | None
    exe: str | None
    local: str
    peer: str
    opened: bool | None
    out_b: int | None
    in_b: int | None
    first_at: float
    last_at: float
    gone: bool
    counted: bool  # the last word had bytes of both ways; else they are the least that moved

    @property
    def age_s(self) -> float:
        """How long it was seen."""
        return self.last_at - self.first_at


@dataclass(frozen=True, slots=True)
class RelayWord:
    """The last word on one relay, as in wire.RelaySeen; bytes are never negative."""

    node: str
    pids: tuple[int, ...]
    exe: str | None
    outer_peer: str
    outer_opened: bool | None
    inner_local: str
    inner_peer: str
    inner_opened: bool | None
    n_inner: int
    outer_in_b: int
    outer_out_b: int
    inner_in_b: int
    inner_out_b: int
    coupled_in_b: int
    coupled_out_b: int
    n_busy: int
    n_coupled: int
    first_at: float
    last_at: float
    peak: float = 0.0  # highest share that any word on it had
    led: bool | None = None  # whether the far end asks, as the node saw; null: it did not say

    @property
    def passed(self) -> tuple[int, int]:
        """What was handed on inwards and outwards: never more than either side had, whatever was told."""
        return (
            min(self.coupled_in_b, self.outer_in_b, self.inner_out_b),
            min(self.coupled_out_b, self.outer_out_b, self.inner_in_b),
        )

    @property
    def look_s(self) -> float:
        """Between looks: as documented, or as close as they must have been."""
        return min(LOOK_S, (self.last_at - self.first_at) / max(1, self.n_busy))

    @property
    def busier(self) -> tuple[int, int]:
        """What moved on the busier side, each way, less keep-alives of looks in which nothing else moved."""
        quiet_s = max(0.0, self.last_at - self.first_at - self.look_s * self.n_busy)
        kept = int(min(KEEP_B_S * quiet_s, 2.0**62))
        into, out = self.passed
        return (
            max(into, max(self.outer_in_b, self.inner_out_b) - kept),
            max(out, max(self.outer_out_b, self.inner_in_b) - kept),
        )

    @property
    def share(self) -> float:
        """Of what moved on the busier side, how much was handed on, in the weaker direction."""
        return weaker_share(self.passed, self.busier)


def weaker_share(parts: tuple[int, int], wholes: tuple[int, int]) -> float:
    """The smaller of two shares; of nothing it is none."""
    return min(part / whole if whole > 0 else 0.0 for part, whole in zip(parts, wholes, strict=True))


@dataclass(frozen=True, slots=True)
class Words:
    """The night's connections and relays by run (its place in the audit's list), still as frames."""

    flows: Mapping[int, pl.DataFrame]
    relays: Mapping[int, pl.DataFrame]
    briefs: Mapping[int, pl.DataFrame]
    left_out: Mapping[int, int]  # connections beyond MOST_FLOWS
    cut: frozenset[int]  # runs of which the sampler itself followed too few
    own: Mapping[str, Addresses]

    def flows_of(self, i: int) -> Iterator[FlowWord]:
        """Longest first."""
        frame = self.flows.get(i)
        for row in () if frame is None else frame.iter_rows(named=True):
            yield FlowWord(**row)

    def relays_of(self, i: int) -> list[RelayWord]:
        """In order of first sight."""
        frame = self.relays.get(i)
        said: dict[tuple[Any, ...], list[RelayWord]] = {}
        for row in () if frame is None else frame.iter_rows(named=True):
            key = (row["node"], row["run"], row["outer_cookie"] or row["outer_local"], row["outer_peer"])
            said.setdefault(key, []).append(_relay(row))
        found = [
            replace(parts[-1], first_at=min(w.first_at for w in parts), peak=max(w.share for w in parts))
            for parts in said.values()
        ]
        return sorted(
            found, key=lambda r: (r.first_at, r.node, r.pids, r.outer_peer, r.inner_peer, r.last_at)
        )


def words(frames: Mapping[str, pl.DataFrame], keys: pl.DataFrame) -> Words:
    """The last word on every connection and relay of every run in `keys`."""
    mine = keys.select("run", "i")
    found = _flows(frames["flows"].join(mine, on="run"))
    counts = found.group_by("i").len()
    events = frames["events"].filter(pl.col("name").is_in(["flows-truncated", "relays-truncated"]))
    kept = found.group_by("i", maintain_order=True).head(MOST_FLOWS)
    return Words(
        _parts(kept),
        _parts(_relays(frames["relays"].join(mine, on="run"))),
        last_briefs(frames["briefs"].join(mine, on="run")),
        {int(i): n - MOST_FLOWS for i, n in counts.iter_rows() if n > MOST_FLOWS},
        frozenset(events.join(mine, on="run")["i"].to_list()),
        own_addresses(frames["flows"]),
    )


def _parts(frame: pl.DataFrame) -> dict[int, pl.DataFrame]:
    parts = frame.partition_by("i", as_dict=True, include_key=False)
    return {int(key[0]): part for key, part in parts.items()}


def _sound() -> pl.Expr:
    """Times that are times."""
    first, last = pl.col("first_seen_at"), pl.col("last_seen_at")
    return first.is_finite() & last.is_finite() & (last >= first)


def _flows(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a connection. Counters only grow, so the highest holds; who opened it: once seen, it is so."""
    without = pl.col("cookie").is_null()
    told = rows.filter(_sound() & (pl.col("state").fill_null("") != _LISTEN)).with_columns(
        pl.when(without).then("inode").alias("old_inode"),
        pl.when(without).then("local").alias("old_local"),
        pl.when(without).then("peer").alias("old_peer"),
    )
    order = ["last_seen_at", "gone", "first_seen_at", "pid", "exe", "local", "peer", "out_b", "in_b"]
    return (
        told.sort("i", *_ID, *order, nulls_last=True)
        .group_by("i", *_ID, maintain_order=True)
        .agg(
            pl.col("node").first(),
            pl.col("pid").drop_nulls().last(),
            pl.col("exe").drop_nulls().last(),
            pl.col("local").drop_nulls().last().fill_null(""),
            pl.col("peer").drop_nulls().last().fill_null(""),
            pl.col("opened").max(),
            *(pl.col(name).filter(pl.col(name) >= 0).max() for name in ("out_b", "in_b")),
            pl.col("first_seen_at").min().alias("first_at"),
            pl.col("last_seen_at").max().alias("last_at"),
            pl.col("gone").any(),
            (pl.col("out_b").last() >= 0).fill_null(value=False).alias("counted_out"),
            (pl.col("in_b").last() >= 0).fill_null(value=False).alias("counted_in"),
        )
        .with_columns((pl.col("counted_out") & pl.col("counted_in")).alias("counted"))
        .drop("counted_out", "counted_in")
        .drop(_ID)
        .with_columns((pl.col("last_at") - pl.col("first_at")).alias("age"))
        .sort(
            "i",
            "age",
            "first_at",
            "node",
            "pid",
            "local",
            "peer",
            "out_b",
            "in_b",
            descending=[False, True, *[False] * 7],
            nulls_last=True,
        )
        .drop("age")
    )


def _relays(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in the order in which they were said."""
    scalar = [name for name, kind in rows.schema.items() if not kind.is_nested()]
    first = ["i", "last_seen_at", "gone", "first_seen_at"]
    order = [*first, *(name for name in sorted(scalar) if name not in first)]
    return (
        rows.filter(_sound())
        .sort(order, nulls_last=True)
        .group_by("i", maintain_order=True)
        .tail(MOST_RELAYS)
    )


def _relay(row: dict[str, Any]) -> RelayWord:
    def count(name: str) -> int:
        return max(0, row[name] or 0)

    return RelayWord(
        row["node"],
        tuple(pid for pid in row["pids"] or () if pid is not None)[:8],
        row["exe"],
        row["outer_peer"] or "",
        row["outer_opened"],
        row["inner_local"] or "",
        row["inner_peer"] or "",
        # Nobody's direction where nobody is known: strangers' short connections may have been counted.
        None if row["inner_owned"] is False else row["inner_opened"],
        count("n_inner"),
        count("outer_in_b"),
        count("outer_out_b"),
        count("inner_in_b"),
        count("inner_out_b"),
        count("coupled_in_b"),
        count("coupled_out_b"),
        count("n_busy"),
        count("n_coupled"),
        row["first_seen_at"],
        row["last_seen_at"],
        led=row["led"],
    )


def own_addresses(flows: pl.DataFrame) -> dict[str, Addresses]:
    """Each node's addresses: the near ends of its connections in its own network namespace.

    Not those of listeners, datagram sockets or other namespaces: a job may name any address there.
    """
    tcp = pl.col("proto").is_in(["tcp", "tcp6"]) & (pl.col("state").fill_null("") != _LISTEN)
    live = flows.filter(pl.col("netns").is_null() & tcp)
    hosts = live.select("node", pl.col("local").str.replace(r":\d+$", "").alias("host")).drop_nulls().unique()
    found: dict[str, set[tuple[int, int]]] = {}
    for node, host in hosts.iter_rows():
        try:
            place = parse_place(f"{host}:0")
        except ValueError:
            continue
        if place.address:
            found.setdefault(node, set()).add((place.bits, place.address))
    return {node: frozenset(addresses) for node, addresses in found.items()}

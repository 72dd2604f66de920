"""The cost of one unit of progress from comparable runs of earlier nights, with how far a further run may lie
from them (docs/method.md, section 5).

Extra work can only add to what a run cost, so what its peers needed is the *cheap mode over runs*: the lowest
level that enough runs of enough nights and users share. Nobody can move it alone: each run counts once, each
user for a few runs at most and for no more than half of what the others count, and runs that something spoke
against do not count at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import exp, sqrt
from statistics import median

import polars as pl

from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.runmode import (
    LEAST_RUNS,
    LEAST_SPREAD,
    MOST_SPREAD,
    OWN,
    PEERS,
    SPREAD,
    VOICE,
    WHOLE,
    Mode,
    Sample,
    cheap_mode,
)

RIGHT, WRONG = "right", "wrong"  # a person's word on what was held against an earlier run

# What may vouch for others. Judgement, all of them.
LEAST_COVERAGE_PCT = 80.0
MOST_HIDDEN = 0.15  # of its training work left open by its own upper bound
MOST_ERROR = 0.05  # of its own cost
LEAST_BLOCKS = 8

# Runs of the same command whose processes hold the same memory, give or take this, are taken to have the same
# model, batch and length of sequences. Judgement: a fragmented heap differs by a few percent.
MEMORY = 0.10
MOSTLY = 0.6  # of the runs must lie in the cheap mode: else they cost different amounts themselves

PRIOR_RUNS = 4.0  # runs that each wider level counts as. Judgement.
LEVEL_RUNS = 30  # … and at most so many of its own: a narrower level is heard. Judgement.

KEY = ("settings", "gpu_model", "n_gpus", "n_nodes", "source", "unit")
Key = tuple[str, str, int, int, str, str]


@dataclass(frozen=True, slots=True)
class PeerCost:
    """Cost of one unit in one channel; `error` is relative, of one further run of them (one sigma)."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Peers:
    """Comparable runs, and what they cost. `costs` by channel; numbers are those of the cheap mode."""

    kind: str  # PEERS: of several other users; OWN: of the user herself
    costs: Mapping[str, PeerCost]
    n_runs: int
    n_nights: int
    n_users: int
    n_others: int  # comparable runs that cost more, or may not vouch
    is_mixed: bool  # they cost different amounts themselves
    mem_mib: int | None
    cleared: Mapping[str, float]  # channel -> the highest cost that a person found right


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of comparable runs, for one audit."""

    samples: Mapping[tuple[Key, str], tuple[Sample, ...]] = field(default_factory=dict)
    refused: Mapping[tuple[Key, str], int] = field(default_factory=dict)  # runs that may not vouch
    # (level, its name, channel) -> relative deviations of runs from the middle of their fingerprint
    spreads: Mapping[tuple[str, str, str], tuple[float, int]] = field(default_factory=dict)


NO_PAST = Past()


def key_of(print_: Fingerprint) -> Key | None:
    """What must be equal; null: nothing tells the run's settings."""
    if print_.settings is None:
        return None
    return (
        print_.settings, print_.gpu_model, print_.n_gpus, print_.n_nodes, print_.source, print_.unit,
    )  # fmt: skip


def recall(
    rows: pl.DataFrame | None, prints: Iterable[Fingerprint], said: Mapping[str, str] | None = None
) -> Past:
    """The part of the history (rows of history.PastCost) that speaks of these fingerprints. Order and
    repetition of rows do not matter.

    `said`: what a person found of an earlier run: `right` (what the audit held against it was so: it vouches
    for nobody) or `wrong` (it was not: its cost is an honest one, whatever was found).
    """
    keys = {key for p in prints if (key := key_of(p)) is not None}
    if rows is None or rows.is_empty() or not keys:
        return NO_PAST
    told = rows.filter(pl.col("settings").is_not_null()).with_columns(
        pl.col("run").replace_strict(dict(said or {}), default=None, return_dtype=pl.String).alias("said")
    )
    cleared = (pl.col("said") == WRONG).fill_null(value=False)
    usable = (
        (cleared | (pl.col("trust").is_in(list(VOICE)) & (pl.col("families") == "")))
        & (pl.col("said") != RIGHT).fill_null(value=True)
        & ~pl.col("is_split")
        & (pl.col("coverage_pct") >= LEAST_COVERAGE_PCT)
        & (pl.col("hidden_share") <= MOST_HIDDEN)
        & (pl.col("rel_error") <= MOST_ERROR)
        & (pl.col("n_blocks") >= LEAST_BLOCKS)
        & (pl.col("theta") > 0)
    ).fill_null(value=False)
    told = told.with_columns(
        usable.alias("usable"), cleared.alias("is_cleared"), (pl.col("is_dear") & ~cleared).alias("is_dear")
    )
    runs = _once_a_run(told.filter("usable"))
    mine = told.filter(pl.col("settings").is_in({key[0] for key in keys}))
    return Past(_samples(runs, keys), _refused(mine, keys), _spreads(runs))


def nights_of() -> pl.Expr:
    """The days on which a run's windows began: windows of one day are one occasion."""
    return (pl.col("from_at") / 86_400.0).floor().unique().sort().alias("nights")


def voice_of() -> pl.Expr:
    """How much the log of a row is believed, in thirds; a person's word makes it whole."""
    said = pl.col("trust").replace_strict(VOICE, default=0, return_dtype=pl.Int64)
    return pl.when("is_cleared").then(WHOLE).otherwise(said).alias("voice")


def _once_a_run(usable: pl.DataFrame) -> pl.DataFrame:
    """One row for each run and channel, whatever number of nights it lived through."""
    return (
        usable.group_by("run", "channel", *KEY)
        .agg(
            pl.col("theta").log().median().alias("x"),
            pl.col("rel_error").median(),
            pl.col("uid").min(),
            pl.col("account").min(),
            pl.col("code").min(),
            nights_of(),
            pl.col("mem_mib").max(),
            pl.col("is_dear").any(),
            pl.col("is_cleared").any(),
            voice_of().min(),
        )
        .sort("run", "channel", *KEY)
    )


def _samples(runs: pl.DataFrame, keys: set[Key]) -> dict[tuple[Key, str], tuple[Sample, ...]]:
    found: dict[tuple[Key, str], list[Sample]] = {}
    for row in runs.filter(pl.col("settings").is_in({key[0] for key in keys})).iter_rows(named=True):
        key = tuple(row[name] for name in KEY)
        if key in keys:
            sample = Sample(
                row["run"], row["x"], row["rel_error"], row["uid"], frozenset(row["nights"]), row["mem_mib"],
                row["is_dear"], row["is_cleared"], row["voice"],
            )  # fmt: skip
            found.setdefault((key, row["channel"]), []).append(sample)
    return {where: tuple(samples) for where, samples in found.items()}


def _refused(mine: pl.DataFrame, keys: set[Key]) -> dict[tuple[Key, str], int]:
    """How many comparable runs may not vouch on any night."""
    counts = mine.group_by("channel", "run", *KEY).agg(pl.col("usable").any()).filter(~pl.col("usable"))
    found: dict[tuple[Key, str], int] = {}
    for row in counts.group_by("channel", *KEY).len().iter_rows(named=True):
        key = tuple(row[name] for name in KEY)
        if key in keys:
            found[key, row["channel"]] = row["len"]
    return found


def _spreads(runs: pl.DataFrame) -> dict[tuple[str, str, str], tuple[float, int]]:
    """Robust spread of runs around the middle of their fingerprint, pooled by GPU model, account and
    program."""
    group = ["channel", *KEY]
    n = pl.len().over(group)
    apart = (
        runs.filter(~pl.col("is_dear"))
        .with_columns(n.alias("n"), (pl.col("x") - pl.col("x").median().over(group)).alias("off"))
        .filter(pl.col("n") >= LEAST_RUNS)
        .with_columns((pl.col("off").abs() * (pl.col("n") / (pl.col("n") - 1)).sqrt()).alias("off"))
    )
    found: dict[tuple[str, str, str], tuple[float, int]] = {}
    levels = {
        "model": pl.col("gpu_model"),
        "account": pl.concat_str("gpu_model", pl.lit("\0"), pl.col("account").fill_null("")),
        "code": pl.concat_str("gpu_model", pl.lit("\0"), pl.col("code").fill_null("")),
    }
    for level, name in levels.items():
        sums = apart.group_by(name.alias("name"), "channel").agg(pl.col("off").median(), pl.len().alias("n"))
        for row in sums.iter_rows(named=True):
            found[level, row["name"], row["channel"]] = (1.4826 * row["off"], row["n"])
    return found


@dataclass(frozen=True, slots=True)
class Who:
    """Whose run is compared, and what memory its processes held on one GPU (MiB; null: not known)."""

    uid: int | None
    account: str
    mem_mib: int | None


def find_peers(past: Past, print_: Fingerprint, who: Who, channels: Iterable[str]) -> Peers | None:
    """The comparable runs of a run; null where there are too few.

    Runs that held about the same memory are asked before those that did not, as the same command may read
    another configuration; and other users' runs before the user's own, as she could have moved those. Each of
    `channels` must be known of them.
    """
    key = key_of(print_)
    if key is None:
        return None
    every = {channel: past.samples.get((key, channel), ()) for channel in channels}
    alike = {c: tuple(s for s in part if is_alike(s.mem_mib, who.mem_mib)) for c, part in every.items()}
    for part in (alike, every):
        for kind in (PEERS, OWN):
            mine = {c: tuple(s for s in p if (s.uid == who.uid) == (kind == OWN)) for c, p in part.items()}
            modes = {
                c: mode for c, samples in mine.items() if (mode := cheap_mode(samples, kind)) is not None
            }
            if modes and len(modes) == len(mine):
                costs = {c: _cost(m, _levels(past, print_, who.account, c)) for c, m in modes.items()}
                first = next(iter(modes))
                others = len(mine[first]) - len(modes[first].inside) + past.refused.get((key, first), 0)
                return _peers(kind, costs, modes, (others, every))
    return None


def is_alike(mem_mib: int | None, other_mib: int | None) -> bool:
    """Whether two runs held about the same memory; what is not known is no difference."""
    if mem_mib is None or other_mib is None:
        return True
    return abs(mem_mib - other_mib) <= MEMORY * max(mem_mib, other_mib)


def _peers(
    kind: str,
    costs: Mapping[str, PeerCost],
    modes: Mapping[str, Mode],
    beside: tuple[int, Mapping[str, tuple[Sample, ...]]],
) -> Peers:
    """`beside`: how many runs are not in the mode, and the samples of all."""
    n_others, every = beside
    inside = next(iter(modes.values())).inside
    mems = [s.mem_mib for s in inside if s.mem_mib is not None]
    return Peers(
        kind,
        costs,
        len(inside),
        len(frozenset[float]().union(*(s.nights for s in inside))),
        len({s.uid for s in inside}),
        n_others,
        any(mode.share < MOSTLY for c, mode in modes.items() if c != "busy" or len(modes) == 1),
        round(median(mems)) if mems else None,
        {c: exp(max(s.x for s in part if s.is_cleared)) for c, part in every.items() if _cleared(part)},
    )


def _cleared(samples: Iterable[Sample]) -> bool:
    return any(s.is_cleared for s in samples)


def _levels(past: Past, print_: Fingerprint, account: str, channel: str) -> list[tuple[float, int]]:
    """Spread and number of runs from the widest level to the narrowest."""
    model = print_.gpu_model
    places = (("model", model), ("account", f"{model}\0{account}"), ("code", f"{model}\0{print_.code or ''}"))
    return [past.spreads.get((level, name, channel), (0.0, 0)) for level, name in places]


def _cost(mode: Mode, levels: list[tuple[float, int]]) -> PeerCost:
    """The mode's centre with the error of one further run: the spread between runs, shrunk from level to
    level towards the wider one, and what the mode itself is known to."""
    n = len(mode.inside)
    total = sum(mode.weights)
    square = sum(w * (s.x - mode.centre) ** 2 for s, w in zip(mode.inside, mode.weights, strict=True))
    own = sqrt(square / total * n / (n - 1)) if n > 1 and total > 0 else 0.0
    spread = shrunk(_apart([*levels, (own, n if n > 1 else 0)]))
    effective = total**2 / sum(w * w for w in mode.weights) if total > 0 else 1.0
    return PeerCost(exp(mode.centre), spread * sqrt(1.0 + 1.0 / effective))


def _apart(levels: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Each level with the runs that no narrower one holds: a run speaks once."""
    counts = [n for _, n in levels]
    return [(spread, max(0, n - max(counts[k + 1 :], default=0))) for k, (spread, n) in enumerate(levels)]


def shrunk(levels: Iterable[tuple[float, int]]) -> float:
    """Spread between runs: each level's own (spread, runs) drawn towards the one around it, the widest
    towards SPREAD; within LEAST_SPREAD and MOST_SPREAD."""
    square = SPREAD**2
    for spread, n in levels:
        counted = min(n, LEVEL_RUNS)
        square = (PRIOR_RUNS * square + counted * spread**2) / (PRIOR_RUNS + counted)
    return min(MOST_SPREAD, max(LEAST_SPREAD, sqrt(square)))

"""Lasting rises that comparable runs of earlier nights showed at the same step.

Work that joins in at a step does so for one person. What several users' runs of the same settings show at the
same step is what that training does; so is what a person found right.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.levels import Level, from_text, is_like
from slurm_guard.audit.peers import KEY, LEAST_COVERAGE_PCT, RIGHT, WRONG, Key, key_of, nights_of, voice_of
from slurm_guard.audit.runmode import LEAST_RUNS, LEAST_USERS, VOICE, are_enough


@dataclass(frozen=True, slots=True)
class Shown:
    """One earlier run with its rises. `is_cleared`: a person found right what was held against it."""

    levels: tuple[Level, ...]
    uid: int | None
    nights: frozenset[float]
    is_cleared: bool
    voice: int


@dataclass(frozen=True, slots=True)
class KnownRises:
    """Who showed the same rises."""

    n_runs: int
    n_nights: int
    n_users: int
    by_word: bool  # a person's word on one of them is enough


def recall_rises(
    rows: pl.DataFrame | None, prints: Iterable[Fingerprint], said: Mapping[str, str]
) -> dict[Key, tuple[Shown, ...]]:
    """Runs of these fingerprints that showed rises, of the kinds that may vouch for one: nothing but the rise
    itself (family B) spoke against them."""
    keys = {key for p in prints if (key := key_of(p)) is not None}
    if rows is None or rows.is_empty() or not keys:
        return {}
    told = (
        rows.filter(pl.col("settings").is_in({key[0] for key in keys}) & (pl.col("levels") != ""))
        .with_columns(
            pl.col("run").replace_strict(dict(said), default=None, return_dtype=pl.String).alias("said")
        )
        .with_columns((pl.col("said") == WRONG).fill_null(value=False).alias("is_cleared"))
        .filter(
            (
                pl.col("is_cleared")
                | (pl.col("trust").is_in(list(VOICE)) & pl.col("families").is_in(["", "B"]))
            )
            & (pl.col("said") != RIGHT).fill_null(value=True)
            & ~pl.col("is_split")
            & (pl.col("coverage_pct") >= LEAST_COVERAGE_PCT)
        )
    )
    runs = (
        told.group_by("run", *KEY)
        .agg(
            pl.col("levels").sort_by("n_blocks", "levels").last(),
            pl.col("uid").min(),
            nights_of(),
            pl.col("is_cleared").any(),
            voice_of().min(),
        )
        .sort("run", *KEY)
    )
    found: dict[Key, list[Shown]] = {}
    for row in runs.iter_rows(named=True):
        key = tuple(row[name] for name in KEY)
        if key in keys:
            nights = frozenset(row["nights"])
            shown = Shown(from_text(row["levels"]), row["uid"], nights, row["is_cleared"], row["voice"])
            found.setdefault(key, []).append(shown)
    return {key: tuple(shown) for key, shown in found.items()}


def find_rises(
    past: Mapping[Key, tuple[Shown, ...]], print_: Fingerprint, uid: int | None, levels: tuple[Level, ...]
) -> KnownRises | None:
    """The earlier runs that explain a run's rises; null where there are too few."""
    key = key_of(print_)
    if key is None or not levels:
        return None
    like = [shown for shown in past.get(key, ()) if is_like(levels, shown.levels)]
    others = [shown for shown in like if shown.uid != uid]
    nights = frozenset[float]().union(*(shown.nights for shown in others))
    users = {shown.uid for shown in others}
    if are_enough([(s.uid, s.voice, s.nights) for s in others], LEAST_RUNS, LEAST_USERS):
        return KnownRises(len(others), len(nights), len(users), by_word=False)
    cleared = [shown for shown in like if shown.is_cleared]
    if not cleared:
        return None
    nights = frozenset[float]().union(*(shown.nights for shown in cleared))
    return KnownRises(len(cleared), len(nights), len({shown.uid for shown in cleared}), by_word=True)

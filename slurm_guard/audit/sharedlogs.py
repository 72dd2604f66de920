"""One record of a log speaks for one run: what several runs of a user have in one file is one's or nobody's.

A process that only opens a training's log for writing has its records in its own run's reading, too. The same
holds of honest job arrays whose tasks append to one file. What cannot be told apart counts for none of them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from slurm_guard.audit.holds import WROTE

SLOP_S = 2.0  # Slurm's whole seconds and another node's clock beside the kernel's. Judgement
SURE = 0.8  # of a file that was found and names the run's process or job (the readers' scale)
MAYBE = 0.5
BREAK = 1 << 20  # added to a segment behind a gap: no increment reaches over it. More than segments there are

PROBLEM = (
    "shared-log: {} records count for {}: runs of the same time have this file; "
    "give each a file and folder of its own"
)

_LOG = ["run", "file"]
_FILE = ["uid", "ino"]
_RECORD = [*_FILE, "offset", "step", "samples", "tokens", "loss"]
_GUARD, _OUTPUT, _OPEN = (
    5,
    4,
    3,
)  # ranks of a tie: the guard's file, Slurm's output, an open file; found files: less


class Member(NamedTuple):
    """A run that has a shared file in its reading. `wrote`: whether its processes wrote as much as the file
    grew; null: unknown."""

    i: int
    rank: int
    wrote: bool | None
    start_at: float
    end_at: float


def settle(
    points: pl.DataFrame,
    logs: pl.DataFrame,
    runs: tuple[pl.DataFrame, pl.DataFrame],
    uses: Iterable[pl.DataFrame],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(points, logs) in which no record stands for two runs.

    `runs`: keys and runs; `uses`: shares with `own`, of some nodes each.
    """
    claims = _claims(logs, *runs)
    if claims.is_empty():
        return points, logs
    rows = points.with_row_index("nth").join(claims, on=_LOG)
    # The same place and counters in one inode of one user, whatever the path is called: inode numbers of two
    # file systems may agree. Each reading resolves local clocks by itself, so that times are left out.
    common = rows.filter(pl.col("i").n_unique().over(_RECORD) > 1)
    if common.is_empty():
        return points, logs
    rows = rows.join(common.select(*_FILE, "i").unique(), on=[*_FILE, "i"], how="semi", nulls_equal=True)
    wrote = _wrote(common, uses)
    lost: list[tuple[int, bool]] = []
    for (uid, ino), part in rows.group_by(_FILE):
        members = _members(part, {i: w for u, n, i, w in wrote if (u, n) == (uid, ino)})
        lost += _lost(part, members)
    frame = pl.DataFrame(lost, schema={"nth": rows.schema["nth"], "anothers": pl.Boolean}, orient="row").join(
        rows.select("nth", *_LOG, "track"), on="nth"
    )
    return _without(points, frame), _told(logs, frame)


def _claims(logs: pl.DataFrame, keys: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Logs whose inode another run of the user has in its reading, with the rank of the tie to their run."""
    how, conf = pl.col("how"), pl.col("bind_conf")
    rank = (
        pl.when(how == "guard").then(_GUARD)
        .when(how.is_in(["stdout", "stderr"])).then(_OUTPUT)
        .when(~how.is_in(["walk", "declared"])).then(_OPEN)
        .when(conf >= SURE).then(2).when(conf >= MAYBE).then(1).otherwise(0)
    )  # fmt: skip
    return (
        logs.filter((pl.col("n") > 0) & pl.col("ino").is_not_null())
        .join(keys.select("run", "i"), on="run")
        .join(runs.select("i", "uid", "start_at", pl.col("end_at").fill_null(float("inf"))), on="i")
        .select(*_LOG, "i", *_FILE, "start_at", "end_at", rank.alias("rank"))
        .unique(_LOG, keep="first", maintain_order=True)
        .filter(pl.col("i").n_unique().over(_FILE) > 1)
    )


def _wrote(common: pl.DataFrame, uses: Iterable[pl.DataFrame]) -> list[tuple[int, int, int, bool]]:
    """(uid, ino, run, whether its GPU processes wrote as much as the part in question), if known."""
    part = common.group_by(_FILE).agg(
        (pl.col("offset").max() - pl.col("offset").min()).alias("grew_b"),
        pl.min_horizontal("obs_lo_at", "obs_hi_at").min().alias("low_at"),
        pl.col("obs_hi_at").max().alias("high_at"),
    )
    grown = common.select(*_FILE, "i").unique()
    grown = grown.join(part.filter(pl.col("grew_b") > 0), on=_FILE, nulls_equal=True)
    sums = [_written(grown, rows) for rows in uses]
    enough = pl.col("written_b").sum() >= WROTE * pl.col("grew_b").first()
    return pl.concat(sums).group_by(*_FILE, "i").agg(enough).rows() if sums else []


def _written(grown: pl.DataFrame, uses: pl.DataFrame) -> pl.DataFrame:
    """What the processes of these uses wrote while the parts in question came."""
    mine = uses.select(
        pl.col("own").alias("i"), "node", "pid", "start_ticks", "start_at", "end_at", "written_b"
    )
    return (
        grown.join(mine.drop_nulls().unique(["i", "node", "pid", "start_ticks", "start_at"]), on="i")
        .filter((pl.col("end_at") > pl.col("low_at")) & (pl.col("start_at") < pl.col("high_at")))
        .group_by(*_FILE, "i")
        .agg(pl.col("written_b").sum(), pl.col("grew_b").first())
    )


def _members(part: pl.DataFrame, wrote: dict[int, bool]) -> list[Member]:
    each = part.group_by("i").agg(pl.col("rank").max(), pl.col("start_at", "end_at").first()).sort("i")
    return [Member(i, rank, wrote.get(i), start, end) for i, rank, start, end in each.iter_rows()]


def _lost(part: pl.DataFrame, members: list[Member]) -> Iterable[tuple[int, bool]]:
    """(row, whether it is another run's for sure) of the records that do not count for the run with them."""
    starts, ends = sorted(m.start_at for m in members), sorted(m.end_at for m in members)
    known: dict[tuple[int, int], int | None] = {}
    low = pl.coalesce("obs_lo_at", pl.when(pl.col("obs_hi_at").is_null()).then("at"), pl.lit(-float("inf")))
    high = pl.coalesce("obs_hi_at", "at", pl.lit(float("inf")))
    for nth, i, low_at, high_at in part.select("nth", "i", low, high.alias("high")).iter_rows():
        place = bisect_right(starts, high_at + SLOP_S), bisect_left(ends, low_at - SLOP_S)
        if place not in known:
            able = [m for m in members if m.start_at <= high_at + SLOP_S and m.end_at >= low_at - SLOP_S]
            known[place] = owner_of(able)
        if known[place] != i:
            yield nth, known[place] is not None


def owner_of(able: list[Member]) -> int | None:
    """The run that a record stands for, of those that lived when it came to disk; null: it cannot be told.

    The surest tie speaks, unless its run is known to have written too little and another that holds the file
    wrote enough. Among equal ties it is the only one that wrote as much as the file grew.
    """
    if len(able) == 2 and max(m.start_at for m in able) >= min(m.end_at for m in able) - SLOP_S:
        return min(able, key=lambda m: m.start_at).i  # one after the other: the second read what stood there
    rank = max((m.rank for m in able), default=0)
    top = [m for m in able if m.rank == rank]
    others = [m for m in able if m.rank < rank]
    if len(top) == 1:
        wrote = any(m.wrote is True and m.rank >= _OPEN for m in others)
        return None if rank < _GUARD and top[0].wrote is False and wrote else top[0].i
    writers = [m for m in top if m.wrote is not False]
    return writers[0].i if len(writers) == 1 and writers[0].wrote is True else None


def _without(points: pl.DataFrame, lost: pl.DataFrame) -> pl.DataFrame:
    """The points that are left, in a new segment behind each gap: a counter's rise over a gap is nobody's."""
    track = [*_LOG, "track"]
    marked = (
        points.with_row_index("nth")
        .with_columns(pl.col("nth").is_in(lost["nth"].implode()).alias("lost"))
        .sort(*track, "segment", "offset", "nth", nulls_last=True)
    )
    opens = pl.col("lost") & ~pl.col("lost").shift(1, fill_value=False).over(track)
    gaps = opens.cast(pl.Int64).cum_sum().over(track)
    return (
        marked.with_columns(pl.col("segment") + gaps * BREAK)
        .filter(~pl.col("lost"))
        .sort("nth")
        .drop("nth", "lost")
    )


def _told(logs: pl.DataFrame, lost: pl.DataFrame) -> pl.DataFrame:
    """The logs with what is left of them, and why."""
    sums = lost.group_by(*_LOG, "track").agg(
        pl.len().cast(pl.Int64).alias("n_lost"), pl.col("anothers").all().alias("anothers")
    )
    marked = logs.join(sums, on=[*_LOG, "track"], how="left", nulls_equal=True, maintain_order="left")
    whose = pl.when("anothers").then(pl.lit("another run")).otherwise(pl.lit("no run"))
    words = pl.format(PROBLEM, "n_lost", whose)
    hit = pl.col("n_lost").is_not_null()
    said = pl.concat_list(pl.col("problems").fill_null([]), words)
    left = pl.max_horizontal(pl.lit(0, pl.Int64), pl.col("n") - pl.col("n_lost"))
    return marked.with_columns(
        pl.when(hit).then(left).otherwise("n").alias("n"),
        pl.when(hit).then(said).otherwise("problems").alias("problems"),
    ).drop("n_lost", "anothers")

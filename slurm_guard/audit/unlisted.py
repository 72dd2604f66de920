"""GPU work that no listed process accounts for, while one that NVML does not list has the GPU's file open.

That a process has a file open is no time: nothing here is added to any account. It says who else could have
done the work, and only where the list leaves work over: monitors and services have files open by right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.outside import SYSTEM_UID
from slurm_guard.audit.work import IDLE_OF_LIMIT

# Of a window's covered time that listed processes leave over. NVML's times of processes do not add up to the
# device's (threats 5.1); in the rig's priors they differ by up to 15 %. Judgement.
LEFT_OVER = 0.25
NO_LIST = "NVML gave no process list"  # in a window's `why.procs`, as the sampler writes it
_WINDOW = ["node", "gpu", "start_at", "window_run"]


@dataclass(frozen=True, slots=True)
class Unlisted:
    """One process with the file of one GPU open that is not its run's. `left_us`: GPU time in the windows in
    question that nobody accounts for, which is not this process's time. `own` the run that it is of, `host`
    the run that holds the GPU; places in the audit's list, null: none. `alone`: no other process could have
    done it, as far as all were looked at; `no_list`: NVML gave no list of the GPU's processes.
    """

    own: int | None
    host: int | None
    node: str
    gpu: str
    pid: int
    start_ticks: int
    uid: int | None
    exe: str | None
    from_at: float
    until_at: float
    left_us: int
    n_windows: int
    alone: bool
    no_list: bool
    ended: bool  # the run that it is of had ended


def unlisted(
    frames: dict[str, pl.DataFrame],
    people: pl.DataFrame,
    good: pl.DataFrame,
    bound: tuple[pl.DataFrame, pl.DataFrame],
    known: set[int],
) -> list[Unlisted]:
    """Every such process. `bound`: run keys with their place, and the runs; `known`: runs whose GPUs the
    prolog told and that were found to hold some, so that "not its GPU" has a meaning.
    """
    keys, runs = bound
    held = _with_people(frames["held"].filter("uvm"), people, keys)
    rows = held.join(_left_over(good, frames["shares"]), on=_WINDOW, nulls_equal=True)
    spans = runs.select(pl.col("i").alias("own"), pl.col("end_at").alias("run_end"))
    host = keys.select(pl.col("run").alias("window_run"), pl.col("i").alias("host"))
    ended = pl.col("run_end").is_not_null() & (pl.col("start_at") >= pl.col("run_end"))
    other = pl.col("own").is_null() | (pl.col("own") != pl.col("host")).fill_null(value=True)
    users = (pl.col("uid") >= SYSTEM_UID).fill_null(value=False)
    placed = pl.col("own").is_null() | ended | pl.col("own").is_in(sorted(known))
    found = (
        rows.join(spans, on="own", how="left")
        .join(host, on="window_run", how="left")
        .with_columns(ended.fill_null(value=False).alias("ended"))
        .filter(other & users & placed)
        .with_columns((pl.struct("origin", "uid").n_unique().over(_WINDOW) == 1).alias("single"))
    )
    return [Unlisted(**row) for row in _gathered(found).iter_rows(named=True)]


def order(one: Unlisted) -> tuple[object, ...]:
    """How they follow each other, whichever slice they are of."""
    host = (one.host is None, one.host)
    return (one.node, one.gpu, one.from_at, one.pid, one.start_ticks, one.ended, *host)


def _gathered(found: pl.DataFrame) -> pl.DataFrame:
    return (
        found.group_by("own", "host", "node", "gpu", "pid", "start_ticks", "ended")
        .agg(
            pl.col("uid").first(),
            pl.col("exe").first(),
            pl.col("start_at").min().alias("from_at"),
            pl.col("end_at").max().alias("until_at"),
            (pl.col("left") * 1000).sum().alias("left_us"),
            pl.len().cast(pl.Int64).alias("n_windows"),
            (pl.col("single") & ~pl.col("held_truncated").fill_null(value=True)).all().alias("alone"),
            pl.col("no_list").all().alias("no_list"),
        )
        .sort("node", "gpu", "from_at", "pid", "start_ticks", "ended", "host", nulls_last=True)
    )


def _with_people(held: pl.DataFrame, people: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Holders with `own`, uid and program."""
    told = people.select("node", "pid", "start_ticks", pl.col("run").alias("fact_run"), "uid", "exe")
    owner = keys.select(pl.col("run").alias("origin"), pl.col("i").alias("own"))
    return (
        held.unique([*_WINDOW, "pid", "start_ticks"], keep="any")
        .join(told, on=["node", "pid", "start_ticks"], how="left")
        .with_columns(pl.coalesce("run", "fact_run").alias("origin"))
        .join(owner, on="origin", how="left")
    )


def _left_over(good: pl.DataFrame, shares: pl.DataFrame) -> pl.DataFrame:
    """Windows of GPUs at work whose listed processes leave time over: `left` (ms), `no_list`.

    A listed process without any device file accounts for nothing: the list means another. Where a list is
    there and lacks times, or where it is missing and the run's own processes have the file open, nobody can
    say; a GPU that several runs hold by right, or whose run is in doubt, says nothing either.
    """
    surely = pl.col("holds").fill_null(value=True)
    no_list = pl.col("why").str.contains(NO_LIST, literal=True).fill_null(value=False)
    own_holds = (pl.col("n_own") > 0) | pl.col("held_truncated").fill_null(value=True)
    silent_meter = pl.col("power_mw") < IDLE_OF_LIMIT * pl.col("power_limit_mw")
    asked = (
        good.filter((pl.col("n_held") > 0) & pl.col("busy_ms").is_not_null() & ~pl.col("shared"))
        .filter((pl.col("map") != "contradicted").fill_null(value=True))
        .filter(~silent_meter.fill_null(value=False))
        .rename({"run": "window_run"})
    )
    of_asked = shares.join(asked, on=_WINDOW, how="semi", nulls_equal=True, maintain_order="left")
    once = of_asked.sort("cluster", "run", nulls_last=True, maintain_order=True).unique(
        [*_WINDOW, "pid", "start_ticks"], keep="first", maintain_order=True
    )
    listed = once.group_by(_WINDOW).agg(
        pl.col("sm_ms").filter(surely).sum().alias("told"), pl.col("sm_ms").is_null().any().alias("untold")
    )
    return (
        asked.join(listed, on=_WINDOW, how="left", nulls_equal=True)
        .with_columns(no_list.alias("no_list"), pl.col("told").fill_null(0).clip(0))
        .filter(pl.when("no_list").then(~own_holds).otherwise(~pl.col("untold").fill_null(value=False)))
        .with_columns((pl.col("busy_ms") - pl.col("told")).alias("left"))
        .filter(pl.col("left") >= LEFT_OVER * pl.col("covered_ms"))
        .filter(pl.col("covered_ms") > 0)
        .select(*_WINDOW, "left", "no_list", "held_truncated")
    )


def left_by_others(guests: Sequence[Unlisted], uid: int | None) -> int:
    """GPU-µs on a run's GPUs that other users' unlisted processes may have done: only the run's upper bound
    knows of them. A process of its own user speaks for nobody.
    """
    most: dict[tuple[str, str], int] = {}
    for one in guests:
        if uid is not None and one.uid != uid:
            place = (one.node, one.gpu)
            most[place] = max(most.get(place, 0), one.left_us)
    return sum(most.values())


def strangers(held: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """Windows (node, gpu, raw_start_at) in which a user's unlisted process could have worked: `stranger`.

    Monitors and the system's daemons have files open all the time and work nowhere.
    """
    told = people.select("node", "pid", "start_ticks", "uid")
    users = held.filter("uvm").join(told, on=["node", "pid", "start_ticks"], how="left")
    found = users.filter((pl.col("uid") >= SYSTEM_UID) | pl.col("uid").is_null())
    places = found.select("node", "gpu", pl.col("start_at").alias("raw_start_at")).unique()
    return places.with_columns(pl.lit(value=True).alias("stranger"))


def not_its_own(good: pl.DataFrame, strange: pl.DataFrame) -> pl.DataFrame:
    """Windows (run, gpu, raw_start_at) of which NVML gave no list, on whose GPU none of the run's processes
    had the file open while a stranger had: work in them is in doubt, and nobody's time is made up."""
    no_list = pl.col("why").str.contains(NO_LIST, literal=True).fill_null(value=False)
    none = (pl.col("n_own") == 0) & ~pl.col("held_truncated").fill_null(value=True)
    found = good.filter(no_list & none & ~pl.col("shared") & pl.col("run").is_not_null())
    places = found.select("node", "run", "gpu", pl.col("start_at").alias("raw_start_at"))
    doubted = places.join(strange, on=["node", "gpu", "raw_start_at"], how="semi")
    return doubted.select("run", "gpu", "raw_start_at", pl.lit(value=True).alias("strange"))

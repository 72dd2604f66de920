"""GPU work outside any allocation of the run it comes from (rulings 2 and 3): never in a ledger's sum."""

import json
from dataclasses import dataclass, replace

import polars as pl

from slurm_guard.audit.amounts import spoken
from slurm_guard.model import Outside, Run

HARD_WORD, SOFT_WORD = "foreign-process", "gpu-unmapped"  # events of the sampler
_EXCUSED = " The node was in maintenance, and the site names this user as one who works there then."
_WINDOW = ["node", "gpu", "start_at"]
SYSTEM_UID = 1000  # below: daemons of the system (login.defs UID_MIN). Documented.


@dataclass(frozen=True, slots=True)
class Stint:
    """One process's work on one GPU that its own run does not hold, within one relation to it.

    `relation`: after (its run had ended), beside (its run lives, the GPU is not its), nobody (no run known).
    `own` the run it comes from, `host` the run that holds the GPU; places in the audit's list, null: none.
    """

    relation: str
    own: int | None
    host: int | None
    node: str
    gpu: str
    pid: int
    start_ticks: int
    uid: int | None
    exe: str | None
    born_at: float | None
    from_at: float
    until_at: float
    gpu_us: int
    n_windows: int
    sure: bool = True  # the node was certain which boards the GPU numbers of its jobs mean
    job: int | None = None  # that its node saw it in, of which there is no run here
    at_home: bool = False  # … and that held the GPU by the node's word


def stints(
    uses: pl.DataFrame, windows: pl.DataFrame, runs: pl.DataFrame, known: set[int], events: pl.DataFrame
) -> list[Stint]:
    """Every stint with GPU time. `known`: runs whose GPUs the prolog told, so that "not its GPU" has a
    meaning; `events`: the nodes' own words about such processes.
    """
    doubted = _doubted(events)
    spans = runs.select(pl.col("i").alias("own"), "start_at", "end_at").rename(
        {"start_at": "run_start", "end_at": "run_end"}
    )
    strange = (
        uses.filter(pl.col("own").is_null() | pl.col("i").is_null() | (pl.col("own") != pl.col("i")))
        .filter((pl.col("sm_ms") > 0) & pl.col("holds").fill_null(value=True))
        .join(spans, on="own", how="left")
        .with_columns(relation(known).alias("relation"))
        .filter(pl.col("relation").is_not_null())
    )
    strange = strange.join(_busy(windows, uses, strange), on=_WINDOW, how="left")
    share = pl.col("sm_ms") / pl.col("all_sm")
    time = pl.min_horizontal(pl.col("sm_ms").cast(pl.Float64), pl.col("busy") * share)
    found = [
        Stint(**row)
        for row in strange.group_by("relation", "own", "i", "node", "gpu", "pid", "start_ticks")
        .agg(
            pl.col("uid").first(),
            pl.col("exe").first(),
            pl.col("born_at").first(),
            pl.col("start_at").min().alias("from_at"),
            pl.col("end_at").max().alias("until_at"),
            (time * 1000 + 0.5).floor().cast(pl.Int64).sum().alias("gpu_us"),
            pl.len().cast(pl.Int64).alias("n_windows"),
            (~pl.col("window_doubted").fill_null(value=False)).all().alias("sure"),
            pl.when(pl.col("own").first().is_null())
            .then(
                pl.col("origin").first().cast(pl.String).str.extract(r"^[^/]+/(\d{1,18})/", 1).cast(pl.Int64)
            )
            .alias("job"),
            (pl.col("window_run") == pl.col("origin")).fill_null(value=False).all().alias("at_home"),
        )
        .rename({"i": "host"})
        .sort("node", "gpu", "from_at", "pid", "start_ticks", "relation")
        .iter_rows(named=True)
    ]
    return [replace(s, sure=s.sure and (s.node, s.gpu, s.pid, s.start_ticks) not in doubted) for s in found]


def order(stint: Stint) -> tuple[str, str, float, int, int, str]:
    """How stints follow each other in the document."""
    return (stint.node, stint.gpu, stint.from_at, stint.pid, stint.start_ticks, stint.relation)


def _doubted(events: pl.DataFrame) -> set[tuple[object, ...]]:
    """Processes on GPUs of which their node said softly that they might be at home there, and never hard."""
    told: dict[str, set[tuple[object, ...]]] = {SOFT_WORD: set(), HARD_WORD: set()}
    rows = events.filter(pl.col("name").is_in(list(told))).select("node", "name", "detail")
    for node, name, detail in rows.iter_rows():
        body = json.loads(detail) if detail else {}
        told[name].add((node, body.get("gpu"), body.get("pid"), body.get("start_ticks")))
    return told[SOFT_WORD] - told[HARD_WORD]


def _busy(windows: pl.DataFrame, uses: pl.DataFrame, strange: pl.DataFrame) -> pl.DataFrame:
    """Busy time of each window of `strange` and the sum of its processes' times."""
    asked = strange.select(_WINDOW).unique()  # few, if any
    uses, windows = (rows.join(asked, on=_WINDOW, how="semi") for rows in (uses, windows))
    total = uses.group_by(_WINDOW).agg(pl.col("sm_ms").sum().alias("all_sm"))
    busy = windows.group_by(_WINDOW).agg(pl.coalesce("busy_ms", "covered_ms").max().alias("busy"))
    return total.join(busy, on=_WINDOW, how="left").with_columns(pl.coalesce("busy", "all_sm").alias("busy"))


def relation(known: set[int]) -> pl.Expr:
    """What a process on a GPU that its run does not hold is to it; null: there by right, or a daemon."""
    ended = pl.col("run_end").is_not_null() & (pl.col("start_at") >= pl.col("run_end"))
    shared_by_right = pl.col("window_shared").fill_null(value=False)
    return (
        pl.when(pl.col("own").is_null())
        .then(
            pl.when((pl.col("uid") >= SYSTEM_UID) | pl.col("uid").is_null())
            .then(pl.lit("nobody"))
            .otherwise(None)
        )
        .when(ended)
        .then(pl.lit("after"))
        .when(pl.col("own").is_in(sorted(known)) & ~shared_by_right)
        .then(pl.lit("beside"))
        .otherwise(None)
    )


def documented(
    found: list[Stint], runs: list[Run], without_gpus: set[int], excused: set[int]
) -> tuple[Outside, ...]:
    """The stints as the document has them. `without_gpus`: jobs to which Slurm gave none: what they do on one
    is asked about as what no job does. A job that this audit does not have (accounting came late, clocks
    are apart) and that held the GPU by its node's word is named and not asked about; nor are the places in
    `excused`, which are administrators' in maintenance."""
    return tuple(
        Outside(
            s.node,
            s.gpu,
            s.from_at,
            s.until_at,
            (s.gpu_us + 500) // 1000,
            s.pid,
            s.uid,
            s.exe,
            None if s.own is None else runs[s.own].id,
            _sentence(s, runs, without_gpus) + (_EXCUSED if k in excused else ""),
            s.job,
            s.own is None and not (s.at_home and s.job not in without_gpus) and k not in excused,
            k in excused,
        )
        for k, s in enumerate(found)
    )


def _sentence(stint: Stint, runs: list[Run], without_gpus: set[int]) -> str:
    user = next((run.user for run in runs if run.uid == stint.uid and run.user), "")
    whose = "" if stint.uid is None else f" of {user} (uid {stint.uid})" if user else f" of uid {stint.uid}"
    what = f"{stint.pid}, {stint.exe.rpartition('/')[2]}," if stint.exe else f"{stint.pid}"
    worked = f"Process {what}{whose} worked {spoken(stint.gpu_us)} on {stint.gpu} of {stint.node}"
    host = "" if stint.host is None else f", which run {runs[stint.host].id} held"
    if stint.own is None and stint.job is None:
        return f"{worked}{host}; it belongs to no run."
    if stint.own is None:
        has = (
            "which Slurm gave no GPU" if stint.job in without_gpus else "of which this audit has no run then"
        )
        return f"{worked}{host}; its node saw it in job {stint.job}, {has}."
    run = runs[stint.own].id
    where = "after its run" if stint.relation == "after" else "outside the GPUs of its run"
    return f"{worked}{host} {where} {run}."

"""Processes on GPUs that tell of nobody's time, as MIG instances: they are listed, and whether they worked is
not known. Who they are needs no counter.
"""

from dataclasses import dataclass

import polars as pl

from slurm_guard.audit import gather, owners
from slurm_guard.audit.codes import like
from slurm_guard.audit.holds import GpuUser, LogHold
from slurm_guard.audit.outside import relation
from slurm_guard.audit.programs import are_apart, called
from slurm_guard.audit.second import candidates

_WHO = ["node", "pid", "start_ticks"]
_WINDOW = ["node", "gpu", "start_at"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One process that was listed on one GPU, in windows in which no process's time was told.

    `relation`: untied (of the run that holds the GPU, or of its owner outside the job, without a tie to the
    process that logs progress), rival (untied to the run's first program, and nothing tells which of both
    logs), launched (another script than the one that logs, its launcher in common and nothing else), child
    (of the process that logs, another script than its), script (another script of the interpreter that logs,
    or of which one logs, without a tie), beside (its run holds other GPUs), after (its run had ended),
    nobody (of no run known). `own` the run it comes from, `host` the run that holds the GPU; null: none.
    `mem_mib` at most; null: not told. `listed_s`: how long; `lived_s`: how long it was seen at all, on a GPU
    or not; null: not known. `program`: as programs.called has it.
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
    listed_s: float
    n_windows: int
    mem_mib: int | None
    program: str = ""
    lived_s: float | None = None


def untold_of(uses: pl.DataFrame) -> pl.DataFrame:
    """Of `uses` (owners.uses) those in windows in which no process's time was told."""
    silent = uses.filter(pl.col("sm_ms").is_null() & pl.col("holds").fill_null(value=True))
    if silent.is_empty():  # as on most nights
        return silent
    told = uses.filter(pl.col("sm_ms").is_not_null()).select(_WINDOW)
    return silent.join(told, on=_WINDOW, how="anti", nulls_equal=True, maintain_order="left")


def listed(
    untold: pl.DataFrame,
    runs: tuple[pl.DataFrame, set[int]],
    tied: tuple[pl.DataFrame, dict[int, list[LogHold]], set[tuple[str, int, int]]],
) -> list[Listed]:
    """Every process that is nobody's rank. `untold`: untold_of of all nodes; `runs`: the runs, and those
    whose GPUs the prolog told; `tied`: what is known of processes, each run's logs, and who speaks with whom
    (owners.link)."""
    table, known = runs
    if untold.is_empty():
        return []
    spans = table.select(pl.col("i").alias("own"), "start_at", "end_at", pl.col("uid").alias("run_uid"))
    host = table.select("i", pl.col("uid").alias("host_uid"))
    rows = (
        untold.join(spans.rename({"start_at": "run_start", "end_at": "run_end"}), on="own", how="left")
        .join(host, on="i", how="left")
        .join(_untied(untold, tied), on=["i", *_WHO], how="left", nulls_equal=True)
        .join(_lived(tied[0]), on=_WHO, how="left")
        .with_columns(_relation(known).alias("relation"))
        .filter(pl.col("relation").is_not_null())
    )
    lasting = pl.col("end_at") - pl.col("start_at")
    found = (
        rows.group_by("relation", "own", "i", "node", "gpu", "pid", "start_ticks")
        .agg(
            pl.col("uid").first(),
            pl.col("exe").first(),
            pl.col("born_at").first(),
            pl.col("start_at").min().alias("from_at"),
            pl.col("end_at").max().alias("until_at"),
            (lasting * 1000 + 0.5).floor().cast(pl.Int64).sum().alias("listed_s") / 1000,
            pl.len().cast(pl.Int64).alias("n_windows"),
            pl.col("mem_mib").max(),
            pl.col("program").first().fill_null(""),
            pl.col("lived_s").first(),
        )
        .rename({"i": "host"})
        .sort("node", "gpu", "from_at", "pid", "start_ticks", "relation")
    )
    return [Listed(**row) for row in found.iter_rows(named=True)]


def _relation(known: set[int]) -> pl.Expr:
    """As of work that was seen; and the run's own processes, and its owner's, without a tie to the log."""
    mine = (pl.col("own") == pl.col("i")).fill_null(value=False)
    owners_own = pl.col("own").is_null() & (pl.col("uid") == pl.col("host_uid")).fill_null(value=False)
    return (
        pl.when(mine & pl.col("seems").is_not_null())
        .then("seems")
        .when(mine)
        .then(None)
        .when(owners_own)
        .then(pl.lit("untied"))
        .otherwise(relation(known))
    )


def _lived(people: pl.DataFrame) -> pl.DataFrame:
    """How long each process was seen."""
    long_s = (pl.col("last_seen_at") - pl.col("start_at")).clip(0.0)
    return people.select(*_WHO, long_s.alias("lived_s"))


def _untied(
    untold: pl.DataFrame, tied: tuple[pl.DataFrame, dict[int, list[LogHold]], set[tuple[str, int, int]]]
) -> pl.DataFrame:
    """(i, node, pid, start_ticks) of other programs than the one that logs, with too little of a tie to it,
    and what it `seems`: untied, rival or launched."""
    people, logs, flows = tied
    mine = untold.filter(pl.col("own") == pl.col("i")).with_columns(pl.lit(0, pl.Int64).alias("sm_ms"))
    rows: list[tuple[int, str, int, int, str, str]] = []
    for i, users in gather.those(mine, people).items():
        linked = owners.link(users, logs.get(i, []), flows)
        weak = {owners.id_of(u): tie for u, tie in candidates(linked, logs.get(i, []), flows)}
        for u in linked:
            seems = _seems(u, linked, weak.get(owners.id_of(u)))
            if seems is not None:
                rows.append((i, u.node, u.pid, u.start_ticks, seems, called(u.exe, u.cmdline)))
    schema: dict[str, type[pl.DataType]] = {
        "i": pl.Int64,
        "node": pl.String,
        "pid": pl.Int64,
        "start_ticks": pl.Int64,
    }
    schema |= {"seems": pl.String, "program": pl.String}
    return like(pl.DataFrame(rows, schema=schema, orient="row"), untold)


def _seems(user: GpuUser, users: list[GpuUser], weak: str | None) -> str | None:
    """What a process is, by what it lacks; null: nothing."""
    if weak in ("launched", "child"):
        return weak
    if weak == "either":
        return "script"
    if weak == "none" or (user.cls == "stray" and user.why == owners.RIVAL):
        return "rival"
    logs = any(u.cls == "linked" and u.node == user.node for u in users)
    if user.cls != "stray" or not logs or _may_be_same(user, users):
        return None
    return "script" if owners.same_program(user, users) else "untied"


def _may_be_same(user: GpuUser, users: list[GpuUser]) -> bool:
    """Whether it has the program file of one that logs on its node and, of an interpreter, not surely another
    script: a copy that somebody started by hand, or a worker under a title of its own."""
    same = [u for u in users if u.cls == "linked" and u.node == user.node and u.exe == user.exe is not None]
    return any(not are_apart((user.exe, user.cmdline), (u.exe, u.cmdline)) for u in same)

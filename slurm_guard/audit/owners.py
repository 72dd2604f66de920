"""Which process on a GPU belongs to which run, and which of a run's own are linked to its progress."""

from dataclasses import dataclass, replace

import polars as pl

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "tcsh", "csh", "fish", "slurm_script", "slurmstepd"})
# A process is the log's writer only if it wrote at least this part of the log's bytes. Judgement: the reader
# may have seen a log that an earlier process began.
WROTE = 0.5
# Two processes that were together for less than this part of the shorter one's time came one after the
# other. Judgement.
MEET = 0.1


@dataclass(frozen=True, slots=True)
class GpuUser:
    """One process of a run that worked on a GPU. `cls`: linked, kin (perhaps linked), stray (no link
    seen).
    """

    node: str
    pid: int
    start_ticks: int
    uid: int | None
    ppid: int | None
    exe: str | None
    cmdline: str | None
    parents: tuple[str, ...]
    flags: tuple[str, ...]
    how: str | None
    start_at: float | None
    first_at: float
    last_at: float
    gpus: tuple[str, ...]
    sm_ms: int
    written_b: int | None
    cls: str = "kin"
    why: str = ""


@dataclass(frozen=True, slots=True)
class LogHold:
    """A log with progress and the processes that had it open for writing."""

    node: str
    path: str
    how: str
    size: int | None
    pids: frozenset[int]


def process_facts(processes: pl.DataFrame) -> pl.DataFrame:
    """One row per (node, pid, start_ticks): the run it was ever seen in, and what is known of it."""
    order = processes.sort(
        "node", "pid", "start_ticks", "first_seen_at", "last_seen_at", "run", nulls_last=True
    )
    firsts = ("run", "how", "start_at", "uid", "ppid", "exe", "comm", "cmdline", "cgroup")
    return order.group_by("node", "pid", "start_ticks", maintain_order=True).agg(
        *[pl.col(name).drop_nulls().first() for name in firsts],
        pl.col("parents").first(),
        pl.col("exe_flags").last(),
        pl.col("gpus").explode(keep_nulls=False, empty_as_null=False).unique().sort().alias("seen_gpus"),
        pl.col("first_seen_at").min(),
        pl.col("last_seen_at").max(),
    )


def uses(shares: pl.DataFrame, facts: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Shares with `i` (the run that holds the GPU) and `own` (the run the process is of); both may be
    null.
    """
    holder = keys.select(pl.col("run").alias("window_run"), "i")
    owner = keys.select(pl.col("run").alias("origin"), pl.col("i").alias("own"))
    known = facts.select(
        "node",
        "pid",
        "start_ticks",
        pl.col("run").alias("fact_run"),
        "uid",
        pl.col("start_at").alias("born_at"),
        "exe",
    )
    return (
        shares.unique(["node", "gpu", "start_at", "pid", "start_ticks", "window_run"], keep="any")
        .join(known, on=["node", "pid", "start_ticks"], how="left")
        .with_columns(pl.coalesce("run", "fact_run").alias("origin"))
        .join(holder, on="window_run", how="left")
        .join(owner, on="origin", how="left")
        .sort("node", "gpu", "start_at", "pid", "start_ticks")
    )


def link(users: list[GpuUser], logs: list[LogHold], flows: set[tuple[str, int, int]]) -> list[GpuUser]:
    """The users with `cls` and `why` set. `flows`: (node, pid, pid) pairs that speak over a local connection.

    What cannot be told stays `kin`: it is credited and widens the upper bound, it is held against nobody.
    """
    linked = _by_log(users, logs) or _by_writing(users, logs)
    if not linked:
        return [
            _with(u, "linked" if len(users) == 1 else "kin", "the only one" if len(users) == 1 else "")
            for u in users
        ]
    why = {id_of(users[k]): reason for k, reason in linked.items()}
    _spread(users, why)
    return [
        _with(u, "linked", why[id_of(u)]) if id_of(u) in why else _judge(u, users, why, flows) for u in users
    ]


def id_of(user: GpuUser) -> tuple[str, int, int]:
    """What names a process on a cluster."""
    return (user.node, user.pid, user.start_ticks)


def _with(user: GpuUser, cls: str, why: str) -> GpuUser:
    return replace(user, cls=cls, why=why)


def _by_log(users: list[GpuUser], logs: list[LogHold]) -> dict[int, str]:
    """Users that hold a log which not every user of that node holds: an inherited stdout tells nothing."""
    found: dict[int, str] = {}
    for log in logs:
        here = [k for k, u in enumerate(users) if u.node == log.node]
        holding = [k for k in here if users[k].pid in log.pids]
        own_file = log.how not in ("stdout", "stderr")
        if holding and (len(holding) < len(here) or (own_file and len(holding) == 1)):
            found.update(dict.fromkeys(holding, f"holds {log.how} log open"))
    return found


def _by_writing(users: list[GpuUser], logs: list[LogHold]) -> dict[int, str]:
    """Users that wrote enough bytes to have written the log, where not all of them did."""
    sizes = [log.size for log in logs if log.size is not None]
    if not sizes or len(users) < 2:
        return {}
    need = WROTE * min(sizes)
    if need < 1 or any(u.written_b is None for u in users):
        return {}
    wrote = [k for k, u in enumerate(users) if u.written_b is not None and u.written_b >= need]
    return dict.fromkeys(wrote, "wrote as much as the log grew") if len(wrote) < len(users) else {}


def _spread(users: list[GpuUser], why: dict[tuple[str, int, int], str]) -> None:
    """Ranks beside a linked process: same program, same parent (or another node), no GPU in common."""
    while True:
        base = [u for u in users if id_of(u) in why]
        taken = {(u.node, g) for u in base for g in u.gpus}
        fresh = [u for u in users if id_of(u) not in why and not any((u.node, g) in taken for g in u.gpus)]
        ranks = [u for u in fresh if any(_siblings(u, b) for b in base)]
        places = [(u.node, g) for u in ranks for g in u.gpus]
        lone = [u for u in ranks if all(places.count((u.node, g)) == 1 for g in u.gpus)]
        if not lone:
            return
        why.update({id_of(u): "rank beside a linked process" for u in lone})


def _siblings(a: GpuUser, b: GpuUser) -> bool:
    if a.exe is None or a.exe != b.exe:
        return False
    if a.node == b.node:
        return (a.ppid == b.ppid and a.cmdline == b.cmdline) or (a.ppid == b.ppid and not _from_shell(a))
    return a.parents[:1] == b.parents[:1]


def _from_shell(user: GpuUser) -> bool:
    return not user.parents or user.parents[0] in SHELLS


def _judge(
    user: GpuUser,
    users: list[GpuUser],
    why: dict[tuple[str, int, int], str],
    flows: set[tuple[str, int, int]],
) -> GpuUser:
    """Kin where any tie to a linked process shows, else stray."""
    for base in (u for u in users if id_of(u) in why):
        tie = _tie(user, base, flows)
        if tie is not None:
            return _with(user, "kin", tie)
    if not any(u.node == user.node for u in users if id_of(u) in why):
        return _with(user, "kin", "no linked process on this node to compare with")
    return _with(user, "stray", "no tie to the process that logs progress")


def _apart(a: GpuUser, b: GpuUser) -> bool:
    """One worked before the other: they meet for no more than a window's edge makes of it."""
    both = min(a.last_at, b.last_at) - max(a.first_at, b.first_at)
    return both <= MEET * min(a.last_at - a.first_at, b.last_at - b.first_at)


def _tie(user: GpuUser, base: GpuUser, flows: set[tuple[str, int, int]]) -> str | None:
    if user.node != base.node:
        return None
    if (user.node, user.pid, base.pid) in flows or (user.node, base.pid, user.pid) in flows:
        return "speaks with the process that logs progress"
    same = user.exe is not None and user.exe == base.exe
    if same and (user.ppid == base.pid or base.ppid == user.pid):
        return "parent or child of the process that logs progress, same program"
    if same and user.ppid == base.ppid and (not _from_shell(user) or user.cmdline == base.cmdline):
        return "started like the process that logs progress"
    if _apart(user, base) and set(user.gpus) & set(base.gpus):
        return "worked before or after the process that logs progress, not beside it"
    return None

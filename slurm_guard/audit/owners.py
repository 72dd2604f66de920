"""Which process on a GPU belongs to which run, and which of a run's own are linked to its progress."""

import re
from dataclasses import replace
from itertools import combinations

import polars as pl

from slurm_guard.audit.holds import GpuUser, LogHold, by_log, by_writing, second_logs
from slurm_guard.distinct import all_differ

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "tcsh", "csh", "fish", "slurm_script", "slurmstepd"})
# Ties that a program of any kind has to whoever started it: an interpreter's file says nothing of its script.
CHILD = "parent or child of the process that logs progress, same program"
RIVAL = "another program beside a busier one, without a tie"
LAUNCHED = "started like the process that logs progress"
STAGE = "worked before or after the process that logs progress, not beside it"
_NUMBER = re.compile(r"\d+")
# Two processes that were together for less than this part of the shorter one's time came one after the
# other. Judgement.
MEET = 0.1


def process_facts(processes: pl.DataFrame) -> pl.DataFrame:
    """One row per (node, pid, start_ticks): the run it was ever seen in, and what is known of it.

    A process may become another program (exec). It is called by the last one that was seen on a GPU, else by
    the last one at all: a launcher's shell is not what worked there.
    """
    order = processes.sort(
        "node", "pid", "start_ticks", "first_seen_at", "last_seen_at", "run", nulls_last=True
    )
    firsts = ("run", "how", "start_at", "uid", "ppid", "cgroup")
    working = pl.col("gpus").list.len().fill_null(0) > 0
    return order.group_by("node", "pid", "start_ticks", maintain_order=True).agg(
        *[pl.col(name).drop_nulls().first() for name in firsts],
        *[
            pl.coalesce(pl.col(name).filter(working).drop_nulls().last(), pl.col(name).drop_nulls().last())
            for name in ("exe", "comm", "cmdline")
        ],
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
        _once(shares)
        .join(known, on=["node", "pid", "start_ticks"], how="left", maintain_order="left")
        .with_columns(pl.coalesce("run", "fact_run").alias("origin"))
        .join(holder, on="window_run", how="left", maintain_order="left")
        .join(owner, on="origin", how="left", maintain_order="left")
    )


def _once(shares: pl.DataFrame) -> pl.DataFrame:
    """Each process once in each window, in order."""
    same = ["node", "gpu", "start_at", "pid", "start_ticks", "window_run"]
    ordered = shares.sort(*same, "cluster", "run", nulls_last=True, maintain_order=True)
    return ordered if all_differ(shares, same) else ordered.unique(same, keep="first", maintain_order=True)


def link(users: list[GpuUser], logs: list[LogHold], flows: set[tuple[str, int, int]]) -> list[GpuUser]:
    """The users with `cls` and `why` set. `flows`: (node, pid, pid) pairs that speak over a local connection.

    What cannot be told stays `kin`: it is credited and widens the upper bound, it is held against nobody.
    """
    linked = _of_one(users, by_log(users, logs), logs) or _of_one(users, by_writing(users, logs), logs)
    if not linked and not logs:
        return [_with(u, "linked" if len(users) == 1 else "kin", "") for u in users]
    if not linked:
        return _unlinked(users, flows)
    why = {id_of(users[k]): reason for k, reason in linked.items()}
    _spread(users, why)
    judged = [
        _with(u, "linked", why[id_of(u)]) if id_of(u) in why else _judge(u, users, why, flows) for u in users
    ]
    return second_logs(judged, logs)


def _of_one(users: list[GpuUser], found: dict[int, str], logs: list[LogHold]) -> dict[int, str]:
    """Those that hold or wrote the log; none where two programs that shared a GPU did and there is one log
    alone: a file is quickly opened, and each writes what it likes elsewhere."""
    if len({(log.node, log.path) for log in logs}) > 1:
        return found
    pairs = combinations([users[k] for k in found], 2)
    unlike = any(meet(a, b) and None not in (a.exe, b.exe) and a.exe != b.exe for a, b in pairs)
    return {} if unlike else found


def _unlinked(users: list[GpuUser], flows: set[tuple[str, int, int]]) -> list[GpuUser]:
    """Nothing tells who logs. One program may be the one that does; what has no tie to the busiest does not
    belong to it, whichever of both it is: at least the smaller one is stray. Never across nodes."""
    if len(users) == 1:
        return [_with(users[0], "linked", "the only one")]
    weights = weights_of(users)
    judged: list[GpuUser] = []
    for user in users:
        first = busiest([u for u in users if u.node == user.node and set(u.gpus) & set(user.gpus)], weights)
        alike = any(u.exe is None or u.exe == user.exe for u in first)
        if user.exe is None or alike or tied(user, first, flows):
            judged.append(_with(user, "kin", ""))
        else:
            judged.append(_with(user, "stray", RIVAL))
    return judged


Weights = dict[tuple[str, str | None], tuple[int, float, int]]


def weights_of(users: list[GpuUser]) -> Weights:
    """By node and program: the time of all its processes together, ranks of one training likewise, however
    many GPUs another program is on. Where no times are told the first to come weighs most."""
    found: Weights = {}
    for u in users:
        sm_ms, first, pid = found.get((u.node, u.exe), (0, -u.first_at, -u.pid))
        found[(u.node, u.exe)] = (sm_ms + u.sm_ms, max(first, -u.first_at), max(pid, -u.pid))
    return found


def busiest(rivals: list[GpuUser], weights: Weights) -> list[GpuUser]:
    """Of these processes of one node those of the program that weighs most there."""
    program = max(rivals, key=lambda u: weights[(u.node, u.exe)]).exe
    return [u for u in rivals if u.exe == program]


def tied(user: GpuUser, others: list[GpuUser], flows: set[tuple[str, int, int]]) -> bool:
    """Whether anything ties a process to one of these, of which nobody is known to log, different programs
    included."""
    if any(user.ppid == u.pid or u.ppid == user.pid for u in others):
        return True
    return any(tie_of(user, u, flows) is not None for u in others) or is_stage(user, others)


def in_doubt(user: GpuUser, users: list[GpuUser]) -> bool:
    """A kin that worked while linked ones did, on GPUs of its own: tied to them, but not as a rank."""
    base = [u for u in users if u.cls == "linked" and u.node == user.node and not _apart(user, u)]
    long_s = user.last_at - user.first_at
    shared = [u for u in base if set(u.gpus) & set(user.gpus) and _together_s(user, u) > MEET * long_s]
    return user.cls == "kin" and bool(base) and not shared


def id_of(user: GpuUser) -> tuple[str, int, int]:
    """What names a process on a cluster."""
    return (user.node, user.pid, user.start_ticks)


def _with(user: GpuUser, cls: str, why: str) -> GpuUser:
    return replace(user, cls=cls, why=why)


def _spread(users: list[GpuUser], why: dict[tuple[str, int, int], str]) -> None:
    """Ranks beside a linked process: same program, same parent (or another node), no GPU in common at the
    same time; ranks of a training that was started again come one after the other."""
    while True:
        base = [u for u in users if id_of(u) in why]
        fresh = [u for u in users if id_of(u) not in why and not any(meet(u, b) for b in base)]
        ranks = [u for u in fresh if any(_siblings(u, b) for b in base)]
        lone = [u for u in ranks if not any(v is not u and meet(u, v) for v in ranks)]
        if not lone:
            return
        why.update({id_of(u): "rank beside a linked process" for u in lone})


def meet(a: GpuUser, b: GpuUser) -> bool:
    """Whether both worked on one GPU at the same time."""
    return a.node == b.node and bool(set(a.gpus) & set(b.gpus)) and not _apart(a, b)


def _siblings(a: GpuUser, b: GpuUser) -> bool:
    if a.exe is None or a.exe != b.exe:
        return False
    if a.node == b.node:
        return a.ppid == b.ppid and (a.cmdline == b.cmdline or (not from_shell(a) and _same_script(a, b)))
    return a.parents[:1] == b.parents[:1] and _same_script(a, b)


def _same_script(a: GpuUser, b: GpuUser) -> bool:
    """Alike but for the numbers in their command lines (ranks, ports); unknown lines are no difference."""
    if a.cmdline is None or b.cmdline is None:
        return True
    return _NUMBER.sub("", a.cmdline) == _NUMBER.sub("", b.cmdline)


def from_shell(user: GpuUser) -> bool:
    """Whether a shell started it, as a batch script does."""
    return not user.parents or user.parents[0] in SHELLS


def _judge(
    user: GpuUser,
    users: list[GpuUser],
    why: dict[tuple[str, int, int], str],
    flows: set[tuple[str, int, int]],
) -> GpuUser:
    """Kin where any tie to a linked process shows, else stray."""
    linked = [u for u in users if id_of(u) in why]
    tie = next((tie for base in linked if (tie := tie_of(user, base, flows)) is not None), None)
    if tie is not None or is_stage(user, linked):
        return _with(user, "kin", STAGE if tie is None else tie)
    if not any(u.node == user.node for u in users if id_of(u) in why):
        return _with(user, "kin", "no linked process on this node to compare with")
    return _with(user, "stray", "no tie to the process that logs progress")


def same_program(user: GpuUser, users: list[GpuUser]) -> bool:
    """Whether a process that logs progress on its node is the same program: no tie by itself, as any script
    may be given to an interpreter."""
    return any(u.cls == "linked" and u.node == user.node and u.exe == user.exe is not None for u in users)


def _apart(a: GpuUser, b: GpuUser) -> bool:
    """One worked before the other: they meet for no more than a window's edge makes of it."""
    return _together_s(a, b) <= MEET * min(a.last_at - a.first_at, b.last_at - b.first_at)


def _together_s(a: GpuUser, b: GpuUser) -> float:
    return min(a.last_at, b.last_at) - max(a.first_at, b.first_at)


def tie_of(user: GpuUser, base: GpuUser, flows: set[tuple[str, int, int]]) -> str | None:
    """What ties a process to one of the training; null: nothing seen."""
    if user.node != base.node:
        return None
    if (user.node, user.pid, base.pid) in flows or (user.node, base.pid, user.pid) in flows:
        return "speaks with the process that logs progress"
    same = user.exe is not None and user.exe == base.exe
    if same and (user.ppid == base.pid or base.ppid == user.pid):
        return CHILD
    if same and user.ppid == base.ppid and (not from_shell(user) or user.cmdline == base.cmdline):
        return LAUNCHED
    return None


def is_stage(user: GpuUser, others: list[GpuUser]) -> bool:
    """Whether it worked on a GPU of these before or after them, and beside none of them: of a training that
    was started again, what works beside the second one came after the first, and that ties it to nobody."""
    shared = [u for u in others if u.node == user.node and set(u.gpus) & set(user.gpus)]
    return bool(shared) and not any(meet(user, u) for u in shared)

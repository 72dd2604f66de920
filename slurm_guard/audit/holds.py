"""What logs tell of a run's GPU processes: who holds one, who wrote as much, who may write another."""

from dataclasses import dataclass, replace

# A process is the log's writer only if it wrote at least this part of the log's bytes. Judgement: the reader
# may have seen a log that an earlier process began.
WROTE = 0.5
# Two logs of one training end within this of one another, each at its interval, and count at one pace.
# Judgement.
SAME_COUNTER, SAME_PACE = 0.1, 0.2


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
    counter: float | None = None  # the highest step, or else sample or token, that it tells of; null: none
    pace: float | None = None  # of that counter, a second, from its first record to its last; null: not known
    grew_b: int | None = (
        None  # bytes that were seen to come; null: not seen. An appended log had others before
    )


def by_log(users: list[GpuUser], logs: list[LogHold]) -> dict[int, str]:
    """Users that hold a log which not every user of that node holds: an inherited stdout tells nothing."""
    found: dict[int, str] = {}
    for log in logs:
        here = [k for k, u in enumerate(users) if u.node == log.node]
        holding = [k for k in here if users[k].pid in log.pids]
        own_file = log.how not in ("stdout", "stderr")
        if holding and (len(holding) < len(here) or (own_file and len(holding) == 1)):
            found.update(dict.fromkeys(_writers(users, holding, log), f"holds {log.how} log open"))
    return found


def _writers(users: list[GpuUser], holding: list[int], log: LogHold) -> list[int]:
    """The holders of a log, without those that share a GPU with one that wrote it and wrote too little
    themselves: an open file alone is quickly had."""
    written = {k: b for k in holding if (b := users[k].written_b) is not None}
    if log.size is None or len(written) < len(holding):
        return holding
    wrote = [k for k, b in written.items() if b >= max(1.0, WROTE * log.size)]
    taken = {g for k in wrote for g in users[k].gpus}
    return [k for k in holding if k in wrote or not taken.intersection(users[k].gpus)]


def by_writing(users: list[GpuUser], logs: list[LogHold]) -> dict[int, str]:
    """Users that wrote enough bytes to have written the log, where not all of them did."""
    sizes = [log.size for log in logs if log.size is not None]
    if not sizes or len(users) < 2:
        return {}
    need = WROTE * min(sizes)
    if need < 1 or any(u.written_b is None for u in users):
        return {}
    wrote = [k for k, u in enumerate(users) if u.written_b is not None and u.written_b >= need]
    return dict.fromkeys(wrote, "wrote as much as the log grew") if len(wrote) < len(users) else {}


def second_logs(users: list[GpuUser], logs: list[LogHold]) -> list[GpuUser]:
    """The users, those no longer stray that may write a log of another training than the linked ones do: two
    trainings in one job, one of them on the stdout that all inherit. On each node a lone process may, or the
    ranks of one launcher: of several those that worked most."""
    linked = {(u.node, u.pid) for u in users if u.cls == "linked"}
    told = [g for g in logs if _tells(g, users) and any((g.node, p) in linked for p in g.pids)]
    other = [g for g in logs if g not in told and not any(_same_counter(g, t) for t in told)]
    strays = [u for u in users if u.cls == "stray"]
    free = [u for u in strays if any(g.node == u.node and u.pid in g.pids for g in other)]
    free = [u for u in free if _may_write(u, free, other)]
    if not told or not free:
        return users
    writers = {node: _heaviest([u for u in free if u.node == node]) for node in {u.node for u in free}}
    return [
        replace(u, cls="kin", why="may write a log of its own")
        if u in free and (u.ppid, u.exe) == writers[u.node]
        else u
        for u in users
    ]


def _heaviest(users: list[GpuUser]) -> tuple[int | None, str | None]:
    """Launcher and program of those that worked most together."""
    sums: dict[tuple[int | None, str | None], int] = {}
    for u in users:
        sums[u.ppid, u.exe] = sums.get((u.ppid, u.exe), 0) + u.sm_ms
    return max(sums, key=lambda key: (sums[key], str(key)))


def _may_write(user: GpuUser, free: list[GpuUser], logs: list[LogHold]) -> bool:
    """Whether it, or another of its launcher's, wrote enough for one of these logs; unknown bytes may be."""
    ranks = [u for u in free if (u.node, u.ppid, u.exe) == (user.node, user.ppid, user.exe)]
    if any(u.written_b is None for u in ranks):
        return True
    most = max(u.written_b or 0 for u in ranks)
    mine = [g for g in logs if g.node == user.node and user.pid in g.pids]
    sizes = [g.size if g.grew_b is None or g.size is None else min(g.size, g.grew_b) for g in mine]
    return any(size is None or most >= max(1.0, WROTE * size) for size in sizes)


def _tells(log: LogHold, users: list[GpuUser]) -> bool:
    """Whether not every user of the log's node holds it."""
    here = [u for u in users if u.node == log.node]
    return 0 < sum(u.pid in log.pids for u in here) < len(here)


def _same_counter(a: LogHold, b: LogHold) -> bool:
    """Two logs of one training tell of the same step, at the same pace; what is unknown may be the same."""
    return _near(a.counter, b.counter, SAME_COUNTER) and _near(a.pace, b.pace, SAME_PACE)


def _near(a: float | None, b: float | None, part: float) -> bool:
    return a is None or b is None or abs(a - b) <= part * max(a, b)

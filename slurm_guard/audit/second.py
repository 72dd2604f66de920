"""Second programs of a run whose only tie to its training is who started them, or of which nothing is logged.

Such a tie is credited (owners.link) and held against nobody. How long they worked beside the training, and
whether they come and go with it, is measured here; the check `second-program` asks what they are for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from slurm_guard.audit import owners, programs
from slurm_guard.audit.codes import like, texts
from slurm_guard.audit.coupling import swings_against
from slurm_guard.audit.holds import GpuUser, LogHold
from slurm_guard.audit.kin import THERE
from slurm_guard.audit.spans import recurring

AT_WORK = 0.25  # of the training's usual time per window, from which it works. Judgement.
USUALLY = 0.75  # the quantile of it that is usual: start-up and pauses lie below. Judgement.
MOSTLY = 0.5  # of the windows, or of its time. Judgement.
_WHO = ["i", "node", "pid", "start_ticks"]

Flows = set[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Second:
    """One such program on one node, all its processes together: who starts anew for each piece of work is
    there as long as who never ends. `user`: the one of them that worked most. `tie`: child, launched (by the
    training's launcher), either (there is a log, and nothing tells whose) or none (no log tells which of the
    run's programs is its work). `beside_us`: GPU-µs while the training worked, as NVML told them; `there`:
    part of the training's windows in which it worked, the whole run's or, where there is a log, its latter
    half's, whichever is more; of one that comes and goes alike, as evaluations do (`comes`), the part of the
    time. `turns`: the others rest for it."""

    user: GpuUser
    n: int
    tie: str
    beside_us: int
    whole_us: int
    there: float
    comes: bool
    turns: bool = False

    @property
    def stays(self) -> bool:
        """Whether it worked most of the time that the training did, beside it: of the whole, or since it
        came."""
        return not self.turns and self.there >= MOSTLY and self.beside_us >= MOSTLY * self.whole_us


def candidates(users: list[GpuUser], logs: list[LogHold], flows: Flows) -> list[tuple[GpuUser, str]]:
    """Processes of another program whose tie is weak, each with it. `users` as owners.link judged them."""
    if not logs:
        return [(u, "none") for u in _unlogged(users, flows)]
    if not any(u.cls == "linked" for u in users):
        return [(u, "either") for u in _one_may_log(users, flows)]
    weak = {owners.CHILD: "child", owners.LAUNCHED: "launched"}
    return [
        (u, weak[u.why])
        for u in users
        if u.cls == "kin" and u.why in weak and _is_other(u, [b for b in users if b.cls == "linked"], flows)
    ]


def _is_other(user: GpuUser, linked: list[GpuUser], flows: Flows) -> bool:
    """Whether it surely runs another program than each that logs on its node, and speaks with none."""
    here = [b for b in linked if b.node == user.node]
    apart = (programs.are_apart((user.exe, user.cmdline), (b.exe, b.cmdline)) for b in here)
    return bool(here) and all(apart) and not any(_speak(user, b, flows) for b in here)


def _speak(a: GpuUser, b: GpuUser, flows: Flows) -> bool:
    return (a.node, a.pid, b.pid) in flows or (a.node, b.pid, a.pid) in flows


def _unlogged(users: list[GpuUser], flows: Flows) -> list[GpuUser]:
    """Without any log: of programs that share a GPU and have nothing in common, the smaller ones. Programs
    that one launcher started (coupled solvers) have."""
    weights = owners.weights_of(users)
    found = []
    for user in users:
        rivals = [u for u in users if u is user or owners.meet(user, u)]
        first = owners.busiest(rivals, weights)
        if user.exe is None or user in first or any(u.exe is None for u in first):
            continue
        if not owners.tied(user, first, flows) and not any(_one_launcher(user, u) for u in first):
            found.append(user)
    return found


def _one_may_log(users: list[GpuUser], flows: Flows) -> list[GpuUser]:
    """There is a log and nothing tells whose: of programs that share a GPU and surely are two (by their
    scripts, where one interpreter runs both), the smaller ones that have nothing in common with the largest.
    What ties one rank of a program ties all of them."""
    weights: dict[tuple[str, str], int] = {}
    for u in users:
        weights[_name(u)] = weights.get(_name(u), 0) + u.sm_ms
    found: list[GpuUser] = []
    bound: set[tuple[str, str]] = set()
    for user in (u for u in users if u.cls == "kin"):
        rivals = [u for u in users if u is user or owners.meet(user, u)]
        most = _name(max(rivals, key=lambda u: weights[_name(u)]))
        first = [u for u in users if _name(u) == most]
        apart = all(programs.are_apart((user.exe, user.cmdline), (u.exe, u.cmdline)) for u in first)
        if not apart or owners.tied(user, first, flows) or any(_one_launcher(user, u) for u in first):
            bound.add(_name(user))
        else:
            found.append(user)
    return [u for u in found if _name(u) not in bound]


def _name(user: GpuUser) -> tuple[str, str]:
    return (user.node, programs.called(user.exe, user.cmdline))


def _one_launcher(a: GpuUser, b: GpuUser) -> bool:
    return a.ppid == b.ppid and not owners.from_shell(a)


def seconds(
    users: Mapping[int, list[GpuUser]],
    logs: Mapping[int, list[LogHold]],
    flows: Flows,
    uses: Iterable[pl.DataFrame],
) -> dict[int, tuple[Second, ...]]:
    """Those of each run that worked on its GPUs. `uses`: owners.uses, of some nodes each."""
    found = {i: _by_program(candidates(people, logs.get(i, []), flows)) for i, people in users.items()}
    found = {i: some for i, some in found.items() if some}
    if not found:  # as on most nights
        return {}
    rows = [
        (i, u.node, u.pid, u.start_ticks, n)
        for i, some in found.items()
        for n, (people, _) in enumerate(some)
        for u in people
    ]
    named = pl.DataFrame(
        rows,
        schema={"i": pl.Int64, "node": pl.String, "pid": pl.Int64, "start_ticks": pl.Int64, "n": pl.Int64},
        orient="row",
    )
    table = pl.concat([_times(rows, named) for rows in uses])
    table = table.sort("i", "node", "start_at", "end_at", "n", nulls_last=True)
    places = {at: list(rows) for at, rows in groupby(table.iter_rows(), key=lambda row: row[:2])}
    return {
        i: tuple(
            _measured(people, tie, n, places.get((i, people[0].node), []))
            for n, (people, tie) in enumerate(some)
        )
        for i, some in found.items()
    }


def _times(uses: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """Of the runs in `named` what its processes (`n`) and all others (null) worked, by node and window."""
    of_these = pl.col("i").is_in(named["i"].unique().to_list())
    own = uses.filter((pl.col("own") == pl.col("i")) & (pl.col("sm_ms") > 0) & of_these)
    joined = own.join(like(named, own), on=_WHO, how="left")
    return texts(joined.group_by("i", "node", "start_at", "end_at", "n").agg(pl.col("sm_ms").sum()))


def _by_program(found: list[tuple[GpuUser, str]]) -> list[tuple[list[GpuUser], str]]:
    """Those of one node, program and tie together, the one that worked most first."""
    some: dict[tuple[str, str, str], list[GpuUser]] = {}
    for user, tie in found:
        some.setdefault((*_name(user), tie), []).append(user)
    return [(sorted(people, key=lambda u: -u.sm_ms), tie) for (*_, tie), people in some.items()]


Span = tuple[float, float]
Row = tuple[int, str, float, float, int | None, int]


def _measured(people: list[GpuUser], tie: str, n: int, rows: list[Row]) -> Second:
    """The `n`-th candidate beside all others of the run on its node."""
    windows: dict[Span, list[float]] = {}
    for _, _, a, b, who, sm_ms in rows:
        both = windows.setdefault((a, b), [0.0, 0.0])
        if who is None:
            both[0] += sm_ms
        elif who == n:
            both[1] += sm_ms
    spans = sorted(windows)
    rates = [(windows[s][0] / (s[1] - s[0]), windows[s][1] / (s[1] - s[0])) for s in spans]
    usual = _usual([own for own, _ in rates])
    worked = [s for s in spans if windows[s][0] >= AT_WORK * usual * (s[1] - s[0]) > 0]
    present = {s: windows[s][1] for s in spans if windows[s][1] > THERE * 1000 * (s[1] - s[0])}
    whole_ms = sum(windows[s][1] for s in spans)
    comes = _comes(spans, present, whole_ms)
    marks = _marks(worked, present, comes)
    return Second(
        people[0],
        len(people),
        tie,
        int(1000 * sum(windows[s][1] for s in worked)),
        int(1000 * whole_ms),
        max(_mean(marks), 0.0 if tie == "none" else _mean(marks[len(marks) // 2 :])),
        comes,
        tie in ("none", "either") and _takes_turns(people, rates, whole_ms),
    )


def _usual(rates: list[float]) -> float:
    return sorted(rates)[int(USUALLY * (len(rates) - 1))] if rates else 0.0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _marks(worked: list[Span], present: dict[Span, float], comes: bool) -> list[float]:
    """Of each window in which the training worked, whether it was there. Of one that comes and goes, how much
    of the window, by its own usual rate: a visit's first and last window are mostly none of it."""
    usual = _usual([ms / (s[1] - s[0]) for s, ms in present.items()])
    if not comes or usual <= 0:
        return [float(s in present) for s in worked]
    return [min(1.0, present.get(s, 0.0) / (usual * (s[1] - s[0]))) for s in worked]


def _takes_turns(people: list[GpuUser], rates: list[tuple[float, float]], whole_ms: float) -> bool:
    """Whether the others rest for it as for a rollout server, and it is a process that stays."""
    if whole_ms <= 0 or people[0].sm_ms < MOSTLY * sum(u.sm_ms for u in people):
        return False
    return swings_against([own for own, _ in rates], [second for _, second in rates])


def _comes(spans: list[Span], present: dict[Span, float], whole_ms: float) -> bool:
    """Whether most of its work came again and again, alike in length and distance. Windows that nobody saw
    are no pause."""
    holes: list[Span] = []
    work_ms: list[float] = []
    for there, group in groupby(spans, key=lambda s: s in present):
        if there:
            some = list(group)
            work_ms.append(sum(present[s] for s in some))
            holes.append((some[0][0], some[0][0] + work_ms[-1] / 1000))  # its own GPU time is the length
    again = recurring(holes)
    return sum(ms for hole, ms in zip(holes, work_ms, strict=True) if hole in again) > MOSTLY * whole_ms

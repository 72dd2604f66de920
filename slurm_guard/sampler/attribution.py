"""Which run a process belongs to: by cgroup, by slurmstepd ancestry, by memory. Never by its environment.

The uid must be the ticket's: a path or a parent alone gives nobody another user's process.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from slurm_guard.sampler.cgroups import JobRef

# A ticket is written before any process of its run starts; the two clocks differ by rounding: judgement.
START_SLACK_S = 1.0


class RunFacts(NamedTuple):
    """What attribution knows of a run, living or ended."""

    run: str
    job_id: int
    sluid: str | None
    uid: int | None
    at: float  # the ticket's
    ended_at: float | None  # null: it lives
    gpus: frozenset[str] | None  # UUIDs; null: the ticket names none, or they are not resolved


class Origin(NamedTuple):
    """What a process shows of where it comes from."""

    uid: int | None
    start_at: float
    ref: JobRef | None  # its cgroup's job
    ancestors: list["Ancestor"]  # nearest first


class Ancestor(NamedTuple):
    """A process above: a slurmstepd of root's (`stepd`), or one that already has a run."""

    stepd: JobRef | None
    run: str | None
    uid: int | None


class Found(NamedTuple):
    """A run and how it was found (ProcessSeen.how)."""

    run: str
    how: str


def find_run(origin: Origin, runs: Iterable[RunFacts], node: str) -> Found | None:
    """The run of a process; null: none of this node's runs can claim it."""
    known = list(runs)
    if origin.ref is not None:
        if origin.ref.node is not None and origin.ref.node != node:
            return None
        found = run_of_job(origin.ref, known, origin.start_at)
        return Found(found.run, "cgroup") if found is not None and _same_uid(found, origin.uid) else None
    for above in origin.ancestors:
        if above.stepd is not None:
            if above.stepd.node is not None and above.stepd.node != node:
                return None
            found = run_of_job(above.stepd, known, origin.start_at)
            return Found(found.run, "stepd") if found is not None and _same_uid(found, origin.uid) else None
        if above.run is not None and above.uid == origin.uid:
            return Found(above.run, "remembered")
    return None


def run_of_job(ref: JobRef, runs: Iterable[RunFacts], start_at: float) -> RunFacts | None:
    """The newest of the job's runs whose ticket is not younger than a process's start."""
    same = [
        run
        for run in runs
        if (ref.job_id is not None and run.job_id == ref.job_id)
        or (ref.sluid is not None and run.sluid == ref.sluid)
    ]
    before = [run for run in same if run.at <= start_at + START_SLACK_S]
    return max(before or same, key=lambda run: run.at, default=None)


def _same_uid(run: RunFacts, uid: int | None) -> bool:
    return run.uid is not None and run.uid == uid


def find_by_uid(
    uid: int | None, start_at: float, holders: Iterable[RunFacts], last: RunFacts | None
) -> Found | None:
    """For a GPU process outside every job: the one run of its uid that holds the GPU, or was its last holder,
    and during which it started. Null: none or several.
    """
    if uid is None:
        return None
    fitting = {
        run.run
        for run in [*holders, *([last] if last is not None else [])]
        if run.uid == uid
        and run.at - START_SLACK_S <= start_at
        and (run.ended_at is None or start_at <= run.ended_at + START_SLACK_S)
    }
    return Found(fitting.pop(), "uid-time") if len(fitting) == 1 else None


def walk_up(pid: int, parent_of: Callable[[int], int | None], most: int = 64) -> list[int]:
    """The pids above a process, nearest first, without init; bounded, and safe from rings."""
    above: list[int] = []
    parent = parent_of(pid)
    while parent is not None and parent > 1 and parent not in above and len(above) < most:
        above.append(parent)
        parent = parent_of(parent)
    return above

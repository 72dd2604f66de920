"""Which run a process belongs to: by cgroup, by slurmstepd ancestry, by memory. Never by its environment.

A cgroup is the kernel's word: what is in the job's own folder is the job's, whatever uid it has taken (user
namespaces, set-uid helpers). A parent or a time of start is not: there the uid must be the ticket's.
Times are compared on the boot clock, which no set clock moves; on the wall clock where a ticket has no other.
"""

from __future__ import annotations

from slurm_guard.light import Callable, Iterable, NamedTuple
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
    cluster: str = ""
    boot_s: float | None = None  # the ticket's second since boot; null: written by a release without it
    ended_boot_s: float | None = None

    def started_after_begin_s(self, started: Started) -> float:
        """Seconds from the run's begin to the process's start; negative: the process was there before."""
        return started.after_s(self.at, self.boot_s)

    def started_after_end_s(self, started: Started) -> float | None:
        """Seconds from the run's end to the process's start; null: the run lives."""
        return None if self.ended_at is None else started.after_s(self.ended_at, self.ended_boot_s)


class Started(NamedTuple):
    """When a process started, on both clocks."""

    at: float  # wall, as the clock stood when the process was first seen
    boot_s: float | None  # seconds since boot, from start_ticks: exact

    def after_s(self, at: float, boot_s: float | None) -> float:
        """Seconds by which it started after an instant; by the boot clock where both have it."""
        if boot_s is not None and self.boot_s is not None:
            return self.boot_s - boot_s
        return self.at - at


class Origin(NamedTuple):
    """What a process shows of where it comes from."""

    uid: int | None
    started: Started
    ref: JobRef | None  # its cgroup's job
    ancestors: list[Ancestor]  # nearest first


class Ancestor(NamedTuple):
    """A process above: a slurmstepd of root's (`stepd`), or one that already has a run."""

    stepd: JobRef | None
    run: str | None
    uid: int | None


class Found(NamedTuple):
    """A run and how it was found (ProcessSeen.how). `other_uid`: in the job's cgroup, not its user's."""

    run: str
    how: str
    other_uid: bool = False


def find_run(origin: Origin, runs: Iterable[RunFacts], node: str) -> Found | None:
    """The run of a process; null: none of this node's runs can claim it."""
    known = list(runs)
    if origin.ref is not None:
        if origin.ref.node is not None and origin.ref.node != node:
            return None
        return _by_cgroup(run_of_job(origin.ref, known, origin.started, origin.uid), origin.uid)
    for above in origin.ancestors:
        if above.stepd is not None:
            if above.stepd.node is not None and above.stepd.node != node:
                return None
            found = run_of_job(above.stepd, known, origin.started, origin.uid)
            return Found(found.run, "stepd") if found is not None and _same_uid(found, origin.uid) else None
        if above.run is not None and above.uid == origin.uid:
            return Found(above.run, "remembered")
    return None


def find_job(origin: Origin) -> JobRef | None:
    """The Slurm job that a process stands in, of whatever node, with or without a ticket; null: in none."""
    if origin.ref is not None:
        return origin.ref
    return next((above.stepd for above in origin.ancestors if above.stepd is not None), None)


def is_other_nodes(origin: Origin, node: str) -> bool:
    """Whether the process belongs to another slurmd on this host: its sampler knows it, this one does not."""
    job = find_job(origin)
    return job is not None and job.node is not None and job.node != node


def _by_cgroup(run: RunFacts | None, uid: int | None) -> Found | None:
    """Any user's process there is the run's. Root's is not: slurmstepd's children are root's before they are
    the user's, and an admin may enter the folder.
    """
    if run is None or uid is None:
        return None
    if _same_uid(run, uid):
        return Found(run.run, "cgroup")
    return None if uid == 0 else Found(run.run, "cgroup", run.uid is not None)


def run_of_job(
    ref: JobRef, runs: Iterable[RunFacts], started: Started, uid: int | None = None
) -> RunFacts | None:
    """The newest of the job's runs whose ticket is not younger than a process's start.

    Neither a path nor a title names the cluster: where two clusters use the host and both have a job of this
    number, the uid decides, and when it fits both, nobody can say. Null: no run, or not to be told apart.
    """
    same = [
        run
        for run in runs
        if (ref.job_id is not None and run.job_id == ref.job_id)
        or (ref.sluid is not None and run.sluid == ref.sluid)
    ]
    if len({run.cluster for run in same}) > 1:
        same = [run for run in same if _same_uid(run, uid)]
        if len({run.cluster for run in same}) > 1:
            return None
    before = [run for run in same if run.started_after_begin_s(started) >= -START_SLACK_S]
    return newest(before or same)


def newest(runs: list[RunFacts]) -> RunFacts | None:
    """The run that began last; null: there is none."""
    if all(run.boot_s is not None for run in runs):
        return max(runs, key=lambda run: (run.boot_s or 0.0, run.at), default=None)
    return max(runs, key=lambda run: run.at, default=None)


def _same_uid(run: RunFacts, uid: int | None) -> bool:
    return run.uid is not None and run.uid == uid


def find_by_uid(
    uid: int | None, started: Started, holders: Iterable[RunFacts], last: RunFacts | None
) -> Found | None:
    """For a GPU process outside every job: the one run of its uid that holds the GPU, or was its last holder,
    and during which it started. Null: none or several.
    """
    if uid is None:
        return None
    fitting = {
        run.run
        for run in [*holders, *([last] if last is not None else [])]
        if run.uid == uid and _during(run, started)
    }
    return Found(fitting.pop(), "uid-time") if len(fitting) == 1 else None


def _during(run: RunFacts, started: Started) -> bool:
    after_end_s = run.started_after_end_s(started)
    early = run.started_after_begin_s(started) < -START_SLACK_S
    return not early and (after_end_s is None or after_end_s <= START_SLACK_S)


def walk_up(pid: int, parent_of: Callable[[int], int | None], most: int = 64) -> list[int]:
    """The pids above a process, nearest first, without init; bounded, and safe from rings."""
    above: list[int] = []
    parent = parent_of(pid)
    while parent is not None and parent > 1 and parent not in above and len(above) < most:
        above.append(parent)
        parent = parent_of(parent)
    return above

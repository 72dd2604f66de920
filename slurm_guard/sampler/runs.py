"""The runs that this node knows: tickets in, end marks in. The sampler alone decides that a run is over."""

from __future__ import annotations

import os

from slurm_guard import wire
from slurm_guard.light import Any, NamedTuple
from slurm_guard.sampler.attribution import RunFacts, Started
from slurm_guard.sampler.authors import Authors
from slurm_guard.sampler.heard import last_heard_at
from slurm_guard.sampler.inbox import KEEP_S, Inbox, read_record, stamp_at
from slurm_guard.sampler.recover import SEALS

MOST_PAST = 256  # ended runs remembered for leftovers: judgement
# Without a batch or extern step a job's steps come and go (salloc): silence ends it after so many graces.
PATIENCE = 120
_LEAD_STEPS = ("batch", "extern")


class Run:
    """One run while the sampler follows it."""

    def __init__(self, ticket: wire.Ticket) -> None:
        self.ticket = ticket
        self.gpus: list[str] | None = None  # UUIDs; null: not resolved yet
        self.ended_at: float | None = None
        self.ended_boot_s: float | None = None
        self.ended_by: str | None = None
        self.mark: wire.EndMark | None = None  # an epilog's word that nobody has judged yet
        self.doubted = False  # an epilog's word was not believed; told once
        self.suspended = False
        self.lead_seen = False  # a batch or extern step was seen: when it is gone the job is over
        self.absent_since_s: float | None = None
        self.authors = Authors(ticket.at)

    @property
    def key(self) -> str:
        """The run key."""
        return self.ticket.run

    @property
    def alive(self) -> bool:
        """Whether it still holds its GPUs."""
        return self.ended_by is None

    @property
    def facts(self) -> RunFacts:
        """What attribution needs."""
        t = self.ticket
        gpus = None if t.gpus is None or self.gpus is None else frozenset(self.gpus)
        return RunFacts(
            run=t.run,
            job_id=t.job_id,
            sluid=t.sluid,
            uid=t.uid,
            at=t.at,
            ended_at=self.ended_at,
            gpus=gpus,
            cluster=t.cluster,
            boot_s=t.boot_s,
            ended_boot_s=self.ended_boot_s,
        )

    def end(self, by: str, at: float, boot_s: float | None = None) -> None:
        """It is over; the first word holds."""
        if self.ended_by is None:
            self.ended_by, self.ended_at, self.ended_boot_s = by, at, boot_s

    def take_end(self, mark: wire.EndMark) -> None:
        """The epilog's word, which is believed; it also makes a superseded run's end exact."""
        self.ended_by, self.ended_at, self.ended_boot_s = "epilog", mark.at, mark.boot_s

    def note_presence(self, steps: list[str | None], present: bool, mono_s: float) -> None:
        """What a look at the processes found of it."""
        self.lead_seen = self.lead_seen or any(step in _LEAD_STEPS for step in steps)
        if present:
            self.absent_since_s = None
        elif self.absent_since_s is None:
            self.absent_since_s = mono_s

    def note_stopped(self, stopped: list[bool]) -> str | None:
        """Which of its processes a look found stopped; returns the event when that changes what is known.

        Suspended: there are processes and all are stopped. A run without processes stays what it was.
        """
        if not stopped or self.suspended == all(stopped):
            return None
        self.suspended = not self.suspended
        return "run-suspended" if self.suspended else "run-resumed"

    def is_over(self, mono_s: float, grace_s: float, overtaken: bool) -> bool:
        """Whether its processes are gone for good; `overtaken`: a younger run holds one of its GPUs."""
        if self.absent_since_s is None:
            return False
        sure = self.lead_seen or overtaken
        return mono_s - self.absent_since_s >= grace_s * (1 if sure else PATIENCE)


def is_younger(one: Run, other: Run) -> bool:
    """Whether `one` began after `other`; within a boot a set clock does not matter."""
    a, b = one.ticket, other.ticket
    return Started(a.at, a.boot_s if a.boot_id == b.boot_id else None).after_s(b.at, b.boot_s) > 0


class Folders(NamedTuple):
    """Where hooks write, and where the sampler seals: `<dir>/<node>` of [node]."""

    run: str
    spool: str


class RunBook:
    """Follows the hooks' folders."""

    def __init__(self, folders: Folders, node: str, boot_id: str) -> None:
        self.folders, self.node, self.boot_id = folders, node, boot_id
        self.runs: dict[str, Run] = {}
        self.past: dict[str, RunFacts] = {}
        # (file, reason) not usable, each told once; the loop takes them
        self.strange: list[tuple[str, str]] = []
        self._tickets = Inbox(folders.run, folders.spool, "tickets")
        self._ends = Inbox(folders.run, folders.spool, "ends")

    def poll(self) -> list[Run]:
        """Take in what is new, at the first time all that has no seal; returns the runs that began.

        An end mark only waits in its run: whether it is believed is judged elsewhere (endings).
        """
        known = set(self.runs)
        self._read_tickets()
        self._read_ends()
        return [run for key, run in self.runs.items() if key not in known]

    def alive(self) -> list[Run]:
        """Runs that hold their GPUs, oldest first."""
        return sorted(
            (run for run in self.runs.values() if run.alive), key=lambda run: (run.ticket.at, run.key)
        )

    def facts(self) -> list[RunFacts]:
        """All runs that processes may belong to, ended ones too."""
        return [*self.past.values(), *(run.facts for run in self.runs.values())]

    def close(self, run: Run) -> None:
        """The run is sealed; only its facts stay."""
        self.runs.pop(run.key, None)
        self.past[run.key] = run.facts
        while len(self.past) > MOST_PAST:
            self.past.pop(next(iter(self.past)))

    def overtaken(self, run: Run) -> bool:
        """Whether a younger living run holds one of its GPUs."""
        mine = set(run.gpus or [])
        return any(
            is_younger(other, run) and mine & set(other.gpus or [])
            for other in self.alive()
            if other is not run
        )

    # -- the folders

    def tidy(self, at: float) -> None:
        """Remove run-folder tickets and marks of runs that ended an hour ago; the spool has its own.

        By what lies there, not by what this sampler remembers: neither a restart nor short jobs leave a rest.
        """
        jobs = {str(run.ticket.job_id) for run in self.runs.values()}
        alive = {wire.stem(key) for key in self.runs}
        past = {wire.stem(key): facts.ended_at for key, facts in self.past.items()}

        def is_old_ticket(name: str) -> bool:
            stem = name.removesuffix(".json")
            if stem in alive:
                return False
            ended_at = past[stem] if stem in past else self._sealed_at(stem)
            ended_at = stamp_at(name) if ended_at is None else ended_at
            return ended_at is not None and at - ended_at > KEEP_S

        def is_old_mark(name: str) -> bool:
            marked_at = stamp_at(name)
            return name.partition("_")[0] not in jobs and marked_at is not None and at - marked_at > KEEP_S

        self._tickets.tidy(is_old_ticket)
        self._ends.tidy(is_old_mark)

    def _seal_path(self, stem: str) -> str:
        return os.path.join(self.folders.spool, SEALS, f"{stem}.json")

    def _sealed_at(self, stem: str) -> float | None:
        at = read_record(self._seal_path(stem), "seal").get("at")
        return float(at) if isinstance(at, (int, float)) else None

    def _read_tickets(self) -> None:
        for name, body in self._tickets.fresh(self._is_unsealed):
            ticket = _record(wire.Ticket, body)
            if ticket is None or f"{wire.stem(ticket.run)}.json" != name or ticket.node != self.node:
                self.strange.append((name, "not a ticket of this node"))
            elif ticket.run not in self.runs and ticket.run not in self.past:
                self._begin(Run(ticket))

    def _is_unsealed(self, name: str) -> bool:
        return not os.path.exists(self._seal_path(name.removesuffix(".json")))

    def _begin(self, run: Run) -> None:
        if run.ticket.boot_id != self.boot_id:
            heard_at = last_heard_at(self.folders.spool, run.key)
            run.end("reboot", max(run.ticket.at, heard_at) if heard_at is not None else run.ticket.at)
        for other in self.runs.values():
            if other.ticket.job_id != run.ticket.job_id or other.ticket.cluster != run.ticket.cluster:
                continue
            older, younger = (other, run) if is_younger(run, other) else (run, other)
            older.end("superseded", younger.ticket.at, younger.ticket.boot_s)
        self.runs[run.key] = run

    def _read_ends(self) -> None:
        """End marks are named `<job>_<time in ms>.json`; only those of jobs that are followed are opened."""
        jobs = {str(run.ticket.job_id) for run in self.runs.values()}
        for name, body in self._ends.fresh(lambda name: name.partition("_")[0] in jobs):
            mark = _record(wire.EndMark, body)
            if mark is None:
                self.strange.append((name, "not an end mark"))
                continue
            run = self._run_of(mark)
            if run is not None and run.ended_by in (None, "superseded", "reboot"):
                run.mark = mark

    def _run_of(self, mark: wire.EndMark) -> Run | None:
        """By run key; a mark that found no ticket speaks of the job's newest run before it."""
        if mark.run is not None:
            return self.runs.get(mark.run)
        key = (mark.cluster, mark.job_id, mark.boot_id)
        same = [
            run
            for run in self.runs.values()
            if (run.ticket.cluster, run.ticket.job_id, run.ticket.boot_id) == key
            and Started(mark.at, mark.boot_s).after_s(run.ticket.at, run.ticket.boot_s) >= 0
        ]
        return max(same, key=lambda run: run.ticket.at, default=None)


def _record(shape: Any, body: dict[str, Any]) -> Any:
    """A NamedTuple from JSON; a newer release's keys are left out. Null: what is needed is not there."""
    needed = {"run": str, "node": str, "cluster": str, "job_id": int, "boot_id": str}
    if shape is wire.EndMark:
        needed.pop("run")
    for name, kind in needed.items():
        if not isinstance(body.get(name), kind):
            return None
    if not isinstance(body.get("at"), (int, float)):
        return None
    gpus = body.get("gpus")
    if gpus is not None and not (isinstance(gpus, list) and all(isinstance(g, int) for g in gpus)):
        return None
    fields = {name: body.get(name) for name in shape._fields if name != "format"}
    if not isinstance(fields["boot_s"], (int, float)):
        fields["boot_s"] = None
    return shape(**fields)

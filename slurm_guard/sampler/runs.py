"""The runs that this node knows: tickets in, end marks in. The sampler alone decides that a run is over."""

import json
import os
from typing import Any, NamedTuple

from slurm_guard import wire
from slurm_guard.sampler.attribution import RunFacts
from slurm_guard.sampler.recover import SEALS

MOST_PAST = 256  # ended runs remembered for leftovers: judgement
# Without a batch or extern step a job's steps come and go (salloc): silence ends it after so many graces.
PATIENCE = 120
KEEP_S = 3600.0  # an epilog may come late and looks for its ticket: judgement
_LEAD_STEPS = ("batch", "extern")
_MAX_FILE = 1 << 20


class Run:
    """One run while the sampler follows it."""

    def __init__(self, ticket: wire.Ticket) -> None:
        self.ticket = ticket
        self.gpus: list[str] | None = None  # UUIDs; null: not resolved yet
        self.ended_at: float | None = None
        self.ended_by: str | None = None
        self.lead_seen = False  # a batch or extern step was seen: when it is gone the job is over
        self.absent_since_s: float | None = None

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
        return RunFacts(t.run, t.job_id, t.sluid, t.uid, t.at, self.ended_at, gpus)

    def end(self, by: str, at: float) -> None:
        """It is over; the first word holds."""
        if self.ended_by is None:
            self.ended_by, self.ended_at = by, at

    def note_presence(self, steps: list[str | None], present: bool, mono_s: float) -> None:
        """What a look at the processes found of it."""
        self.lead_seen = self.lead_seen or any(step in _LEAD_STEPS for step in steps)
        if present:
            self.absent_since_s = None
        elif self.absent_since_s is None:
            self.absent_since_s = mono_s

    def is_over(self, mono_s: float, grace_s: float, overtaken: bool) -> bool:
        """Whether its processes are gone for good; `overtaken`: a younger run holds one of its GPUs."""
        if self.absent_since_s is None:
            return False
        sure = self.lead_seen or overtaken
        return mono_s - self.absent_since_s >= grace_s * (1 if sure else PATIENCE)


class Folders(NamedTuple):
    """Where hooks write, and where the sampler seals: `<dir>/<node>` of [node]."""

    run: str
    spool: str


class RunBook:
    """Follows the ticket and end-mark folders; each file is read once."""

    def __init__(self, folders: Folders, node: str, boot_id: str) -> None:
        self.folders, self.node, self.boot_id = folders, node, boot_id
        self.runs: dict[str, Run] = {}
        self.past: dict[str, RunFacts] = {}
        self.strange: list[
            tuple[str, str]
        ] = []  # (file, reason) not usable, each told once; the loop takes them
        self._seen: set[str] = set()

    def adopt(self) -> None:
        """At start: also the spool's tickets without a seal, of this boot or an earlier one."""
        self._read_tickets(os.path.join(self.folders.spool, "tickets"))
        jobs = {str(run.ticket.job_id) for run in self.runs.values()}
        self._read_ends(os.path.join(self.folders.spool, "ends"), jobs)

    def poll(self) -> list[Run]:
        """Take in what is new; returns the runs that began."""
        known = set(self.runs)
        self._read_tickets(os.path.join(self.folders.run, "tickets"))
        self._read_ends(os.path.join(self.folders.run, "ends"))
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

    def tidy(self, at: float) -> None:
        """Remove run-folder tickets and marks of runs that ended an hour ago; the spool has its own."""
        old = [
            facts
            for facts in self.past.values()
            if facts.ended_at is not None and at - facts.ended_at > KEEP_S
        ]
        for facts in old:
            self._drop(os.path.join(self.folders.run, "tickets", f"{wire.stem(facts.run)}.json"))
            for name in self._listed(os.path.join(self.folders.run, "ends")):
                job, _, ms = name.removesuffix(".json").partition("_")
                if job == str(facts.job_id) and ms.isdigit() and at - int(ms) / 1000 > KEEP_S:
                    self._drop(os.path.join(self.folders.run, "ends", name))

    def _drop(self, path: str) -> None:
        try:
            os.unlink(path)
        except OSError:
            return
        self._seen.discard(path)

    def overtaken(self, run: Run) -> bool:
        """Whether a younger living run holds one of its GPUs."""
        mine = set(run.gpus or [])
        return any(
            other.ticket.at > run.ticket.at and mine & set(other.gpus or [])
            for other in self.alive()
            if other is not run
        )

    def _names(self, folder: str) -> list[str]:
        """Names in a folder that were not there before."""
        try:
            names = [
                name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")
            ]
        except OSError:
            return []
        fresh = [name for name in names if os.path.join(folder, name) not in self._seen]
        self._seen.update(os.path.join(folder, name) for name in fresh)
        return sorted(fresh)

    def _listed(self, folder: str) -> list[str]:
        try:
            return [
                name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")
            ]
        except OSError:
            return []

    def _read_tickets(self, folder: str) -> None:
        for name in self._names(folder):
            stem = name[: -len(".json")]
            if os.path.exists(os.path.join(self.folders.spool, SEALS, f"{stem}.json")):
                continue
            body = self._load(os.path.join(folder, name), "ticket")
            ticket = _record(wire.Ticket, body)
            if ticket is None or wire.stem(ticket.run) != stem or ticket.node != self.node:
                self.strange.append((name, "not a ticket of this node"))
            elif ticket.run not in self.runs and ticket.run not in self.past:
                self._begin(Run(ticket))

    def _begin(self, run: Run) -> None:
        if run.ticket.boot_id != self.boot_id:
            run.end("reboot", run.ticket.at)
        for other in self.runs.values():
            if other.ticket.job_id != run.ticket.job_id or other.ticket.cluster != run.ticket.cluster:
                continue
            older, younger = sorted((other, run), key=lambda one: one.ticket.at)
            older.end("superseded", younger.ticket.at)
        self.runs[run.key] = run

    def _read_ends(self, folder: str, jobs: set[str] | None = None) -> None:
        """End marks are named `<job>_<time in ms>.json`; with `jobs` only those jobs' are opened."""
        for name in self._names(folder):
            if jobs is not None and name.partition("_")[0] not in jobs:
                continue
            mark = _record(wire.EndMark, self._load(os.path.join(folder, name), "end"))
            if mark is None:
                self.strange.append((name, "not an end mark"))
                continue
            run = self._run_of(mark)
            if run is not None and run.ended_by in (None, "superseded"):
                run.ended_by, run.ended_at = "epilog", mark.at

    def _run_of(self, mark: wire.EndMark) -> Run | None:
        """By run key; a mark that found no ticket speaks of the job's newest run before it."""
        if mark.run is not None:
            return self.runs.get(mark.run)
        same = [
            run
            for run in self.runs.values()
            if (run.ticket.job_id, run.ticket.boot_id) == (mark.job_id, mark.boot_id)
            and run.ticket.at <= mark.at
        ]
        return max(same, key=lambda run: run.ticket.at, default=None)

    def _load(self, path: str, kind: str) -> dict[str, Any]:
        try:
            with open(path, "rb") as body:
                found = json.loads(body.read(_MAX_FILE))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) and found.get("k") == kind else {}


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
    return shape(**{name: body.get(name) for name in shape._fields if name != "format"})

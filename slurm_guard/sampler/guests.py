"""Who is on a GPU that is not his: leftovers of ended runs, and foreign processes. Each is told once."""

from typing import Any, NamedTuple

from slurm_guard import wire
from slurm_guard.sampler.attribution import RunFacts
from slurm_guard.sampler.processes import Key, Process

SIGHTINGS = 2  # looks that must find it: a process may be dying, or not yet in its cgroup, at one: judgement


class Look(NamedTuple):
    """One process on one GPU at one look at the tables."""

    at: float
    gpu: str
    process: Process
    holders: list[str]  # runs that hold the GPU


class Guests:
    """Counts sightings between looks."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Key, str], int] = {}
        self._told: set[tuple[Key, str]] = set()
        self._at_home: set[str] = (
            set()
        )  # GPUs on which a run's own process was seen: the GRES map holds there

    def judge(self, look: Look, facts: dict[str, RunFacts]) -> wire.Event | None:
        """An event for a process that is not at home on the GPU, at its second sighting; else null."""
        process = look.process
        if process.run is not None and process.run in look.holders:
            self._at_home.add(look.gpu)
            return None
        place = (process.key, look.gpu)
        self._seen[place] = self._seen.get(place, 0) + 1
        if self._seen[place] < SIGHTINGS or place in self._told:
            return None
        self._told.add(place)
        return wire.Event(look.at, process.run, _name(process, facts), self._detail(look, facts))

    def _detail(self, look: Look, facts: dict[str, RunFacts]) -> dict[str, Any]:
        process = look.process
        after_s = [facts[run].started_after_begin_s(process.started) for run in look.holders if run in facts]
        return {
            "gpu": look.gpu,
            "pid": process.pid,
            "start_ticks": process.start_ticks,
            "start_at": round(process.start_at, 2),
            "uid": process.uid,
            "exe": wire.clip(process.exe, 1024),
            "how": process.how,
            "holders": look.holders,
            "holder_uids": [facts[run].uid for run in look.holders if run in facts],
            "before_holder": bool(after_s) and max(after_s) < 0,
            "map": "confirmed" if look.gpu in self._at_home else "unconfirmed",
        }

    def forget(self, gone: list[Process]) -> None:
        """Processes that ended."""
        keys = {process.key for process in gone}
        self._seen = {place: n for place, n in self._seen.items() if place[0] not in keys}
        self._told = {place for place in self._told if place[0] not in keys}


def _name(process: Process, facts: dict[str, RunFacts]) -> str:
    """leftover: its run has ended. Soft: late-process, which Slurm itself started in a job that was taken for
    over; gpu-unmapped, its run's GPUs are not known here; system-process, root's; other-node-process, a
    job's of another slurmd of this host. Else foreign-process.
    """
    run = facts.get(process.run) if process.run is not None else None
    if process.other_node:
        return "other-node-process"
    if run is None:
        return "system-process" if process.uid == 0 else "foreign-process"
    after_end_s = run.started_after_end_s(process.started)
    if after_end_s is not None:
        late = after_end_s > 0 and process.how in ("cgroup", "stepd")
        return "late-process" if late else "leftover"
    return "gpu-unmapped" if run.gpus is None else "foreign-process"

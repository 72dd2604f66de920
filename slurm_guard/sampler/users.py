"""Whose processes are on the node, as far as that says whose their sockets are."""

from __future__ import annotations

from slurm_guard.light import Iterable
from slurm_guard.sampler.process import Process


class Users:
    """Of one look. `uids`: those of runs' processes; `every`: the runs that each of them has; `runs`: the
    same of those without a process outside runs."""

    def __init__(self, members: Iterable[Process] = (), every: Iterable[Process] = ()) -> None:
        found: dict[int, set[str]] = {}
        for process in members:
            if process.uid is not None and process.run is not None:
                found.setdefault(process.uid, set()).add(process.run)
        outside = {process.uid for process in every if process.run is None}
        self.uids, self.every = set(found), found
        self.runs = {uid: runs for uid, runs in found.items() if uid not in outside}

    def run_of(self, uid: int) -> str | None:
        """The run whose all sockets of a user must be; null: several, or he has processes outside."""
        runs = self.runs.get(uid, ())
        return min(runs) if len(runs) == 1 else None

    def touched(self, uids: set[int], every: set[str]) -> set[str]:
        """Runs that may have sockets of these users; all, where a user has processes outside."""
        return {run for uid in uids & self.uids for run in self.runs.get(uid, every)}

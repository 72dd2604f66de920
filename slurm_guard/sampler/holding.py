"""Which run holds which board: tickets' GPUs through the map, told once where they do not resolve."""

from __future__ import annotations

from slurm_guard.light import Any, Callable
from slurm_guard.sampler.boards import Board
from slurm_guard.sampler.gpumap import Map, Resolved
from slurm_guard.sampler.reading import GpuInfo
from slurm_guard.sampler.runs import Run
from slurm_guard.sampler.writer import Instant

LEAST_LOOKS = 2  # process lists that must be empty before a GPU counts as untouched: judgement
_SHARES_GPUS = frozenset({"mps", "shard"})  # not oversubscribe, which earlier tickets say: CPUs alone
MOST_IN_LIST = 32  # GPU indices or runs told in one event


class Holding:
    """Between the runs and the boards. `event`: the loop's (name, run, detail)."""

    def __init__(self, gpumap: Map, boards: dict[str, Board], event: Callable[..., None]) -> None:
        self.map, self.boards, self._event = gpumap, boards, event
        self._resolved: dict[str, Resolved] = {}
        self._told: set[str] = set()
        self._told_contradicted = False

    def note(self, infos: list[GpuInfo]) -> None:
        """The boards in sight: where they changed, what was unresolved is asked again."""
        if self.map.note(infos):
            self.ask_again()
        for info in infos:
            self.boards[info.uuid].info = info

    def ask_again(self) -> None:
        """Forget what did not resolve, so that the next call of `hold` tries anew."""
        self._resolved = {run: found for run, found in self._resolved.items() if found.n_missing == 0}

    def hold(self, run: Run, now: Instant) -> None:
        """Give a run the boards that its ticket means, as far as they are in sight."""
        if run.key in self._resolved or not self.boards:
            return
        ticket = run.ticket
        shared = not _SHARES_GPUS.isdisjoint(ticket.sharing or ())
        found = self.map.resolve(run.key, ticket.gpus, ticket.visible, shared=shared)
        self._resolved[run.key] = found
        if found.n_missing and run.key not in self._told:
            self._told.add(run.key)
            gpus = (ticket.gpus or [])[:MOST_IN_LIST]
            self._event("gpu-unresolved", run.key, gpus=gpus, n_gpus=len(self.boards), n=found.n_missing)
        if found.n_missing == 0 or found.uuids:
            run.gpus = found.uuids
        at = ticket.at if ticket.boot_s is None else now.at - (now.mono_s - ticket.boot_s)
        for uuid in found.uuids:
            self.boards[uuid].hold(run.key, at, now, shared=shared)

    def release(self, run: Run, now: Instant) -> None:
        """An ended run gives its boards back, at its end."""
        at = now.at if run.ended_at is None else min(run.ended_at, now.at)
        for uuid in run.gpus or []:
            self.boards[uuid].release(run.key, at, now)

    def close(self, run: Run) -> None:
        """Before a run is sealed: its last windows, and the GPUs that it never touched."""
        for uuid in run.gpus or []:
            board = self.boards[uuid]
            touch = board.close_run(run.key)
            if touch is not None and touch.is_untouched and touch.n_lists >= LEAST_LOOKS:
                detail: dict[str, Any] = {"gpu": uuid, "map": self.map.state(run.key, uuid)}
                self._event("gpu-untouched", run.key, **detail, **touch.detail())
        self.map.forget(run.key)
        self._resolved.pop(run.key, None)
        self._told.discard(run.key)

    def learn(self, seen: set[tuple[str, str]]) -> None:
        """What a look at the processes showed: (run, GPU) of living runs' own."""
        if self.map.learn(sorted(seen)):
            self.ask_again()
        if self.map.contradicted and not self._told_contradicted:
            self._event("gpu-map-contradicted", None, runs=self.map.witnesses[:MOST_IN_LIST])
        self._told_contradicted = self.map.contradicted

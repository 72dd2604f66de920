"""How many process records a run may cost at one look: who forks fast fills no disk with it."""

from __future__ import annotations

from slurm_guard.light import Iterable, NamedTuple
from slurm_guard.sampler.process import Process

# Per run and look. What starts a hundred workers is told at once, what forks on and on is not. Judgement
MOST_RECORDS = 256


class Word(NamedTuple):
    """One process that is due to be told."""

    process: Process
    gone: bool

    @property
    def rank(self) -> tuple[int, int, int]:
        """What has to do with a GPU first, then ends of what was told before, then who has lived longest."""
        process = self.process
        first = 0 if process.gpus or process.devices else 1 if self.gone and process.n_changes else 2
        return first, int(self.gone), process.start_ticks


class Budget:
    """Per run (null: none that lives). What lives and found no room is due again at the next look."""

    def __init__(self, most: int = MOST_RECORDS) -> None:
        self.most = most
        self.left_out: dict[str | None, int] = {}  # records that will never come: the process is gone

    def choose(self, run: str | None, words: Iterable[Word]) -> list[Word]:
        """Those that are told now. What has to do with a GPU is always among them."""
        every = [*words]
        if len(every) <= self.most:
            return every
        ranked = sorted(every, key=lambda word: word.rank)
        n = max(self.most, sum(word.rank[0] == 0 for word in ranked))
        lost = sum(word.gone for word in ranked[n:])
        if lost:
            self.left_out[run] = self.left_out.get(run, 0) + lost
        return ranked[:n]

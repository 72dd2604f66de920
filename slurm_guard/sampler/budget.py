"""How many process records a run may cost at one look: who forks fast fills no disk with it."""

from __future__ import annotations

from slurm_guard.light import Iterable, NamedTuple
from slurm_guard.sampler.process import Process

# Per run and look. What starts a hundred workers is told at once, what forks on and on is not. Judgement
MOST_RECORDS = 256
# A run's purse, and what each look puts into it: 256 a look for a day would be gigabytes of text, this is
# 30 MB an hour of the longest ones. Judgement
PURSE, REFILL = 2048, 32


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
        self.left_out: dict[str | None, int] = {}  # records that will never come
        self._n_looks = 0
        self._purses: dict[str | None, tuple[int, int]] = {}  # (what is left, at which look)

    def begin(self) -> None:
        """A new look."""
        self._n_looks += 1

    def choose(self, run: str | None, words: Iterable[Word], *, last: bool = False) -> list[Word]:
        """Those that are told now. What has to do with a GPU is always among them. `last`: the run is over,
        there is no next look.
        """
        every = [*words]
        left, at = self._purses.get(run, (PURSE, self._n_looks))
        left = min(PURSE, left + REFILL * (self._n_looks - at))
        room = min(self.most, left)
        if len(every) > room:
            ranked = sorted(every, key=lambda word: word.rank)
            n = max(room, sum(word.rank[0] == 0 for word in ranked))
            lost = sum(word.gone or (last and not word.process.n_changes) for word in ranked[n:])
            if lost:
                self.left_out[run] = self.left_out.get(run, 0) + lost
            every = ranked[:n]
        self._purses[run] = max(0, left - len(every)), self._n_looks
        return every

    def forget(self, run: str) -> None:
        """A run that was sealed."""
        self.left_out.pop(run, None)
        self._purses.pop(run, None)

"""How many process records a run may cost at one look, and how many events an owner: who forks fast, or calls
files of his own after GPUs' device files, fills no disk with it.
"""

from __future__ import annotations

from slurm_guard.light import Any, Iterable, NamedTuple
from slurm_guard.sampler.process import Process

# Per run and look. What starts a hundred workers is told at once, what forks on and on is not. Judgement
MOST_RECORDS = 256
# A run's purse, and what each look puts into it: 256 a look for a day would be gigabytes of text, this is
# 30 MB an hour of the longest ones. Judgement
PURSE, REFILL = 2048, 32
# The same of soft events, per owner. Each process is told once for a GPU, and what a run's listed processes
# explain is not told at all: an honest job has none, or some. Judgement
EVENTS, EVENTS_REFILL = 64, 1
MOST_OWNERS = 128  # with a purse of their own; the others share one. Judgement
AGAIN_S = 600.0  # between two words about what was left out. Judgement


class Word(NamedTuple):
    """One process that is due to be told."""

    process: Process
    gone: bool

    @property
    def rank(self) -> tuple[int, int, int]:
        """What NVML lists first, then who has a device file open, ends of what was told before, who has lived
        longest. A file that is only called so counts for nothing here: anybody makes a thousand of them.
        """
        process, ended = self.process, self.gone and self.process.n_changes > 0
        first = 0 if process.gpus else 1 if process.on_device else 2 if ended else 3
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
        """Those that are told now. What NVML lists is always among them: it has a context on the GPU, and
        those are few; open files are inherited by whatever forks. `last`: the run is over, no look follows.
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


class LeftOut:
    """Counts of what was left out, by whose it was: told at once, and then at most every ten minutes."""

    def __init__(self) -> None:
        self._n: dict[object, int] = {}
        self._told_s: dict[object, float] = {}

    def add(self, whose: object, n: int = 1) -> None:
        """So many more; of too many owners under null."""
        if whose not in self._n and len(self._n) >= MOST_OWNERS:
            whose = None
        self._n[whose] = self._n.get(whose, 0) + n

    def take(self, mono_s: float) -> list[tuple[Any, int]]:
        """(whose, how many since it was last told) of those that are to be told now."""
        self._told_s = {whose: at_s for whose, at_s in self._told_s.items() if mono_s - at_s < AGAIN_S}
        due = [whose for whose in self._n if whose not in self._told_s]
        self._told_s.update(dict.fromkeys(due, mono_s))
        return [(whose, self._n.pop(whose)) for whose in due]


class Purses:
    """Soft events per owner; begin with a new look."""

    def __init__(self) -> None:
        self._n_looks = 0
        self._left: dict[object, tuple[int, int]] = {}  # (what is left, at which look)

    def begin(self) -> None:
        """A new look. Purses that are full again need not be kept."""
        self._n_looks += 1
        if len(self._left) >= MOST_OWNERS:
            self._left = {whose: purse for whose, purse in self._left.items() if self._now(purse) < EVENTS}

    def spend(self, whose: object) -> bool:
        """Whether there was something left for one more."""
        if whose not in self._left and len(self._left) >= MOST_OWNERS:
            whose = None
        left = self._now(self._left.get(whose, (EVENTS, self._n_looks)))
        self._left[whose] = max(0, left - 1), self._n_looks
        return left > 0

    def _now(self, purse: tuple[int, int]) -> int:
        return min(EVENTS, purse[0] + EVENTS_REFILL * (self._n_looks - purse[1]))

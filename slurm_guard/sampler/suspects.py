"""Whose connections are looked at in each round: owners that hand bytes on, and nobody knows yet who leads.
Pure."""

from __future__ import annotations

from slurm_guard.light import NamedTuple
from slurm_guard.sampler.fair import numbers, share_out

MOST = 8  # of a node, each run its share. Judgement
IDLE_S = 30.0  # without bytes that were handed on: then a look has to show some again. Judgement
LONGEST_S = 600.0  # of rounds at one; what has not shown by then is left to the looks. Judgement
AGAIN_S = 3600.0  # after that. Judgement

Key = tuple[int, int]


class State(NamedTuple):
    """Of an owner's undecided pairs. `n_coupled`: looks in which bytes were handed on, 0: there is no such
    pair, or, where `is_own`, it is decided; `is_own`: the inner connections are known to be the owner's."""

    n_coupled: int
    is_own: bool


class _Suspect:
    __slots__ = ("began_s", "is_own", "n_coupled", "run", "used_s")

    def __init__(self, run: str, mono_s: float) -> None:
        self.run, self.used_s = run, mono_s
        self.began_s: float | None = None  # null: not looked at
        self.n_coupled, self.is_own = 0, False


class Suspects:
    """Chosen at each look, kept until they are decided or silent."""

    def __init__(self) -> None:
        self._of: dict[Key, _Suspect] = {}
        self.chosen: list[Key] = []

    def note(self, key: Key, run: str, state: State, mono_s: float) -> None:
        """What a look or a round has shown."""
        suspect = self._of.get(key)
        if state.n_coupled == 0 and (suspect is None or suspect.n_coupled > 0 or state.is_own):
            self._of.pop(key, None)
            if key in self.chosen:
                self.chosen.remove(key)
            return
        if suspect is None:
            suspect = self._of[key] = _Suspect(run, mono_s)
        suspect.run, suspect.is_own = run, state.is_own
        if state.n_coupled > suspect.n_coupled:
            suspect.n_coupled, suspect.used_s = state.n_coupled, mono_s
        elif key in self.chosen and self._is_over(suspect, mono_s):
            self.chosen.remove(key)

    def take_up(self, key: Key, run: str, mono_s: float) -> bool:
        """One that no look has shown yet: it was waiting, and opened a connection to this node just now.
        False: there is no room, or it was looked at before."""
        if key in self._of or len(self.chosen) >= MOST:
            return False
        suspect = self._of[key] = _Suspect(run, mono_s)
        suspect.began_s = mono_s
        self.chosen.append(key)
        return True

    def choose(self, mono_s: float, alive: set[Key]) -> None:
        """At a look's end. Those that are looked at already come first, then those whose inner connections
        are known, then the latest."""
        self._of = {key: suspect for key, suspect in self._of.items() if key in alive}
        new = [key for key, suspect in self._of.items() if not self._is_over(suspect, mono_s)]
        left = share_out(numbers(self._of[key].run for key in new), MOST)
        before = set(self.chosen)
        new.sort(key=lambda k: (k not in before, not self._of[k].is_own, -self._of[k].used_s))
        self.chosen = []
        for key in new:
            suspect = self._of[key]
            if left[suspect.run] > 0:
                left[suspect.run] -= 1
                self.chosen.append(key)
                suspect.began_s = mono_s if suspect.began_s is None else suspect.began_s

    def _is_over(self, suspect: _Suspect, mono_s: float) -> bool:
        if mono_s - suspect.used_s > IDLE_S:
            return True
        since_s = 0.0 if suspect.began_s is None else mono_s - suspect.began_s
        if since_s > LONGEST_S + AGAIN_S:
            suspect.began_s = None
        return LONGEST_S < since_s <= LONGEST_S + AGAIN_S

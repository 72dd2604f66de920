"""Stretches in which a training's log moves and the run's GPUs make no floating-point operation.

Loss, gradients and optimiser are floating-point arithmetic, whatever the model; hashing and searching need
the integer pipe alone (pipes.py). What is asked is not how much arithmetic a step needs, but whether there
was any."""

import itertools
from dataclasses import dataclass

from slurm_guard.audit.grid import Slots
from slurm_guard.audit.track import Track

LEAST_ARCS = 5  # records inside such stretches before they say anything. Judgement.


@dataclass(frozen=True, slots=True)
class Bare:
    """Where the log moved beside integer work alone. `share`: 1 in such a slot, else 0; empty: nowhere.
    `n_arcs`: pieces of progress that lie inside."""

    share: tuple[float, ...] = ()
    n_arcs: int = 0

    @property
    def denies(self) -> bool:
        """Enough records of the log fall there to say that its steps are not what the GPUs did."""
        return self.n_arcs >= LEAST_ARCS

    def at(self, k: int) -> float:
        """Share of slot `k` whose claims are denied."""
        return self.share[k] if self.denies else 0.0


def claims_arithmetic(track: Track) -> bool:
    """Whether the log tells of a training, by its losses: a tokeniser counts tokens on integers alone."""
    return sum(mark.loss is not None for mark in track.marks) >= LEAST_ARCS


def bare_claims(slots: Slots, track: Track) -> Bare:
    """Slots with integer work alone, in stretches into which the log put progress."""
    if not claims_arithmetic(track):
        return Bare()
    known = [bare > 0.9 * own > 0 for bare, own in zip(slots.bare, slots.own, strict=True)]
    share, n_arcs, k = [0.0] * len(known), 0, 0
    for is_bare, group in itertools.groupby(known):
        n = len(list(group))
        if is_bare and (inside := _inside(track, slots.at(k), slots.at(k + n))):
            n_arcs += inside
            share[k : k + n] = [1.0] * n
        k += n
    return Bare(tuple(share), n_arcs)


def _inside(track: Track, from_at: float, until_at: float) -> int:
    """Pieces of progress inside, with all that is uncertain of their ends."""
    return sum(
        from_at <= arc.from_at - arc.blur_s and arc.until_at + arc.blur_s <= until_at for arc in track.arcs
    )

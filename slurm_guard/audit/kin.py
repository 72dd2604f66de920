"""Work of processes that only might be part of the training, where it keeps a rhythm of its own."""

from slurm_guard.audit.grid import Slots
from slurm_guard.audit.spans import Kind, recurring

THERE = 0.02  # part of a slot's covered time from which such a process worked in it. Judgement.


def recurring_us(slots: Slots, kinds: list[dict[Kind, float]]) -> float:
    """GPU-µs during training of kin that comes again and again, alike in length and distance, as evaluations
    beside the training do; 0.0 for kin that came once and stayed.

    The ledger sees every process of the run that has a tie as its own work, so a second one that begins
    later raises the cost of a step. What recurs is a stage of the training as far as anybody can see: only
    the upper bound holds it.
    """
    holes: dict[tuple[float, float], float] = {}
    begin: int | None = None
    for k in range(len(slots.cov) + 1):
        there = k < len(slots.cov) and slots.doubt[k] > THERE * slots.cov[k] > 0
        if there and begin is None:
            begin = k
        elif not there and begin is not None:
            # Its own GPU time is the length: a slot is too coarse a measure for something short.
            long_s = sum(slots.doubt[begin:k]) / 1000
            inside = sum(slots.doubt[j] * kinds[j].get(Kind.TRAIN, 0.0) for j in range(begin, k))
            holes[(slots.at(begin), slots.at(begin) + long_s)] = 1000 * inside
            begin = None
    again = recurring(list(holes))
    return sum(us for hole, us in holes.items() if hole in again)

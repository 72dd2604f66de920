"""A counter that begins again in each epoch, added up over the epochs."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import STEP_LIMIT

Filed = tuple[int, Claim]  # file number and claim
Place = tuple[int, int]  # file number and offset
LEAST_RISES = 3  # judgement
USUAL = 0.75  # of the epochs' rises that are the usual one: three and another (judgement)
BATCH = "batch"  # the clock that counts within an epoch


def _begins_anew(moving: list[Filed]) -> bool:
    """Whether the counter is known to begin again with the epochs: it falls where most of them rise."""
    records = [(c.epoch, c.step) for _, c in moving if c.epoch is not None and c.phase != "eval"]
    rises = [
        (after[1] or 0) < (before[1] or 0)
        for before, after in pairwise(records)
        if int(after[0] or 0) > int(before[0] or 0)
    ]
    return any(rises) and 2 * sum(rises) >= len(rises)


def _usual_rise(moving: list[Filed]) -> int:
    """By how many the epochs rise from one that is printed to the next, where that is how the log is written:
    all alike, or nearly all, as where the first and the last are printed as well; 0: it is not."""
    epochs = [int(c.epoch) for _, c in moving if c.epoch is not None and c.phase != "eval"]
    rises = Counter(after - before for before, after in pairwise(epochs) if after > before)
    rise, n = rises.most_common(1)[0] if rises else (0, 0)
    if n < LEAST_RISES or (len(rises) > 1 and (rise < 2 or n < USUAL * rises.total())):
        return 0
    return rise


def carried(moving: list[Filed], unread: Iterable[Place] = ()) -> list[Filed]:
    """A counter that restarts whenever the epoch rises is made cumulative over the epochs.

    Each epoch counts its own total where its records tell one, else up to its last record: they may be of
    unlike length. Epochs that are not printed, where each tenth one is, or that were not read (`unread`: the
    ends of what was left out of files) count as the one before them, without totals as the longest so far, as
    does the epoch that was not read to its end; others that are jumped over nobody ran. An evaluation's own
    counter ends no epoch. A fall to an earlier epoch goes back to where that one began. A log that begins
    with a later epoch goes on with a training: as many as its first are before it, by its number (of those
    who count from 1 one too many, and so too little counts as redone: no print tells). A claim that would
    reach STEP_LIMIT is left out.
    """
    if all(claim.epoch is None for _, claim in moving):
        return moving
    alone = all(claim.phase == "eval" for _, claim in moving)
    out: list[Filed] = []
    base, last, last_epoch = 0, -1, None
    total: int | None = None  # of the last record
    begins: dict[int, int] = {}  # whole epoch -> the count at its begin
    longest = 0
    anew, usual = _begins_anew(moving), _usual_rise(moving)
    edges, was = sorted(unread), (-1, -1)
    for file, claim in moving:
        value, epoch = claim.clock(), claim.epoch
        if value is None or claim.step is None:
            return moving
        if claim.phase == "eval" and not alone:
            out.append((file, claim._replace(step=base + value) if base else claim))
            continue
        here = (file, claim.offset)
        if last_epoch is not None and epoch is not None:
            is_unread = bisect_left(edges, was) < bisect_left(edges, here)
            is_gap = is_unread or int(epoch) - int(last_epoch) <= usual
            ends = last == total and value == claim.total  # only the end of each epoch is told
            ends |= anew and is_gap and total is not None and total == claim.total
            ends |= anew and is_unread and total is None and claim.total is None
            if int(epoch) > int(last_epoch) and (value < last or ends):
                length = total if total is not None and total >= last else last
                length = max(length, longest) if is_unread and total is None else length
                longest = max(longest, length)
                passed = int(epoch) - int(last_epoch) - 1 if is_gap else 0
                base += length + passed * (length if total else longest)
            elif epoch < last_epoch:
                base = begins.get(int(epoch), 0)
        last, total, was = value, claim.total, here
        if epoch is not None:
            last_epoch = epoch
            begins[int(epoch)] = base
        out.append((file, claim._replace(step=base + value) if base else claim))
    first = next(claim for _, claim in moving if claim.epoch is not None)
    before = int(first.epoch or 0) * (first.total or 0) if (first.epoch or 0) >= 2 else 0
    # A log that tells one epoch shows no counter begin again: by their name batches do.
    if not any(begins.values()) and not (before and len(begins) == 1 and first.key == BATCH):
        return out
    out = [(file, claim._replace(step=before + (claim.step or 0), total=None)) for file, claim in out]
    return [item for item in out if (item[1].step or 0) < STEP_LIMIT]

"""Lines of data that read like records: `{"id": 7, "num_tokens": 3540}` tells a sample's length, no progress.

A training's counter falls where it begins again, near its lowest value, or a little, where another rank's
line comes late, and of two that are interleaved one goes on climbing. A column of data falls from anywhere to
anywhere, again and again, and rarely reaches a new height.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import gt

from slurm_guard.progress.protocol import MICRO, Claim

LEAST_FALLS = 8  # resumes in one file that are believed …
INNER_TURNS = 8  # times that a loop begins again, before it is known to lie inside another (judgement)
SHARED = 0.9  # of a clock's records that have the second one, too (judgement)
SIZES = frozenset(("samples", "tokens"))  # clocks whose names a record's own size has as well
LEAST_STILL = 3  # epochs over which a counter that does not move is none (judgement)
FALL_SHARE = 0.1  # … and as a share of its records: beyond, they are data (judgement; as of CSV rows)
CLIMB_SHARE = 0.1  # of the records that reach a new height: with more, something climbs (judgement)
BEGIN_SHARE = 0.8  # of the falls that go back to the begin, where one task follows another (judgement)
TASK_STEPS = 100  # of an agent in the usual task, at most (judgement)
_FAR = 0.1  # of the usual range: beyond, a fall is no late line's and a place no beginning (judgement)
_USUAL = 0.05  # of the values at each end are left out of that range (judgement)


def of_train(claims: Sequence[Claim]) -> Sequence[Claim]:
    """The claims without evaluations', whose counter may be one of their own; all, where these are all."""
    trained = [claim for claim in claims if claim.phase != "eval"]
    return trained or claims


def count_falls(claims: Sequence[Claim]) -> int:
    """How often the counter falls in the middle of its range, if that makes the records data; else 0.

    A record with a total, or of a later epoch than the one before, may begin again anywhere.
    """
    steps = [claim.step for claim in claims]
    if None not in steps and sum(map(gt, steps, steps[1:])) <= LEAST_FALLS:  # type: ignore[arg-type]
        return 0  # most logs, at little cost
    counted = [(value, claim) for claim in of_train(claims) if (value := claim.clock()) is not None]
    most = max(LEAST_FALLS, FALL_SHARE * len(counted))
    falls = [
        (before, value)
        for (before, last), (value, claim) in pairwise(counted)
        if value < before and claim.total is None and not _next_epoch(last.epoch, claim.epoch)
    ]
    if len(falls) <= most or _n_heights(value for value, _ in counted) > CLIMB_SHARE * len(counted):
        return 0
    values = sorted(value for value, _ in counted)
    cut = int(len(values) * _USUAL)
    low, high = values[cut], values[-1 - cut]
    far = _FAR * (high - low)
    n = sum(before - value > far and value - low > far for before, value in falls)
    return n if n > most else 0


def n_turns(claims: Sequence[Claim], least: int, *, with_epochs: bool = False) -> int:
    """How often the counter begins again, as a loop inside another does: 0 below `least` times.

    Its rises then add up to more than twice its span. With a later epoch it may begin again: that counts only
    `with_epochs`.
    """
    steps = [claim.step for claim in claims]
    if None not in steps and sum(map(gt, steps, steps[1:])) < least:  # type: ignore[arg-type]
        return 0  # most logs, at little cost
    counted = [(value, claim.epoch) for claim in of_train(claims) if (value := claim.clock()) is not None]
    falls = rises = 0
    for (before, last), (value, epoch) in pairwise(counted):
        falls += value < before and (with_epochs or not _next_epoch(last, epoch))
        rises += max(0, value - before)
    if falls < least:
        return 0
    values = [value for value, _ in counted]
    return falls if rises > 2 * (max(values) - min(values)) else 0


def outer(claims: list[Claim], others: Mapping[int, tuple[str, int]]) -> list[Claim]:
    """The claims by their records' second clock (offset -> name and count), where that goes on while the
    first begins again: it lies inside the second, or counts within an epoch."""
    if len(others) < INNER_TURNS or (n := n_turns(claims, INNER_TURNS, with_epochs=True)) == 0:
        return claims
    by_other = [
        claim._replace(key=other[0], step=other[1], total=None)
        for claim in claims
        if (other := others.get(claim.offset)) is not None
    ]
    steps = {claim.step for claim in by_other}
    if len(by_other) < SHARED * len(claims) or len(steps) * 2 < n or n_turns(by_other, 1, with_epochs=True):
        return claims
    return by_other


def are_lengths(claims: Sequence[Claim]) -> bool:
    """Whether the records tell nothing but samples or tokens: `{"id": 7, "num_tokens": 3540}`, sorted or not,
    tells how long each is."""
    if not claims or claims[0].key not in SIZES:
        return False
    return all((c.loss, c.epoch, c.at, c.total, c.took_s) == (None,) * 5 for c in claims)


def are_short(claims: Sequence[Claim]) -> bool:
    """Whether the records count something that begins again and again, and say nothing that trainings do.

    `{"task": 7, "step": 3, "action": …}` of an agent: no loss, epoch, time or total in any record.
    """
    if any(c.loss is not None or c.epoch is not None or c.at is not None for c in claims):
        return False
    return all(c.total is None and c.took_s is None for c in claims) and n_turns(claims, LEAST_FALLS) > 0


def are_tasks(claims: Sequence[Claim]) -> bool:
    """Whether the counter begins again and again and ends anywhere, as an agent's in one task after another.

    A loop over data ends where it ended before, a simulation after many steps; ranks that lag fall back a
    little. To be asked where no metric stands beside the counter.
    """
    if any((c.loss, c.epoch, c.took_s) != (None, None, None) for c in claims):
        return False
    if n_turns(claims, LEAST_FALLS) == 0:
        return False
    values = [value for claim in claims if (value := claim.clock()) is not None]
    falls = [(before, after) for before, after in pairwise(values) if after < before]
    begins = sum(after <= min(values) + 1 for _, after in falls)
    ends = sorted(before for before, _ in falls)
    usual = Counter(ends).most_common(1)[0][1]
    if ends[len(ends) // 2] > TASK_STEPS:
        return False
    return begins >= BEGIN_SHARE * len(falls) and usual * 2 < len(falls)


def of_epochs(claims: list[Claim]) -> list[Claim]:
    """WeNet's `Batch 3/500` is batch 500 of epoch 3: a total that moves more than its counter is one."""
    totals = {claim.total for claim in claims}
    if len(totals) < LEAST_FALLS or None in totals:
        return claims
    steps = {claim.step for claim in claims}
    if None in steps or any(claim.epoch is not None for claim in claims):
        return claims
    if not _restarts(claims, len(steps)):
        return claims
    return [claim._replace(epoch=float(claim.step or 0), step=claim.total, total=None) for claim in claims]


def _restarts(claims: Sequence[Claim], n_steps: int) -> bool:
    """Whether the totals rise while the counter stands, in most records, and the counter rarely moves."""
    pairs = [
        (before.step, before.total or 0, after.step, after.total or 0) for before, after in pairwise(claims)
    ]
    rising = sum(a == c and b < d for a, b, c, d in pairs)
    return rising * 2 > len(pairs) and n_steps * 2 <= len(claims)


def or_epochs(claims: list[Claim]) -> list[Claim]:
    """The claims by their epochs, where the counter stands still while these rise: a size, or an index reset.

    One value in all records, which is no total either, over at least `LEAST_STILL` epochs.
    """
    first = claims[0].clock() if claims else None
    if first is None or len(claims) < LEAST_STILL or claims[0].total == first or claims[-1].clock() != first:
        return claims
    epochs = [claim.epoch for claim in claims if claim.clock() == first and claim.epoch is not None]
    if len(epochs) < len(claims) or len(set(epochs)) < LEAST_STILL or sum(map(gt, epochs, epochs[1:])):
        return claims
    return [
        claim._replace(
            key="epoch", step=round((claim.epoch or 0.0) * MICRO), samples=None, tokens=None, total=None
        )
        for claim in claims
    ]


def _n_heights(values: Iterable[int]) -> int:
    """How many are higher than all before."""
    n, high = 0, -1
    for value in values:
        if value > high:
            n, high = n + 1, value
    return n


def _next_epoch(before: float | None, now: float | None) -> bool:
    """Whether the counter may begin again because an epoch did."""
    return before is not None and now is not None and now > before

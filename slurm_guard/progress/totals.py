"""An evaluation that prints the training's words with its own total: `iter 300/1000`, then `iter 0/20`"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from slurm_guard.progress.epochloops import evaluations
from slurm_guard.progress.protocol import Claim

MOST_TOTALS = 8  # with more, the totals are data's (judgement)
LEAST_VALUES = 8  # of the training, before another total is an evaluation's (judgement)
GOES_ON = 0.9  # of the evaluations between two records of the training (judgement)
SMALL = 0.25  # of the training's total: so long may one be that stands between whole epochs (judgement)


class Visit(NamedTuple):
    """Records of one total in a row, the training's before and behind; null: there is none."""

    first: int
    last: int
    before: int | None
    behind: int | None


def of_training(claims: list[Claim]) -> list[Claim]:
    """The claims without those of evaluations: they begin again each time, and the training goes on behind
    them; or they are short and stand between its whole epochs.

    Two trainings that write at once both go on; one of another length behind the first stands there alone.
    """
    totals = {claim.total for claim in claims}
    if len(totals) < 2 or None in totals or any(claim.step is None for claim in claims):
        return claims
    with_epochs = all(claim.epoch is not None for claim in claims)
    if with_epochs and (gone := evaluations(claims)):
        return [claim for claim in claims if claim.total not in gone]
    if len(totals) > MOST_TOTALS:
        return claims
    longest = max(total or 0 for total in totals)
    values = sorted({claim.step or 0 for claim in claims if claim.total == longest})
    if len(values) < LEAST_VALUES:
        return claims
    (stride, _), *_ = Counter(after - before for before, after in pairwise(values)).most_common(1)
    end = longest - max(1, stride)  # from where on the training's loop is whole, as far as its print tells
    gone = {
        total
        for total in totals
        if total is not None
        and total < longest
        and _evaluates(_visits(claims, total, longest), total, (longest, end), with_epochs)
    }
    return [claim for claim in claims if claim.total not in gone] if gone else claims


def _visits(claims: Sequence[Claim], total: int, longest: int) -> list[Visit]:
    """The rows of records with `total`; records of third totals are passed over."""
    out: list[Visit] = []
    before: int | None = None
    first = last = -1
    for claim in claims:
        step = claim.step or 0
        if claim.total == total:
            first, last = (step if first < 0 else first), step
        elif claim.total == longest:
            if first >= 0:
                out.append(Visit(first, last, before, step))
            before, first = step, -1
    if first >= 0:
        out.append(Visit(first, last, before, None))
    return out


def _evaluates(visits: list[Visit], total: int, training: tuple[int, int], with_epochs: bool) -> bool:
    """Whether the rows of one total are an evaluation's. `training`: its total, and from where on it is
    whole; `with_epochs`: what stands between whole epochs is an epoch of its own."""
    longest, end = training
    if any(b.first > a.last for a, b in pairwise(visits)):
        return False  # it goes on itself
    inside = [(v.before, v.behind) for v in visits if v.before is not None and v.behind is not None]
    on = sum(before <= behind and before < longest for before, behind in inside)
    if inside and on >= GOES_ON * len(inside):
        return True
    if with_epochs:
        return False
    whole = sum(before >= end or before <= behind for before, behind in inside)
    return total <= SMALL * longest and len(inside) > 1 and whole >= GOES_ON * len(inside)

"""Two sources that tell one counter: the better known one at its checkpoints alone, the other all the way."""

from bisect import bisect_left

from slurm_guard.progress.protocol import Claim, Series

Counted = tuple[Series, set[int | None]]  # a series and its distinct values

ASKED = 512  # records of the better known that are looked at (judgement)
AGREES = 0.9  # share of these that fit between the other's records around them (judgement)
LEAST_WITHIN = 3  # of them that lie within the other's bytes
SPAN_SHARE = 0.9  # of the other's bytes: a source that covers less leaves some of the training untold …
TIMES = 4  # … and so does one with so many times fewer values (judgement)


def covers_more(one: Counted, known: Counted) -> bool:
    """Whether `one` tells the counter of the better `known` series, and clearly more of it."""
    if len(one[1]) <= len(known[1]):
        return False
    mine, theirs = _moving(one[0].claims), _moving(known[0].claims)
    if len(mine) < 2 or not theirs:
        return False
    span_b = mine[-1].offset - mine[0].offset
    shorter = theirs[-1].offset - theirs[0].offset < SPAN_SHARE * span_b
    return (shorter or len(one[1]) >= TIMES * len(known[1])) and _agree(mine, theirs)


def _moving(claims: list[Claim]) -> list[Claim]:
    return [claim for claim in claims if claim.clock() is not None]


def _agree(mine: list[Claim], theirs: list[Claim]) -> bool:
    """Whether their values stand between those of mine around them: nothing else counts at that pace."""
    offsets = [claim.offset for claim in mine]
    asked = theirs[:: -(-len(theirs) // ASKED)]
    within = fits = 0
    for claim in asked:
        at = bisect_left(offsets, claim.offset)
        value = claim.clock() or 0
        low = mine[at - 1].clock() or 0 if at else 0
        high = mine[at].clock() or 0 if at < len(mine) else value
        within += 0 < at < len(mine)
        fits += low <= value <= high or (high < low and value in (low, high))
    return within >= LEAST_WITHIN and fits >= AGREES * len(asked)

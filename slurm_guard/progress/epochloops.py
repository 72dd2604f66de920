"""Evaluations that print the training's words with the epoch: `Epoch: [3][90/100]`, then `Epoch: [3][0/20]`.

Every epoch holds two loops then, each with a total of its own, and the training's comes first. A resume on
other batches, or a second training, goes on with its total where no other is.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from slurm_guard.progress.protocol import Claim

MOST_TOTALS = 8  # beside the training's: with more they are data's (judgement)
FEW = 0.1  # of a loop's epochs that may be unlike the others: a check at first, a test at last (judgement)
SMALL = 0.25  # of the second loop: so short a first one is an evaluation before the epoch (judgement)
LEAST_ALIKE = 2  # epochs of one total, before it is known as the training's in another (judgement)


class Loop(NamedTuple):
    """Records of one total in a row."""

    total: int
    steps: list[int]


class Stay(NamedTuple):
    """Records of one epoch in a row, and the total of its training."""

    epoch: int
    loops: list[Loop]
    main: int

    def holds(self, total: int) -> bool:
        return any(loop.total == total for loop in self.loops)


def evaluations(claims: Sequence[Claim]) -> set[int]:
    """The totals of loops that are evaluations; the claims have steps, totals and epochs."""
    stays = _stays(claims)
    totals = {loop.total for stay in stays for loop in stay.loops if loop.total != stay.main}
    if len(totals) > MOST_TOTALS:
        return set()
    return {total for total in totals if _evaluates(stays, total)}


def _stays(claims: Sequence[Claim]) -> list[Stay]:
    out = []
    for epoch, mine in groupby(claims, key=lambda claim: int(claim.epoch or 0)):
        loops = [
            Loop(total, [claim.step or 0 for claim in those])
            for total, those in groupby(mine, key=lambda claim: claim.total or 0)
        ]
        first, longest = loops[0].total, max(loop.total for loop in loops)
        out.append(Stay(epoch, loops, longest if first <= SMALL * longest else first))
    usual, n = Counter(stay.main for stay in out).most_common(1)[0]
    if n < LEAST_ALIKE or 2 * n <= len(out):
        return out
    # what most epochs train begins this one, and something longer follows: a test of all that there is
    return [stay._replace(main=usual) if stay.loops[0].total == usual else stay for stay in out]


def _evaluates(stays: Sequence[Stay], total: int) -> bool:
    """Whether the loops of one total lie inside epochs in which the training goes on behind them; or one
    alone stands behind the whole training."""
    if _is_last(stays, total):
        return True
    beside = [(stay, after) for stay, after in _pairs(stays) if stay.holds(total) and stay.main != total]
    unlike = sum(stay.main == total for stay in stays)
    if unlike > max(len(beside) > 2, FEW * len(beside)) or any(_goes_on(stay, total) for stay, _ in beside):
        return False
    said = Counter(word for stay, after in beside for word in _words(stay, after, total))
    if said["on"] == 1 and not any(_is_whole(stay, total) for stay, _ in beside):
        return False
    return said["on"] > 0 and said["anew"] <= FEW * said.total()


def _is_last(stays: Sequence[Stay], total: int) -> bool:
    """Whether the total stands in the last epoch alone, behind the loop that the epochs before it had."""
    last = stays[-1]
    if any(stay.holds(total) for stay in stays[:-1]) or not last.holds(total) or last.main == total:
        return False
    alike = sum(stay.main == last.main for stay in stays[:-1])
    behind = last.loops[-1].total != last.main
    return behind and alike >= LEAST_ALIKE and _is_whole(last, total) and not _goes_on(last, total)


def _pairs(stays: Sequence[Stay]) -> Iterable[tuple[Stay, Stay | None]]:
    """Each with the one behind it."""
    return zip(stays, [*stays[1:], None], strict=True)


def _goes_on(stay: Stay, total: int) -> bool:
    """Whether the loop of this total goes on itself beside the other: two trainings write at once."""
    mine = [loop.steps for loop in stay.loops if loop.total == total]
    return any(after[0] > before[-1] for before, after in pairwise(mine))


def _words(stay: Stay, after: Stay | None, total: int) -> list[str]:
    """Of each loop: on, the training goes on behind it; anew, it begins again in the same epoch."""
    out: list[str] = []
    before: int | None = None
    n_open = 0  # loops since the training's last record
    for loop in stay.loops:
        if loop.total == total:
            n_open += 1
        elif loop.total == stay.main:
            out += ["on" if before is None or before <= loop.steps[0] else "anew"] * n_open
            before, n_open = loop.steps[-1], 0
    return out + ["on"] * n_open if after is not None and after.epoch > stay.epoch else out


def _is_whole(stay: Stay, total: int) -> bool:
    """Whether the training's loop came to its end before the other's began, as far as its print tells."""
    steps: list[int] = []
    for loop in stay.loops:
        if loop.total == total:
            break
        steps += loop.steps if loop.total == stay.main else []
    gaps = [after - before for before, after in pairwise(steps)]
    return bool(steps) and steps[-1] + max(gaps, default=stay.main) >= stay.main - 1

"""One bar that several ranks drew into one log, each from its begin to its end, without labels.

A loop over epochs draws the same bar again and again, too, at nearly the same pace. What tells a copy is that
it follows its first through every quickening and slowing: what a whole node waits for, each rank waits for.
Epochs share how they begin and end and where they save, but not which of their steps were a hundredth slower.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

# All of these: judgement.
ENOUGH_BARS, SAME_SHARE, LEAST_SPENT = 8, 0.9, "01:00"  # redraws; share of equal ones in n and whole seconds
LEAST_BENDS = 4  # places where the pace clearly turns, before two drawings can be compared …
MANY_BENDS = 32  # … or so many where the last digit alone may have turned …
CLEAR = 3  # last digits
BENDS_SHARE = 0.75  # … of which so many must be alike …
BENDS_ALIKE = 0.25  # … to this part of the change that is drawn there
MAX_OWNERS = 16  # drawings that are remembered for each mark: keeps a hostile log's cost linear


class Drawn(NamedTuple):
    """One redraw. `spent`: as drawn, in whole seconds; `pace_s`: seconds an iteration, 0: not drawn;
    `digit_s`: what one more in the last digit makes of that."""

    n: int
    spent: str
    pace_s: float
    digit_s: float


Drawing = list[Drawn]  # of one bar, from its begin on


def copies(drawings: Iterable[Drawing]) -> Iterator[bool]:
    """For each drawing in turn, whether it is a copy of an earlier one."""
    firsts: list[Drawing] = []
    owners: dict[Drawn, list[int]] = {}
    for drawing in drawings:
        first = _likest(drawing, owners)
        copied = first is not None and _follows(drawing, firsts[first])
        if not copied:
            for drawn in drawing:
                mine = owners.setdefault(drawn, [])
                if len(mine) < MAX_OWNERS:
                    mine.append(len(firsts))
            firsts.append(drawing)
        yield copied


def _likest(drawing: Drawing, owners: dict[Drawn, list[int]]) -> int | None:
    """The number of the earlier drawing with the most equal redraws; null: none has any, or it is short."""
    if len(drawing) < ENOUGH_BARS or _is_brief(drawing[-1].spent):
        return None
    votes = Counter(owner for drawn in drawing for owner in owners.get(drawn, ()))
    return votes.most_common(1)[0][0] if votes else None


def _is_brief(spent: str) -> bool:
    """Whether a minute was not over: `1:00:00` is longer than `59:00`."""
    return len(spent) <= len(LEAST_SPENT) and spent < LEAST_SPENT


def _follows(drawing: Drawing, first: Drawing) -> bool:
    """Whether a drawing has the same whole seconds as `first`, and turns where that turns."""
    theirs = {drawn.n: drawn for drawn in reversed(first)}  # the bar's end may be drawn again
    same = sum(drawn.n in theirs and theirs[drawn.n].spent == drawn.spent for drawn in drawing)
    if same < SAME_SHARE * len(drawing):
        return False
    n = clear = alike = 0
    before = 0.0
    for last, drawn in pairwise(drawing):
        change = drawn.pace_s - last.pace_s if drawn.pace_s and last.pace_s else 0.0
        if drawn.n == last.n or not change:
            continue
        if change * before < 0 and drawn.n in theirs and last.n in theirs:
            n += 1
            clear += abs(change) >= CLEAR * drawn.digit_s
            their_change = theirs[drawn.n].pace_s - theirs[last.n].pace_s
            alike += abs(their_change - change) <= BENDS_ALIKE * abs(change)
        before = change
    return (clear >= LEAST_BENDS or n >= MANY_BENDS) and alike >= BENDS_SHARE * n

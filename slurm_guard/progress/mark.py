"""One point of a track before it is bracketed; and marks of evaluations that count something of their own."""

from itertools import pairwise
from typing import NamedTuple

from slurm_guard.progress.carry import Filed


class Mark(NamedTuple):
    """One point before it is bracketed. `naive`: `at` is local time read as if UTC."""

    file: int
    track: str
    segment: int
    at: float | None
    naive: bool
    step: int | None
    samples: int | None
    tokens: int | None
    total: int | None
    loss: float | None
    phase: str
    offset: int
    flags: tuple[str, ...]
    took_s: float | None = None


def _value(mark: Mark) -> int:
    if mark.step is not None:
        return mark.step
    return mark.samples if mark.samples is not None else mark.tokens or 0


def without_own(marks: list[Filed], points: list[Mark]) -> list[Filed]:
    """Marks of evaluations without a counter that fits nowhere between the training's points: it is one of
    their own. Behind the last point one may be a usual gain further."""
    if not any(claim.phase == "eval" and claim.clock() is not None for _, claim in marks):
        return marks
    there = sorted(points, key=lambda mark: (mark.file, mark.offset))
    most = max((_value(b) - _value(a) for a, b in pairwise(there) if a.segment == b.segment), default=0)
    found: list[Filed] = []
    nth, reached = 0, -1
    for file, claim in sorted(marks, key=lambda item: (item[0], item[1].offset)):
        while nth < len(there) and (there[nth].file, there[nth].offset) <= (file, claim.offset):
            reached, nth = _value(there[nth]), nth + 1
        end = max(reached, _value(there[nth])) if nth < len(there) else reached + most
        is_own = claim.phase == "eval" and (claim.clock() or 0) > end
        found.append((file, claim._replace(step=None, samples=None, tokens=None) if is_own else claim))
    return found

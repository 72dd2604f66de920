"""Whether several write one log without a label: its falls are no restarts then, or one hides another."""

from bisect import bisect_left
from itertools import pairwise

from slurm_guard.progress.carry import Filed
from slurm_guard.progress.mark import Mark

MANY_FALLS = 8  # of a counter whose rises add up to more than twice its span: judgement
LATE_LEAST, LATE_SHARE = 8, 0.15  # falls that open nothing, of the records: those of ranks apart. Judgement
SHALLOW = 6  # records back at most: so far a rank may lag (judgement)
HIDDEN_SHARE = 0.1  # of the values that stand in no point: another's, who counts below the first. Judgement


def many_writers(filed: list[Filed], marks: list[Mark]) -> str | None:
    """A problem's words where several write the log; null: nothing to say. `filed`: what made the `marks`."""
    words = _falls_often(marks)
    if words:
        return words
    values = [value for one in filed if (value := _trained(one)) is not None]
    falls = sum(after < before for before, after in pairwise(values))
    if falls < LATE_LEAST or sum(after > before for before, after in pairwise(values)) * 2 < falls:
        return None  # most logs; and what counts down
    return _lag(len(values), falls, marks) or _hide(filed, values, marks)


def _trained(one: Filed) -> int | None:
    """The counter of a record of the training."""
    claim = one[1]
    return claim.clock() if claim.advances and claim.phase in ("train", "end") else None


def _clock(mark: Mark) -> int:
    return mark.step if mark.step is not None else mark.samples or mark.tokens or 0


def _lag(n: int, falls: int, marks: list[Mark]) -> str | None:
    """Ranks that are records apart: many lines come late, and a few look like a small step back.

    `n`: records of the training; `falls`: of its counter, from one of them to the next.
    """
    points = [mark for mark in marks if mark.phase in ("train", "end")]
    n_opened = sum("step-back" in mark.flags for mark in points)
    distinct = sorted({_clock(mark) for mark in points})
    shallow = sum(
        bisect_left(distinct, _clock(before)) - bisect_left(distinct, _clock(after)) <= SHALLOW
        for before, after in pairwise(points)
        if "step-back" in after.flags
    )
    n_late = falls - n_opened
    if not shallow or n_late < max(LATE_LEAST, LATE_SHARE * n):
        return None
    return (
        f"many-writers: {n_late} of its {n} records come late, and its counter falls {n_opened} "
        "times: several ranks print it; print on rank 0 alone, or label the lines"
    )


def _hide(filed: list[Filed], values: list[int], marks: list[Mark]) -> str | None:
    """One who counts below another, line by line: none of his values became a point."""
    if any(claim.epoch is not None for _, claim in filed):
        return None  # a point's value is none of a record's
    distinct = set(values)
    hidden = distinct - {_clock(mark) for mark in marks}
    if len(hidden) < max(LATE_LEAST, HIDDEN_SHARE * len(distinct)):
        return None
    return (
        f"many-writers: {len(hidden)} of its {len(distinct)} values lie below those before and behind them: "
        "several count in it at once, and the highest alone is told; one log for each training"
    )


def _falls_often(marks: list[Mark]) -> str | None:
    """Where the counter fell so often that several write the log."""
    falls = sum("step-back" in mark.flags for mark in marks)
    if falls < MANY_FALLS:
        return None  # most logs
    values = [mark.step for mark in marks if mark.step is not None and mark.phase in ("train", "end")]
    gross = sum(max(0, after - before) for before, after in pairwise(values))
    if gross <= 2 * (max(values, default=0) - min(values, default=0)):
        return None
    return (
        f"many-writers: its counter falls {falls} times: several ranks print it, or trainings one after "
        "the other; print on rank 0 alone, or one log for each training"
    )

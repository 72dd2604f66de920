"""Which of a TensorBoard folder's event files are one training: a resume, ranks, or another run beside it."""

from itertools import pairwise
from statistics import median
from typing import NamedTuple

from slurm_guard.progress.protocol import Claim

COMMON = 0.5  # of the shorter file's steps that ranks of one training share (judgement)
LEAST_LAG_S = 2.0  # that ranks in step lie apart at most, where they log faster than that (judgement)
TOUCH_S = 2.0  # an overlap this short is a writer's last flush (judgement)


class Written(NamedTuple):
    """One event file: its claims in order, and who wrote it, by its name (empty: unknown)."""

    claims: list[Claim]
    writer: str


def writer_of(path: str) -> str:
    """Host and process of `events.out.tfevents.<second>.<host>.<pid>.<n>`; empty: the name says none."""
    parts = path.rpartition("tfevents.")[2].split(".")
    numbers = [nth for nth, part in enumerate(parts) if nth > 1 and part.isdigit()]
    return ".".join(parts[1 : numbers[0] + 1]) if numbers else ""


def group(files: list[Written]) -> list[list[int]]:
    """Numbers of the files of each training, the one that began first in front.

    Files that follow each other in time are one training that was resumed. Of two that were written at once,
    those of one process are one, and those whose steps came at the same time are ranks; others are two runs.
    """
    order = sorted(range(len(files)), key=lambda nth: (_span(files[nth].claims)[0], nth))
    groups: list[list[int]] = []
    for nth in order:
        mine = next((one for one in groups if all(_together(files[nth], files[k]) for k in one)), None)
        if mine is None:
            groups.append([nth])
        else:
            mine.append(nth)
    return [sorted(one) for one in groups]


def _span(claims: list[Claim]) -> tuple[float, float]:
    """First and last claimed time; an empty file begins with the first."""
    times = [claim.at for claim in claims if claim.at is not None]
    return (min(times), max(times)) if times else (0.0, 0.0)


def _together(a: Written, b: Written) -> bool:
    first, second = _span(a.claims), _span(b.claims)
    if min(first[1], second[1]) - max(first[0], second[0]) <= TOUCH_S or (a.writer and a.writer == b.writer):
        return True
    left, right = _times(a.claims), _times(b.claims)
    common = left.keys() & right.keys()
    if len(common) < COMMON * min(len(left), len(right)):
        return False
    apart = median(abs(left[step] - right[step]) for step in common)
    return apart <= max(LEAST_LAG_S, min(_gap(left), _gap(right)))


def _times(claims: list[Claim]) -> dict[int, float]:
    """Step -> when it was told first."""
    out: dict[int, float] = {}
    for claim in claims:
        if claim.step is not None and claim.at is not None:
            out.setdefault(claim.step, claim.at)
    return out


def _gap(times: dict[int, float]) -> float:
    """Usual seconds from one step that is told to the next."""
    at = sorted(times.values())
    return median(after - before for before, after in pairwise(at)) if len(at) > 1 else 0.0

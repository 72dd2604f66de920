"""Which of a TensorBoard folder's event files are one training: a resume, ranks, or another run beside it."""

from itertools import pairwise
from statistics import median
from typing import NamedTuple

from slurm_guard.progress.protocol import Claim

COMMON = 0.5  # of the shorter file's steps that ranks of one training share (judgement)
LEAST_LAG_S = 2.0  # that ranks in step lie apart at most, where they log faster than that (judgement)
COMPARED = 512  # of two files' common steps, evenly, whose times are compared (judgement)
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


class _File:
    """What is compared of one file, counted once: 64 ranks make 2,016 pairs."""

    def __init__(self, written: Written) -> None:
        times = [claim.at for claim in written.claims if claim.at is not None]
        self.writer = written.writer
        self.first_at, self.last_at = (min(times), max(times)) if times else (0.0, 0.0)
        self.told_at: dict[int, float] = {}  # step -> when it was told first
        for claim in written.claims:
            if claim.step is not None and claim.at is not None:
                self.told_at.setdefault(claim.step, claim.at)
        self.gap_s = _gap(self.told_at)


def group(files: list[Written]) -> list[list[int]]:
    """Numbers of the files of each training, the one that began first in front.

    Files that follow each other in time are one training that was resumed. Of two that were written at once,
    those of one process are one, and those whose steps came at the same time are ranks; others are two runs.
    """
    known = [_File(written) for written in files]
    order = sorted(range(len(known)), key=lambda nth: (known[nth].first_at, nth))
    groups: list[list[int]] = []
    for nth in order:
        mine = next((one for one in groups if all(_together(known[nth], known[k]) for k in one)), None)
        if mine is None:
            groups.append([nth])
        else:
            mine.append(nth)
    return [sorted(one) for one in groups]


def _together(a: _File, b: _File) -> bool:
    if min(a.last_at, b.last_at) - max(a.first_at, b.first_at) <= TOUCH_S:
        return True
    if a.writer and a.writer == b.writer:
        return True
    common = list(a.told_at.keys() & b.told_at.keys())
    if not common or len(common) < COMMON * min(len(a.told_at), len(b.told_at)):
        return False
    some = common[:: 1 + len(common) // COMPARED]
    apart = median(abs(a.told_at[step] - b.told_at[step]) for step in some)
    return apart <= max(LEAST_LAG_S, min(a.gap_s, b.gap_s))


def _gap(times: dict[int, float]) -> float:
    """Usual seconds from one step that is told to the next."""
    at = sorted(times.values())
    return median(after - before for before, after in pairwise(at)) if len(at) > 1 else 0.0

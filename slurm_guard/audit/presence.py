"""Processes that were listed and told of no time: how long the program was there, and what the log's pace did
meanwhile. That another process has its part of the GPU shows in how long steps take, whatever else is read."""

import itertools
from dataclasses import dataclass
from math import sqrt

from slurm_guard.audit.listed import Listed
from slurm_guard.audit.stats import mad_sigma, median
from slurm_guard.audit.track import Arc

PARTS = 6  # of the arcs on either side, whose paces are compared. Judgement
LEAST_PARTS = 3  # fewer have no spread. Judgement (slower-beside)
# A stage of the training itself comes and goes with every round. Judgement (slower-beside)
MOST_CHANGES = 4
LEAST_DROP = 0.05  # of the pace, beyond the noise of both sides. Judgement (slower-beside)

Spans = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Presence:
    """All listed processes of one program and relation. `held_s`: for how long any of them was there; of
    many that come and are gone again no longer than they lived, as a window is longer than that."""

    processes: tuple[Listed, ...]
    spans: tuple[tuple[float, float], ...]
    held_s: float

    @property
    def first(self) -> Listed:
        """The one that was there longest."""
        return max(self.processes, key=lambda p: (p.listed_s, -p.pid))

    @property
    def n_windows(self) -> int:
        """Windows of all of them."""
        return sum(p.n_windows for p in self.processes)

    @property
    def n_starts(self) -> int:
        """Processes, however many GPUs each was on."""
        return len({(p.node, p.pid, p.from_at) for p in self.processes})


def presences(found: list[Listed]) -> list[Presence]:
    """Listed processes by relation and program."""
    some: dict[tuple[str, str, str], list[Listed]] = {}
    for process in found:
        some.setdefault((process.relation, process.node, process.program), []).append(process)
    return [_presence(processes) for _, processes in sorted(some.items())]


def _presence(processes: list[Listed]) -> Presence:
    lives = [(p.from_at, p.until_at) for p in processes if p.lived_s is None or p.lived_s > 0]
    spans = _joined(lives)
    alive: dict[tuple[int, float], float] = {}
    for p in processes:
        long_s = p.listed_s if p.lived_s is None else min(p.listed_s, p.lived_s)
        alive[p.pid, p.from_at] = max(alive.get((p.pid, p.from_at), 0.0), long_s)
    held_s = min(sum(alive.values()), sum(b - a for a, b in spans))
    return Presence(tuple(processes), tuple(spans), held_s)


def _joined(spans: Spans) -> Spans:
    """Spans that overlap or touch as one, in order."""
    done: Spans = []
    for a, b in sorted(spans):
        if done and a <= done[-1][1]:
            done[-1] = (done[-1][0], max(done[-1][1], b))
        else:
            done.append((a, b))
    return done


def part_of(presence: Presence, from_at: float, until_at: float) -> float:
    """Of this time, how much the program was there."""
    inside = sum(max(0.0, min(b, until_at) - max(a, from_at)) for a, b in presence.spans)
    whole = sum(b - a for a, b in presence.spans)
    scale = min(1.0, presence.held_s / whole) if whole > 0 else 0.0
    return scale * inside / (until_at - from_at) if until_at > from_at else 0.0


def drop(presence: Presence, arcs: tuple[Arc, ...]) -> float:
    """At least how much of its pace the log lost while the program was there; 0.0 where it did not, where
    either side is too short to tell, or where both alternate. `arcs` hold steps alone (spans.stepping)."""
    marks = [(there, arc) for arc in arcs if (there := _is_beside(presence, arc)) is not None]
    changes = sum(1 for (a, _), (b, _) in itertools.pairwise(marks) if a != b)
    beside, apart = (_paces([arc for at, arc in marks if at is there]) for there in (True, False))
    if min(len(beside), len(apart)) < LEAST_PARTS or changes > MOST_CHANGES:
        return 0.0
    usual = median(apart)
    error = sqrt(mad_sigma(beside) ** 2 / len(beside) + mad_sigma(apart) ** 2 / len(apart))
    least = 1.0 - (median(beside) + 1.96 * error) / usual
    return least if least >= LEAST_DROP else 0.0


def _is_beside(presence: Presence, arc: Arc) -> bool | None:
    """Whether the program was there in all of the arc, or in none of it; null: in a part."""
    begin, end = arc.from_at - arc.blur_s, arc.until_at + arc.blur_s
    if any(a <= begin and end <= b for a, b in presence.spans):
        return True
    return None if any(a < end and begin < b for a, b in presence.spans) else False


def _paces(arcs: list[Arc]) -> list[float]:
    """Units a second in up to PARTS parts of these arcs, in order."""
    n = min(PARTS, len(arcs))
    parts = [arcs[k * len(arcs) // n : (k + 1) * len(arcs) // n] for k in range(n)]
    return [sum(a.units for a in p) / sum(a.until_at - a.from_at for a in p) for p in parts]

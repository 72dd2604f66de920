"""Processes that were listed and told of no time: how long the program was there, and what the log's pace
did meanwhile. That another one has its part of the GPU shows in how long steps take, whatever else is read.
"""

import itertools
from dataclasses import dataclass
from math import sqrt

from slurm_guard.audit.listed import Listed
from slurm_guard.audit.stats import mad_sigma, median, quantile
from slurm_guard.audit.track import Arc

# The paces of stretches are compared that are at least as long as a window, and as twice what is not known of
# their ends; longer ones than this would hold an evaluator's visit and its pause together. Judgement.
LEAST_S, MOST_S = 60.0, 300.0
LEAST_STRETCHES = 8  # on either side. Judgement
# Of the stretches beside it, the pace that hardly any passes: who comes and goes leaves some at full pace,
# who stays leaves none. Judgement.
HARDLY_ANY = 0.9
# A stage of the training itself comes and goes with every round. Judgement (slower-beside)
MOST_CHANGES = 4
LEAST_DROP = 0.05  # of the pace, beyond the noise. Judgement (slower-beside)
LEAST_STARTS = 3  # of one program, from which it comes again and again. Judgement (spans.RECURS)
MOSTLY = 0.5  # of the training's time or of its latter half, and of its own. Judgement (second-program)

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


def takes_its_part(presence: Presence, arcs: tuple[Arc, ...]) -> bool:
    """Whether what may be a part of the training takes time from it: steps are longer all the while it is
    there; or it comes anew again and again, so that each is there to work, and steps go on meanwhile. A child
    then has to be there most of the time, or since some hour. What waits with its memory for the next
    evaluation or rollout does neither."""
    if drop(presence, arcs) > 0.0:
        return True
    if presence.n_starts < LEAST_STARTS or beside_steps(presence, arcs) < MOSTLY:
        return False
    begin, end = arcs[0].from_at, arcs[-1].until_at
    most = max(part_of(presence, begin, end), part_of(presence, (begin + end) / 2, end))
    return presence.first.relation == "script" or most >= MOSTLY


def part_of(presence: Presence, from_at: float, until_at: float) -> float:
    """Of this time, how much the program was there."""
    inside = sum(max(0.0, min(b, until_at) - max(a, from_at)) for a, b in presence.spans)
    whole = sum(b - a for a, b in presence.spans)
    scale = min(1.0, presence.held_s / whole) if whole > 0 else 0.0
    return scale * inside / (until_at - from_at) if until_at > from_at else 0.0


def beside_steps(presence: Presence, arcs: tuple[Arc, ...]) -> float:
    """Of the time that the program was there between the first step and the last, the part in which steps
    were made: not those of a stage that the training waits for."""
    if not arcs:
        return 0.0
    begin, end = arcs[0].from_at, arcs[-1].until_at
    inside = [(max(a, begin), min(b, end)) for a, b in presence.spans if a < end and begin < b]
    there_s = sum(b - a for a, b in inside)
    made_s = sum(max(0.0, min(b, c.until_at) - max(a, c.from_at)) for a, b in inside for c in arcs)
    return made_s / there_s if there_s > 0 else 0.0


def drop(presence: Presence, arcs: tuple[Arc, ...]) -> float:
    """At least how much of its pace the log lost while the program was there; 0.0 where it did not, where
    either side is too short to tell, or where both alternate. `arcs` hold steps alone (spans.stepping)."""
    marks = [(there, arc) for arc in arcs if (there := _is_beside(presence, arc)) is not None]
    changes = sum(1 for (a, _), (b, _) in itertools.pairwise(marks) if a != b)
    beside, apart = (_paces([arc for at, arc in marks if at is there]) for there in (True, False))
    if min(len(beside), len(apart)) < LEAST_STRETCHES or changes > MOST_CHANGES:
        return 0.0
    usual = median(apart) - 1.96 * mad_sigma(apart) / sqrt(len(apart))
    least = 1.0 - quantile(beside, HARDLY_ANY) / usual if usual > 0 else 0.0
    return least if least >= LEAST_DROP else 0.0


def _is_beside(presence: Presence, arc: Arc) -> bool | None:
    """Whether the program was there in all of the arc, or in none of it; null: in a part."""
    begin, end = arc.from_at - arc.blur_s, arc.until_at + arc.blur_s
    if any(a <= begin and end <= b for a, b in presence.spans):
        return True
    return None if any(a < end and begin < b for a, b in presence.spans) else False


def _paces(arcs: list[Arc]) -> list[float]:
    """Units a second of stretches of these arcs, in order; of arcs whose ends are not known well, none."""
    paces: list[float] = []
    units = long_s = 0.0
    for arc in arcs:
        units, long_s = units + arc.units, long_s + arc.until_at - arc.from_at
        if long_s >= max(LEAST_S, 2 * arc.blur_s):
            if long_s <= MOST_S:
                paces.append(units / long_s)
            units = long_s = 0.0
    return paces

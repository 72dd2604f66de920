"""One track of progress per run out of every log that the readers found; the same work is never added
twice.
"""

import itertools
from dataclasses import dataclass, replace
from math import inf, isfinite

from slurm_guard.audit.stats import median

UNITS = ("tokens", "samples", "step")
# Two logs are of the same work when this part of the shorter one's time lies within the other. Judgement.
SAME_WORK = 0.2
LEAST_COUNTERS = 3  # distinct ones of a log before which weaker ones give way. Judgement
OUTLASTS = 0.25  # of a surer log's length that a bar goes on outside it, to be heard as well. Judgement
NAMES_ONLY = "checkpoint:"  # begins the name of what any `touch` can make
MOVES = ("train", "end")  # phases of records that advance the counter; others mark moments
DOUBTFUL = frozenset({"backdated", "future", "bulk", "rewritten", "implausible"})


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of progress at the time that the audit uses for it."""

    at: float
    claimed_at: float | None
    observed: bool  # the sampler saw it reach the disk
    step: int | None
    samples: int | None
    tokens: int | None
    loss: float | None
    phase: str
    segment: int
    flags: tuple[str, ...]
    took_s: float | None = None  # one step's time as the log has it
    low_at: float | None = None  # not on disk yet at this trusted instant; null: never seen
    blur_s: float = 0.0  # width of what is known of `at`


@dataclass(frozen=True, slots=True)
class Arc:
    """Units of progress made between two marks of the same segment."""

    from_at: float
    until_at: float
    units: float
    steps: float | None  # optimiser steps, where the log counts them
    begin: float = 0.0  # what the counter said at its front
    blur_s: float = 0.0  # how far its ends may be off
    log: str = ""  # the track that told it, the same in every reading of the same path
    segment: int = 0  # of that track
    folded: float = 0.0  # of its units: another arc's, whose time lay within it

    @property
    def end(self) -> float:
        """What the counter said at its end."""
        return self.begin + self.units - self.folded


@dataclass(frozen=True, slots=True)
class Track:
    """What a run claims to have done. `arcs` are in order and do not overlap."""

    sources: tuple[str, ...] = ()
    unit: str | None = None
    marks: tuple[Mark, ...] = ()
    arcs: tuple[Arc, ...] = ()
    n_points: int = 0
    n_tracks: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    named_at: tuple[float, ...] = ()  # when the log named a phase that is not training, in order
    read_until: float | None = None  # when its logs were last read; null: not known

    @property
    def units(self) -> float:
        """Gross units claimed."""
        return sum(arc.units for arc in self.arcs)


def edge_of(low: float | None, since_at: float | None, slack_s: float) -> float | None:
    """From when on a record may have been written whose bytes came after `low`; null: never seen to come.

    A writer may keep a record back until its buffer is full: `since_at`, the front of the file's growth
    before this one's, then begins the bracket, with `slack_s` of play; null: none was seen before.
    """
    return None if low is None else (low if since_at is None else min(low, since_at)) - slack_s


def read_mark(
    row: dict[str, object], slack_s: float, since_at: float | None = None, late_s: float = 0.0
) -> Mark | None:
    """A mark from a row of `points`; null when it has neither a claimed nor a trusted time.

    The claimed time, set forward by `late_s` (how far the log's whole clock is behind), holds inside the
    trusted bracket (edge_of); outside, the bracket's nearer end does.
    """
    at, low, high = (_number(row[k]) for k in ("at", "obs_lo_at", "obs_hi_at"))
    used = high if at is None else at + late_s
    if used is None:
        return None
    if high is not None:
        used = min(used, high)
    edge = edge_of(low, since_at, slack_s)
    if edge is not None:
        used = max(used, edge)
    flags = row["flags"]
    return Mark(
        used,
        at,
        high is not None,
        _count(row["step"]),
        _count(row["samples"]),
        _count(row["tokens"]),
        _number(row["loss"]),
        str(row["phase"] or "train"),
        int(str(row["segment"] or 0)),
        tuple(str(f) for f in flags) if isinstance(flags, list) else (),
        _number(row.get("took_s")),
        low,
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and isfinite(value) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def arcs_of(marks: list[Mark], unit: str, log: str = "") -> list[Arc]:
    """Increments between neighbouring marks that carry the unit; none across segments or backwards. What
    several marks of one instant gain was made before it; before the first instant nothing is known."""
    arcs: list[Arc] = []
    last: Mark | None = None
    for mark in marks:
        value = getattr(mark, unit)
        if value is None:
            continue
        if mark.phase not in MOVES and last is not None and value < getattr(last, unit):
            continue  # an older checkpoint is evaluated
        if last is not None and last.segment == mark.segment:
            gain = value - getattr(last, unit)
            steps = None if mark.step is None or last.step is None else float(mark.step - last.step)
            if gain > 0 and mark.at <= last.at:
                if arcs and (arcs[-1].until_at, arcs[-1].segment) == (last.at, last.segment):
                    arcs[-1] = _longer(arcs[-1], float(gain), steps)
            elif gain > 0:
                blur = max(last.blur_s, mark.blur_s)
                begin = float(getattr(last, unit))
                arcs.append(Arc(last.at, mark.at, float(gain), steps, begin, blur, log, mark.segment))
        if last is None or last.segment != mark.segment or value >= getattr(last, unit):
            last = mark  # a counter that falls within its segment lies out of order
    return arcs


def _longer(arc: Arc, units: float, steps: float | None) -> Arc:
    """The arc with what was made by its end as well."""
    both = None if arc.steps is None or steps is None else arc.steps + steps
    return replace(arc, units=arc.units + units, steps=both)


ANEW = 3.0  # usual gains of a record within which a counter that fell began anew. Judgement.


def begun_anew(arcs: tuple[Arc, ...]) -> list[float]:
    """When the counter fell to about zero: the fronts of the arcs that follow, in order.

    That may be another training in the same job (a sweep in one script), whose steps may cost something else.
    A counter that falls back to a checkpoint goes on with the same training.
    """
    if not arcs:
        return []
    small = ANEW * median([a.units for a in arcs])
    return [
        arc.from_at
        for before, arc in itertools.pairwise(arcs)
        if arc.begin < before.begin + 0.5 * before.units and arc.begin <= small
    ]


def usable_units(marks: list[Mark]) -> list[str]:
    """Units that nearly all training marks with a counter carry, finest meaning first. Marks that only name
    the phase (MLPerf has one at each epoch's begin) count nothing."""
    train = _counted(marks)
    return [u for u in UNITS if train and sum(getattr(m, u) is not None for m in train) >= 0.9 * len(train)]


def choose(series: list[tuple[str, list[Mark]]]) -> list[tuple[str, list[Mark]]]:
    """The series that together cover the run's progress once: the fullest first, then only what lies
    outside the time of those chosen. Weak ones give way to surer ones.
    """
    surer = [(min(m.at for m in marks), max(m.at for m in marks)) for _, marks in series if _is_surer(marks)]
    heard = [s for s in series if not (surer and _gives_way(s, surer))]
    chosen: list[tuple[str, list[Mark]]] = []
    for name, marks in sorted(heard, key=lambda s: (-_worth(s[1]), s[0])):
        spans = [(c[0].at, c[-1].at) for _, c in chosen]
        rest = [m for m in marks if not any(a <= m.at <= b for a, b in spans)]
        if len(rest) >= 2 and (not spans or len(rest) >= SAME_WORK * len(marks)):
            chosen += [(name, part) for part in _runs_between(rest, spans)]
    return sorted(chosen, key=lambda s: (s[1][0].at, s[0]))


def _gives_way(series: tuple[str, list[Mark]], surer: list[tuple[float, float]]) -> bool:
    """Whether a weak log says nothing beside surer ones of these times.

    Names of checkpoints never do. A bar does where it goes on for long outside them: then they tell of a
    preparation, or of whole epochs only, and the bar of the work.
    """
    name, marks = series
    if not _is_weak(marks):
        return False
    if name.startswith(NAMES_ONLY):
        return True
    rest = sorted((m for m in marks if not any(a <= m.at <= b for a, b in surer)), key=lambda m: m.at)
    parts = _runs_between(rest, surer) if rest else []
    outside = sum(part[-1].at - part[0].at for part in parts)
    return outside < OUTLASTS * max(b - a for a, b in surer)


def _counted(marks: list[Mark]) -> list[Mark]:
    """Those of the training that carry a counter."""
    return [m for m in marks if m.phase == "train" and (m.step, m.samples, m.tokens) != (None, None, None)]


def _is_weak(marks: list[Mark]) -> bool:
    """Whether only bars or names of checkpoints say so."""
    return all("weak" in m.flags for m in _counted(marks))


def _is_surer(marks: list[Mark]) -> bool:
    """Whether it is a log before which weaker ones give way, and no stray line."""
    solid = {(m.step, m.samples, m.tokens) for m in _counted(marks) if "weak" not in m.flags}
    return len(solid) >= LEAST_COUNTERS


def _runs_between(marks: list[Mark], spans: list[tuple[float, float]]) -> list[list[Mark]]:
    """Marks cut where a chosen span lies between two of them."""
    parts: list[list[Mark]] = [[marks[0]]]
    for before, mark in itertools.pairwise(marks):
        if any(before.at < a and b < mark.at for a, b in spans):
            parts.append([])
        parts[-1].append(mark)
    return [part for part in parts if len(part) >= 2]


def _worth(marks: list[Mark]) -> float:
    train = _counted(marks)
    if len(train) < 2:
        return 0.0
    span = max(m.at for m in train) - min(m.at for m in train)
    gaps = [b.at - a.at for a, b in itertools.pairwise(train) if b.at > a.at]
    # Long and fine-grained beats short or coarse; the bracket breaks ties.
    return span * (
        1.0 if not gaps else min(1.0, 3 * len(gaps) * median(gaps) / max(span, 1e-9))
    ) + 1e-3 * len(train)


def build(
    series: list[tuple[str, list[Mark]]],
    unit_of: dict[str, float] | None,
    problems: tuple[str, ...],
    since_at: float = -inf,
) -> Track:
    """The run's track in the unit whose cost is steadiest (`unit_of`: unit -> spread, kindest wins).

    Records of before `since_at`, which nobody saw come, are an earlier job's, with which this one goes on.
    """
    series = [(n, sorted(m, key=lambda x: (x.segment, x.at))) for n, m in series]
    chosen = choose([(n, m) for n, m in series if _worth(m) > 0])
    marks = [m for _, part in chosen for m in part]
    every = [m for _, part in series for m in part]
    if not marks:
        return Track(tuple(sorted({n for n, _ in series})), n_points=len(every), problems=problems)
    units = usable_units(marks)
    unit = min(units, key=lambda u: ((unit_of or {}).get(u, 0.0), UNITS.index(u))) if units else None
    arcs = (
        []
        if unit is None
        else [a for name, part in chosen for a in _job_by_job(part, unit, track_of(name), since_at)]
    )
    names = tuple(sorted({n for n, _ in chosen}))
    dropped = {n for n, _ in series} - set(names)
    of = "of the same time" + (", or weaker," if any(n in dropped and _is_weak(m) for n, m in series) else "")
    more = f"1 more log {of} was" if len(dropped) == 1 else f"{len(dropped)} more logs {of} were"
    notes = (f"{more} not added.",) if dropped else ()
    arcs.sort(key=lambda a: (a.from_at, a.until_at))
    return Track(
        names,
        unit,
        tuple(sorted(marks, key=lambda m: m.at)),
        tuple(_apart(arcs)),
        len(every),
        len(names),
        problems,
        notes,
        tuple(sorted(m.at for m in marks if m.phase != "train")),
    )


def track_of(name: str) -> str:
    """The track of a series: what stands in brackets at its name's end, else the name. It is the same for the
    files of one training (event files of one folder)."""
    _, bracket, track = name.rpartition(" (")
    return track.removesuffix(")") if bracket and name.endswith(")") else name


def _job_by_job(marks: list[Mark], unit: str, log: str, since_at: float) -> list[Arc]:
    """The arcs: the time from an earlier job's last record to this one's first is no record's."""
    before: list[Mark] = []
    own: list[Mark] = []
    for mark in marks:
        (before if mark.at < since_at and mark.low_at is None else own).append(mark)
    if not own:
        return _opened(arcs_of(before, unit, log), before, unit)
    return arcs_of(before, unit, log) + _opened(arcs_of(own, unit, log), own, unit)


def _opened(arcs: list[Arc], marks: list[Mark], unit: str) -> list[Arc]:
    """The arcs with the one that ended in the first record: as usual, within what its counter says."""
    if not arcs:
        return arcs
    first = next(m for m in marks if getattr(m, unit) is not None)
    units = min(median([a.units for a in arcs]), float(getattr(first, unit)))
    length = median([(a.until_at - a.from_at) / a.units for a in arcs]) * units
    known = [a.steps / a.units for a in arcs if a.steps is not None]
    steps = median(known) * units if known else None
    begin = float(getattr(first, unit)) - units
    front = Arc(first.at - length, first.at, units, steps, begin, 0.0, arcs[0].log, first.segment)
    return [front, *arcs] if units > 0 else arcs


def _apart(arcs: list[Arc]) -> list[Arc]:
    """Arcs without overlap: what begins before the one before it ends is cut at its front."""
    done: list[Arc] = []
    for arc in arcs:
        start = max(arc.from_at, done[-1].until_at) if done else arc.from_at
        if arc.until_at > start:
            done.append(arc if start == arc.from_at else replace(arc, from_at=start))
        elif done:
            last = done[-1]
            done[-1] = replace(last, units=last.units + arc.units, folded=last.folded + arc.units)
    return done

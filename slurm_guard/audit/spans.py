"""A run's time cut into start-up, training, pauses, silence and tail, by its progress alone.

Which GPU work a span may explain is bounded here in time; the study decides what the telemetry makes of it.
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from enum import Enum

from slurm_guard.audit import named
from slurm_guard.audit.stats import mad_sigma, median
from slurm_guard.audit.track import Arc, Track, begun_anew
from slurm_guard.config import AuditConfig

RARE = 5.0  # silence counts from this many usual log intervals on. Judgement (progress notes: at least 3).
PAUSE = 3.0  # a gap this many times the usual interval is a pause, not a slow step. Judgement, as above.
NAMED = 1.2  # the same where the log names a phase inside the gap. Judgement.
FULL = 0.9  # of a stretch between two records that printed step times account for. Judgement.
RECURS = 3  # a pause seen this often, of like length and spacing, is the run's own pattern. Judgement.
ALIKE = 0.35  # relative spread up to which lengths or spacings are alike. Judgement.


class Kind(str, Enum):
    """What a span of a run is, as its log has it."""

    STARTUP = "startup"  # before the first progress, within the configured bound
    SLOW_START = "slow-start"  # before the first progress, beyond it
    TRAIN = "train"
    MARKED = "marked"  # a pause that the log itself calls evaluation, checkpoint or end
    OVERLONG = "overlong"  # the same, beyond what such phases of the run may take
    RECURRING = "recurring"  # a pause that the run makes again and again
    PAUSE = "pause"  # a single pause shorter than silence
    SILENT = "silent"  # longer than any pause that is explained
    WAIT = "wait"  # silent, at the power of a GPU that spins while it waits
    TAIL = "tail"  # after the last progress, within the silence bound
    NONE = "none"  # without progress that anything could be held against: none at all, or not read

    __hash__ = str.__hash__  # an enum's own is Python's, and each slot asks for it


@dataclass(frozen=True, slots=True)
class Span:
    """[from_at, until_at) of one kind."""

    from_at: float
    until_at: float
    kind: Kind

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.until_at - self.from_at


def usual_gap_s(arcs: tuple[Arc, ...]) -> float | None:
    """The usual time between two records of progress; null without any."""
    return median([a.until_at - a.from_at for a in arcs]) if arcs else None


def silence_after_s(config: AuditConfig, gap_s: float) -> float:
    """From how long without progress on the log is called silent."""
    return max(config.silence_s, RARE * gap_s)


def cut(
    track: Track, from_at: float, until_at: float, config: AuditConfig, start_at: float = -math.inf
) -> tuple[Span, ...]:
    """Spans that tile [from_at, until_at) in order. Where no progress reaches into them from before, what
    came before and after tells what they are: a log that ended yesterday is silent all of today. What came
    before `start_at`, the run's own, is another job's that wrote the same log, and tells nothing."""
    own = tuple(a for a in track.arcs if a.until_at > start_at)
    begin, end = _reach(own, from_at, until_at)
    whole = _whole(track, min(from_at, max(begin, start_at)), end, config)
    return _tile(_unread(whole, track.read_until, config.slack_s), from_at, until_at)


def _reach(arcs: tuple[Arc, ...], from_at: float, until_at: float) -> tuple[float, float]:
    """What has to be looked at for [from_at, until_at) to be told."""
    later = next((a for a in arcs if a.until_at > from_at), None)
    if not arcs or (later is not None and later.from_at <= from_at):
        return from_at, until_at
    is_next_day = later is not None and later.from_at >= until_at
    return min(from_at, arcs[0].from_at), later.until_at if later and is_next_day else until_at


def _whole(track: Track, from_at: float, until_at: float, config: AuditConfig) -> list[Span]:
    arcs = tuple(a for a in track.arcs if a.until_at > from_at and a.from_at < until_at)
    gap = usual_gap_s(arcs)
    if gap is None:
        return [Span(from_at, until_at, Kind.NONE)]
    spans = _before(arcs[0], from_at, until_at, config)
    left_s = _startup_bound_s(from_at, until_at, config) - spans[0].length_s
    spans += _between(track, arcs, gap, (config, left_s))
    spans = _bounded(spans, silence_after_s(config, gap))
    spans += _after(track, spans, (arcs[-1].until_at, gap), until_at, config)
    return list(_tile(spans, from_at, until_at))


def _unread(spans: list[Span], read_until: float | None, slack_s: float) -> list[Span]:
    """Silence as long as the log was read; whether it went on after that nobody knows."""
    edge = math.inf if read_until is None else read_until + slack_s
    done: list[Span] = []
    for span in spans:
        if span.kind is Kind.SILENT and span.until_at > edge:
            at = max(span.from_at, edge)
            done += [Span(span.from_at, at, Kind.SILENT), Span(at, span.until_at, Kind.NONE)]
        else:
            done.append(span)
    return done


def _before(first: Arc, from_at: float, until_at: float, config: AuditConfig) -> list[Span]:
    begin = max(from_at, first.from_at)
    bound = from_at + _startup_bound_s(from_at, until_at, config)
    return [
        Span(from_at, min(begin, bound), Kind.STARTUP),
        Span(min(begin, bound), begin, Kind.SLOW_START),
    ]


def _startup_bound_s(from_at: float, until_at: float, config: AuditConfig) -> float:
    return max(config.startup_s, config.startup_share * (until_at - from_at))


def _between(
    track: Track, arcs: tuple[Arc, ...], gap: float, bounds: tuple[AuditConfig, float]
) -> list[Span]:
    """Arcs as training; what is too long for its units, and what lies between two arcs, as pauses."""
    config, startup_s = bounds
    spans: list[Span] = []
    holes: list[tuple[float, float]] = []
    pace = usual_pace_s(arcs)
    last = arcs[0].from_at
    for arc in arcs:
        if arc.from_at > last:
            holes.append((last, arc.from_at))
        begin = train_from(track, arc, gap, pace)
        if begin > arc.from_at:
            holes.append((arc.from_at, begin))
        spans.append(Span(begin, arc.until_at, Kind.TRAIN))
        last = arc.until_at
    again = recurring(holes)
    limit = silence_after_s(config, gap)
    starts = _starts(arcs, holes, startup_s)
    kinds = [Kind.STARTUP if h in starts else _pause_kind(track, *h, again, limit) for h in holes]
    return spans + [Span(a, b, kind) for (a, b), kind in zip(holes, kinds, strict=True)]


def _starts(
    arcs: tuple[Arc, ...], holes: list[tuple[float, float]], startup_s: float
) -> set[tuple[float, float]]:
    """Holes before a counter that began anew: another training's start-up, as far as the run's bound on
    start-up reaches."""
    begins = set(begun_anew(arcs))
    found: set[tuple[float, float]] = set()
    for a, b in sorted(h for h in holes if h[1] in begins):
        startup_s -= b - a
        if startup_s >= 0:
            found.add((a, b))
    return found


def names_phase(track: Track, from_at: float, until_at: float) -> bool:
    """Whether the log names evaluation, a checkpoint or the like in the span, ends included."""
    return bisect_right(track.named_at, until_at) > bisect_left(track.named_at, from_at)


def usual_pace_s(arcs: tuple[Arc, ...]) -> float:
    """Usual seconds per unit; arcs must not be empty."""
    return median([(a.until_at - a.from_at) / a.units for a in arcs])


def stepping(track: Track) -> tuple[Arc, ...]:
    """Arcs that hold steps and nothing else, so that their length is that of their steps: without those in
    which the log names a phase or that are much longer than their units need. A name takes nothing out where
    the step times that the log itself prints leave no time for a phase."""
    gap = usual_gap_s(track.arcs)
    if gap is None:
        return ()
    pace = usual_pace_s(track.arcs)
    took_s = {m.at: m.took_s for m in track.marks if m.took_s is not None}
    return tuple(
        a
        for a in track.arcs
        if (not names_phase(track, a.from_at, a.until_at) or _fills(a, took_s))
        and train_from(track, a, gap, pace) == a.from_at
    )


def _fills(arc: Arc, took_s: dict[float, float]) -> bool:
    """Whether the log's own time of one step, times the arc's steps, is all of its length, and no more: what
    is more is no step's time."""
    step_s = took_s.get(arc.until_at)
    filled = 0.0 if step_s is None else (arc.steps or 0.0) * step_s / (arc.until_at - arc.from_at)
    return FULL <= filled <= 1.0 / FULL


def train_from(track: Track, arc: Arc, gap_s: float, pace_s: float) -> float:
    """When an arc's training began: at its front, or, where it is much longer than its units need, as late as
    they allow. What the log itself calls a phase is cut out of a slightly longer arc already."""
    usual = max(gap_s, pace_s * arc.units)
    named = names_phase(track, arc.from_at, arc.until_at)
    longer = arc.until_at - arc.from_at > (NAMED if named else PAUSE) * usual
    return arc.until_at - usual if longer else arc.from_at


def _pause_kind(track: Track, a: float, b: float, again: set[tuple[float, float]], limit: float) -> Kind:
    if names_phase(track, a, b):
        return Kind.MARKED
    if (a, b) in again:
        return Kind.RECURRING
    return Kind.PAUSE if b - a <= limit else Kind.SILENT


def recurring(holes: list[tuple[float, float]]) -> set[tuple[float, float]]:
    """Pauses of like length at like distance: the run's own rhythm of evaluations or checkpoints."""
    if len(holes) < RECURS:
        return set()
    lengths = [b - a for a, b in holes]
    middle = median(lengths)
    alike = [h for h in holes if abs((h[1] - h[0]) - middle) <= ALIKE * middle]
    if len(alike) < max(RECURS, len(holes) // 2):
        return set()
    steps = [y[0] - x[0] for x, y in itertools.pairwise(alike)]
    return set(alike) if mad_sigma(steps) <= ALIKE * median(steps) else set()


def trained_s(spans: list[Span]) -> float:
    """Seconds of training."""
    return sum(s.length_s for s in spans if s.kind is Kind.TRAIN)


def _bounded(spans: list[Span], limit_s: float) -> list[Span]:
    """The same with pauses that the log names for longer than the run trained in all cut there."""
    most = named.limits(trained_s(spans), 0.0, limit_s).one_s
    done: list[Span] = []
    for span in spans:
        edge = span.from_at + most
        if span.kind is Kind.MARKED and span.until_at > edge:
            done += [Span(span.from_at, edge, Kind.MARKED), Span(edge, span.until_at, Kind.OVERLONG)]
        else:
            done.append(span)
    return done


def _after(
    track: Track, before: list[Span], end: tuple[float, float], until_at: float, config: AuditConfig
) -> list[Span]:
    """From the last progress on: what the log names, or what the run's own pauses were like; then a tail, and
    silence. `end`: (the last progress, the usual time between two records)."""
    last, gap = end
    limit = silence_after_s(config, gap)
    longest = max((s.length_s for s in before if s.kind is Kind.MARKED), default=0.0)
    told = named.after(track.marks, last, until_at, named.limits(trained_s(before), longest, limit))
    done = [Span(n.from_at, n.until_at, Kind.OVERLONG if n.over else Kind.MARKED) for n in told]
    reach = done[-1].until_at if done else last
    ahead = any(m.at > until_at for m in track.marks)  # the audited window ends, the log does not
    if not done and not ahead:
        again = [s.length_s for s in before if s.kind in (Kind.RECURRING, Kind.MARKED)]
        reach = min(until_at, last + (1.0 + ALIKE) * median(again)) if len(again) >= RECURS else last
        done = [Span(last, reach, Kind.RECURRING)]
    bound = (done[-1].until_at if told else last) + limit
    kind = Kind.TRAIN if ahead and until_at <= last + PAUSE * gap else Kind.TAIL
    return [*done, Span(reach, min(bound, until_at), kind), Span(min(bound, until_at), until_at, Kind.SILENT)]


def _tile(spans: list[Span], from_at: float, until_at: float) -> tuple[Span, ...]:
    """Clipped, ordered, without holes; neighbours of one kind joined."""
    done: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.from_at, s.until_at)):
        a = max(span.from_at, done[-1].until_at if done else from_at)
        b = min(span.until_at, until_at)
        if b <= a:
            continue
        if done and a > done[-1].until_at:
            a = done[-1].until_at
        if done and done[-1].kind is span.kind:
            done[-1] = Span(done[-1].from_at, b, span.kind)
        else:
            done.append(Span(a, b, span.kind))
    if not done:
        return (Span(from_at, until_at, Kind.NONE),)
    if done[0].from_at > from_at:
        done.insert(0, Span(from_at, done[0].from_at, Kind.STARTUP))
    if done[-1].until_at < until_at:
        done.append(Span(done[-1].until_at, until_at, Kind.TAIL))
    return tuple(done)

"""When did each record happen, if all that is known are brackets? The straightest course through them.

A log without a clock is seen at the sampler's looks, a log with whole seconds to the second. Taking the
brackets' ends as instants would make a steady pace look ragged; the taut string through the brackets bends
only where they force it to, so a real change of pace stays and an artefact of looking goes.
"""

from dataclasses import replace
from itertools import groupby

from slurm_guard.audit.stats import quantile
from slurm_guard.audit.track import Mark

WHOLE = (60.0, 1.0)  # clock steps that matter beside windows of seconds to a minute
LONGEST = 3.0  # a record of a lump lies at most this many usual spacings before the next. Judgement.
Bracket = tuple[float, float]


def settle(marks: list[Mark]) -> list[Mark]:
    """Marks of one log with the times that the steadiest pace inside their brackets gives, per segment."""
    done: list[Mark] = []
    for segment in sorted({m.segment for m in marks}):
        part = [m for m in marks if m.segment == segment]
        done += _settle(part)
    return done


def _settle(marks: list[Mark]) -> list[Mark]:
    counted = [m for m in marks if _value(m) is not None]
    brackets = _brackets(counted)
    if len(counted) < 3 or all(high - low < 1e-6 for low, high in brackets):
        return marks
    places = [float(_value(m) or 0) for m in counted]
    keep = [0]
    for k in range(1, len(counted)):
        if places[k] > places[keep[-1]] and brackets[k][1] >= brackets[keep[-1]][0]:
            keep.append(k)
    if len(keep) < 2:  # a counter that never rises says nothing of when
        return marks
    times = taut([places[k] for k in keep], [brackets[k] for k in keep])
    moved = {id(counted[k]): t for k, t in zip(keep, times, strict=True)}
    blur = {id(m): high - low for m, (low, high) in zip(counted, brackets, strict=True)}
    return sorted(
        (replace(m, at=moved.get(id(m), m.at), blur_s=blur.get(id(m), 0.0)) for m in marks),
        key=lambda m: m.at,
    )


def _value(mark: Mark) -> int | None:
    for value in (mark.step, mark.samples, mark.tokens):
        if value is not None:
            return value
    return None


def _brackets(marks: list[Mark]) -> list[Bracket]:
    """What is known of each record's time: its own clock to its resolution, else the sampler's looks."""
    clock = _resolution([m.claimed_at for m in marks if m.claimed_at is not None])
    usual = (marks[-1].at - marks[0].at) / max(1, len(marks) - 1) if marks else 0.0
    found: list[Bracket] = []
    before: Mark | None = None  # of the lump before
    for _, group in groupby(marks, key=lambda m: m.at):
        lump = list(group)
        since = None if before is None else _since(before, lump[0])
        found += [_bracket(m, clock, (len(lump) - 1 - k, usual, since)) for k, m in enumerate(lump)]
        before = lump[-1]
    return found


def _since(before: Mark, mark: Mark) -> float:
    """From when on a record of the next lump may be: its lump before was flushed somewhere between two looks.
    A file that grew at every look has no buffer worth speaking of."""
    waited = mark.low_at is not None and before.low_at is not None and mark.low_at > before.at + 1e-6
    return before.low_at if waited and before.low_at is not None else before.at


def _bracket(mark: Mark, clock: float, lump: tuple[int, float, float | None]) -> Bracket:
    """One record's bracket. `lump`: records after it that reached the disk at once, the usual spacing, and
    since when it may have waited in a buffer."""
    if mark.claimed_at is not None and abs(mark.at - mark.claimed_at) < 1e-6:
        return mark.at, mark.at + clock
    after, usual, before = lump
    low = mark.low_at if mark.low_at is not None else mark.at
    if after:
        far = mark.at - LONGEST * usual * (after + 1)
        low = far if before is None else max(far, min(low, before))
    return min(low, mark.at), mark.at


def _resolution(times: list[float]) -> float:
    """The coarsest whole step that all claimed times keep to; 0.0: finer, or too few to tell."""
    if len(times) < 3:
        return 0.0
    for step in WHOLE:
        if all(abs(t / step - round(t / step)) * step < 1e-6 for t in times):
            return step
    return 0.0


def taut(places: list[float], brackets: list[Bracket]) -> list[float]:
    """Times at increasing `places` on the string pulled taut through `brackets`, free at its ends."""
    low, high = _slopes(places, brackets)
    first = _first_look(brackets)
    times = [0.5 * (brackets[first][0] + brackets[first][1])]
    places, ahead = places[first:], places[:first]
    early, brackets = brackets[:first], brackets[first:]
    anchor = 0
    while anchor < len(places) - 1:
        stop, time = _reach(places, brackets, (anchor, times[anchor]), 0.5 * (low + high))
        slope = (time - times[anchor]) / (places[stop] - places[anchor])
        for k in range(anchor + 1, stop + 1):
            times.append(times[anchor] + slope * (places[k] - places[anchor]))
        anchor = stop
    return _led(ahead, early, (places, times)) + times


def _first_look(brackets: list[Bracket]) -> int:
    """The first lump's last record: of those before it, less is known."""
    ends = [k for k, b in enumerate(brackets) if b[1] <= brackets[0][1]]
    return min(ends, key=lambda k: (brackets[k][1] - brackets[k][0], k))


def _led(ahead: list[float], early: list[Bracket], string: tuple[list[float], list[float]]) -> list[float]:
    """Times of the records before the string: at its usual pace backwards, inside their brackets."""
    places, times = string
    paces = [(b - a) / (q - p) for a, b, p, q in zip(times, times[1:], places, places[1:], strict=False)]
    pace = quantile(paces, 0.5) if paces else 0.0
    led: list[float] = []
    at, place = times[0], places[0]
    for k in range(len(ahead) - 1, -1, -1):
        low, high = early[k]
        at = min(at, max(low, min(high, at - pace * (place - ahead[k]))))
        place = ahead[k]
        led.append(at)
    return led[::-1]


def _slopes(places: list[float], brackets: list[Bracket]) -> tuple[float, float]:
    """Overall pace between the first and the last record, at least and at most."""
    width = places[-1] - places[0]
    return (brackets[-1][0] - brackets[0][1]) / width, (brackets[-1][1] - brackets[0][0]) / width


def _reach(
    places: list[float], brackets: list[Bracket], start: tuple[int, float], wanted: float
) -> tuple[int, float]:
    """How far one straight piece goes from `start`, and the time where it must bend (or end)."""
    anchor, at = start
    least, most = 0.0, float("inf")
    at_least = at_most = anchor
    for k in range(anchor + 1, len(places)):
        run = places[k] - places[anchor]
        low, high = (brackets[k][0] - at) / run, (brackets[k][1] - at) / run
        if low > most:
            return at_most, brackets[at_most][1]
        if high < least:
            stop = at_least if at_least > anchor else k  # it ends before the string is there: no way back
            return stop, max(brackets[stop][0], at)
        if low > least:
            least, at_least = low, k
        if high < most:
            most, at_most = high, k
    last = len(places) - 1
    return last, at + min(max(wanted, least), most) * (places[last] - places[anchor])

"""Sets claims against what the sampler saw: when each byte came to disk, and whether that fits.

A record that ends at offset o came to disk after the last sight with size < o and by the first with
size >= o. Writers buffer (Python 8 kB, TensorBoard 120 s), so a record may be as old as the file's growth
before its own; only what is older than that, less the slack, is called backdated.
"""

from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from slurm_guard.progress.clocks import is_finer, why_none
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.zone import is_guessed, resolve
from slurm_guard.wire import Point

SLACK_S = 600.0  # documented: TensorBoard flushes after 120 s, Lightning after 100 rows, stdout after 8 kB
SLACK_LEAST_S = 150.0  # TensorBoard's 120 s hold in the shortest run, too
FUTURE_S = 60.0  # judgement: clocks of two nodes of one cluster
FUTURE_LEAST_S = 5.0
AFTER_END_S = 10.0  # judgement: a killed process' last pages on a file server
CTIME_SLACK_S = 2.0  # judgement: a file server's clock beside the node's
LATE_LEAST = 10  # backdated records in a row, before those that follow are of the same lateness (judgement)
BULK_SHARE = 0.5  # of a track's points in one tick (design note; judgement)
BULK_LEAST = 10
BULK_TICK_SHARE = 0.25  # a tick longer than this share of the run says nothing
BULK_AGREES_S = 60.0  # judgement: a minute of flushing
BUFFER_B = 8_192  # Python's and C's buffer of a file: what comes at once up to this may be an honest lag
BLOCK_B = 32_768  # wandb-core writes whole blocks


class Sight(NamedTuple):
    """The file as the sampler saw it at one moment."""

    at: float
    size: int
    ino: int | None
    ctime_ns: int | None


class Frame(NamedTuple):
    """The run around the files. `read_at`: when the content was read, itself a sight."""

    ticket_at: float
    read_at: float
    ended_at: float | None

    def length_s(self) -> float:
        """Seconds from the ticket to the end, or to the reading while the run lives."""
        return max(1.0, (self.ended_at if self.ended_at is not None else self.read_at) - self.ticket_at)


class Trail(NamedTuple):
    """One file's sights, as far as they speak of its present content. Sizes never fall within it."""

    at: list[float]
    sizes: list[int]
    before_b: int  # bytes that were there before the run
    seen_in_run: bool  # false: nobody watched the file
    flags: tuple[str, ...]
    slack_s: float


def trail_of(sights: list[Sight], size: int, ctime_at: float | None, frame: Frame) -> Trail:
    """The sights since the file's content last began anew, and the reading itself as the last one."""
    life: list[Sight] = []
    flags: set[str] = set()
    for sight in sorted(sights, key=lambda sight: sight.at):
        if life and (_other(sight.ino, life[-1].ino) or sight.size < life[-1].size):
            # Slurm truncates stdout when a requeued job starts: innocent while all of it predates the run.
            if not all(_predates(old, frame) for old in life):
                flags.add("inode-changed" if _other(sight.ino, life[-1].ino) else "rewritten")
            life = []
        life.append(sight)
    if life and size < life[-1].size:
        flags.add("rewritten")
        life = []
    before_b = max((sight.size for sight in life if _predates(sight, frame)), default=0)
    end_at = frame.read_at if ctime_at is None else min(frame.read_at, max(ctime_at, frame.ticket_at))
    last_at = max([end_at, *(sight.at for sight in life)])
    at = [sight.at for sight in life] + [last_at]
    sizes = [sight.size for sight in life] + [size]
    return Trail(at, sizes, before_b, bool(life), tuple(sorted(flags)), _slack_s(at, sizes, frame))


def with_birth(sights: list[Sight], born_at: float | None, ino: int | None, frame: Frame) -> list[Sight]:
    """The sights, and one more where the inode was made during the run: then the file was empty.

    Nobody but the kernel sets that time. A server's clock may differ from the node's, so the moment is put a
    little earlier, and it says nothing where the sampler has seen the file before it.
    """
    if born_at is None or born_at < frame.ticket_at or any(sight.at <= born_at for sight in sights):
        return sights
    return [Sight(max(frame.ticket_at, born_at - CTIME_SLACK_S), 0, ino, int(1e9 * born_at)), *sights]


def changed_after_end(sights: list[Sight], size: int, ctime_at: float | None, frame: Frame) -> bool:
    """Whether the file or its status was changed when the run was over, and nothing was added.

    Growth is told apart: what a dying process still had to write makes the file longer.
    """
    if frame.ended_at is None or ctime_at is None or not sights:
        return False
    return ctime_at > frame.ended_at + AFTER_END_S and size == max(sights, key=lambda sight: sight.at).size


def _other(a: int | None, b: int | None) -> bool:
    return a is not None and b is not None and a != b


def _predates(sight: Sight, frame: Frame) -> bool:
    """Whether the file was last changed before the run: ctime is the kernel's; `touch` moves it not."""
    return sight.ctime_ns is not None and sight.ctime_ns / 1e9 < frame.ticket_at - CTIME_SLACK_S


def _slack_s(at: list[float], sizes: list[int], frame: Frame) -> float:
    """max(10 min, 3 x median growth interval); in runs under 40 min a quarter, at least 150 s."""
    grown = [at[i] for i in range(1, len(at)) if sizes[i] > sizes[i - 1]]
    gaps = sorted(b - a for a, b in pairwise(grown))
    middle = gaps[len(gaps) // 2] if gaps else 0.0
    return max(min(SLACK_S, max(SLACK_LEAST_S, frame.length_s() / 4)), 3 * middle)


def limits(trail: Trail, offset: int, frame: Frame) -> tuple[float | None, float | None]:
    """(obs_lo_at, obs_hi_at) of a record that ends at `offset`; null: nobody was watching on that side."""
    index = bisect_left(trail.sizes, offset)
    hi = trail.at[index] if index < len(trail.at) else frame.read_at
    if index > 0:
        return trail.at[index - 1], hi
    return (frame.ticket_at if trail.seen_in_run else None), hi


def _earlier_growth(trail: Trail, offset: int, frame: Frame) -> float:
    """When the growth before this record's own began: what a buffer flushed at once may reach back to."""
    index = min(bisect_left(trail.sizes, offset), len(trail.sizes) - 1)
    while index > 0 and trail.sizes[index - 1] == trail.sizes[index]:
        index -= 1
    index -= 1  # the sight before this record's growth …
    while index > 0 and trail.sizes[index - 1] == trail.sizes[index]:
        index -= 1  # … back over the quiet time, to the growth before
    return trail.at[index - 1] if index > 0 else frame.ticket_at


def bracket(marks: list[Mark], trails: dict[int, Trail], frame: Frame) -> tuple[list[Point], dict[int, int]]:
    """(points with trusted limits and flags, file -> records from before the run that were left out)."""
    false = false_clocks(marks, trails, frame)
    if false:
        marks = [
            mark._replace(at=None, naive=False) if (mark.track, mark.file, mark.naive) in false else mark
            for mark in marks
        ]
    shifts = {
        file: resolve(_naive(marks, file, trail, frame), trail.slack_s) for file, trail in trails.items()
    }
    dropped: Counter[int] = Counter()
    points: list[Point] = []
    for mark in marks:
        trail = trails[mark.file]
        at = mark.at if mark.at is None or not mark.naive else shifts[mark.file](mark.at)
        if "unplaced" in mark.flags:
            if _outside_run(at, frame):
                dropped[mark.file] += 1
            else:
                points.append(_point(mark, at, (None, None), [*mark.flags, *trail.flags]))
            continue
        lo, hi = limits(trail, mark.offset, frame)
        if _before_run(mark, at, trail, frame):
            dropped[mark.file] += 1
            continue
        flags = [*mark.flags, *trail.flags]
        if mark.naive and at is not None:
            flags.extend(["naive-clock", "guessed-zone"][: 1 + is_guessed(shifts[mark.file])])
        flags.extend(
            _contradictions(at, (lo, hi), _earlier_growth(trail, mark.offset, frame), (trail, frame))
        )
        points.append(_point(mark, at, (lo, hi), flags))
    return _flag_bulk(_flag_catching_up(_renumbered(points), trails, frame), frame), dict(dropped)


def false_clocks(
    marks: list[Mark], trails: dict[int, Trail], frame: Frame
) -> dict[tuple[str, int, bool], str]:
    """(track, file, whether without a zone) -> why these stamps are no clock's, by how the records came.

    Only records that were not there before the run speak, and of a database's none does: it has no brackets.
    """
    seen: dict[tuple[str, int, bool], list[Mark]] = {}
    for mark in marks:
        if mark.at is not None and "unplaced" not in mark.flags and mark.offset > trails[mark.file].before_b:
            seen.setdefault((mark.track, mark.file, mark.naive), []).append(mark)
    found = {}
    run = (frame.ticket_at, frame.read_at if frame.ended_at is None else frame.ended_at)
    for key, mine in seen.items():
        trail = trails[key[1]]
        mine.sort(key=lambda mark: mark.offset)
        records = []
        for mark in mine:
            lo, hi = limits(trail, mark.offset, frame)
            if lo is not None and hi is not None and mark.at is not None:
                records.append((mark.at, lo, hi))
        whole = len(records) == len(mine)
        if whole and not key[2] and is_finer([at for at, _, _ in records], records[-1][2] - records[0][1]):
            found[key] = "its times count in a finer unit than seconds since 1970"
        elif whole and (why := why_none(records, trail.slack_s, run)):
            found[key] = why
    return found


def _naive(marks: list[Mark], file: int, trail: Trail, frame: Frame) -> list[tuple[float, float, float]]:
    """(local time, lo, hi) of the records with a naive clock, for the choice of the zone.

    A buffer may hold them back to the growth before their own, as in `_contradictions`.
    """
    out = []
    for mark in marks:
        if mark.file == file and mark.naive and mark.at is not None:
            lo, hi = limits(trail, mark.offset, frame)
            low = frame.ticket_at if lo is None else min(lo, _earlier_growth(trail, mark.offset, frame))
            out.append((mark.at, low, frame.read_at if hi is None else hi))
    return out


def _before_run(mark: Mark, at: float | None, trail: Trail, frame: Frame) -> bool:
    """Whether the record was in the file before the run: by the kernel's ctime, else by its own time."""
    if mark.offset <= trail.before_b:
        return True
    unwatched = not trail.seen_in_run or mark.offset <= trail.sizes[0]
    return unwatched and at is not None and at < frame.ticket_at - trail.slack_s


def _outside_run(at: float | None, frame: Frame) -> bool:
    """Whether a row of a shared database is another run's: by its own time, the only one that it has."""
    end_at = frame.read_at if frame.ended_at is None else frame.ended_at
    return at is None or not frame.ticket_at - CTIME_SLACK_S <= at <= end_at + FUTURE_S


def _contradictions(
    at: float | None, seen: tuple[float | None, float | None], earlier_at: float, around: tuple[Trail, Frame]
) -> list[str]:
    """backdated, future: the claimed time lies outside the bracket by more than the slack."""
    trail, frame = around
    lo, hi = seen
    if at is None:
        return []
    if lo is not None and at < min(lo, earlier_at) - trail.slack_s:
        return ["backdated"]
    ahead = min(FUTURE_S, max(FUTURE_LEAST_S, frame.length_s() / 20))
    return ["future"] if hi is not None and at > hi + ahead else []


def _point(mark: Mark, at: float | None, seen: tuple[float | None, float | None], flags: list[str]) -> Point:
    return Point(
        mark.file, mark.track, mark.segment, at, seen[0], seen[1], mark.step, mark.samples, mark.tokens,
        mark.total, mark.loss, mark.phase, mark.offset, sorted(set(flags)),
        mark.took_s,
    )  # fmt: skip


def _renumbered(points: list[Point]) -> list[Point]:
    """Segments count from 0 again where earlier ones were left out; the first is no step-back."""
    first: dict[str, int] = {}
    out = []
    for point in points:
        base = first.setdefault(point.track, point.segment)
        flags = [f for f in point.flags if f != "step-back"] if point.segment == base else point.flags
        out.append(point._replace(segment=point.segment - base, flags=flags))
    return out


def _flag_catching_up(points: list[Point], trails: dict[int, Trail], frame: Frame) -> list[Point]:
    """Marks as backdated what follows many backdated records while it still claims an earlier time.

    A log that was silent and then tells of that time comes nearer to the present with each record; its last
    ones are late by less than the slack, and still no buffer's.
    """
    order = sorted(range(len(points)), key=lambda nth: (points[nth].file, points[nth].offset or 0))
    out = list(points)
    n, file = 0, -1
    for nth in order:
        point = points[nth]
        n, file = (n if point.file == file else 0), point.file
        if "backdated" in point.flags:
            n += 1
            continue
        lo, at = point.obs_lo_at, point.at
        if n < LATE_LEAST or lo is None or at is None:
            n = n if at is None else 0
            continue
        if at < min(lo, _earlier_growth(trails[file], point.offset or 0, frame)):
            out[nth] = point._replace(flags=sorted({*point.flags, "backdated"}))
        else:
            n = 0
    return out


def _flag_bulk(points: list[Point], frame: Frame) -> list[Point]:
    """Marks points of which most of their track came to disk within the length of one short tick.

    Two ticks side by side count as one, for a moment's writing may fall on both sides of a sight. A point
    that claims the time of its tick is what it says, and one full buffer is what an honest writer leaves.
    """
    ticks: dict[str, dict[Tick, list[Point]]] = {}
    for point in points:
        if point.obs_lo_at is not None and point.obs_hi_at is not None:
            of_track = ticks.setdefault(point.track, {})
            of_track.setdefault((point.obs_lo_at, point.obs_hi_at), []).append(point)
    bulky = {(track, tick) for track, inside in ticks.items() for tick in _bulky(track, inside, frame)}
    out = []
    for point in points:
        lo, hi = point.obs_lo_at, point.obs_hi_at
        if lo is not None and hi is not None and (point.track, (lo, hi)) in bulky:
            agrees = point.at is not None and lo - BULK_AGREES_S <= point.at <= hi + BULK_AGREES_S
            if not agrees:
                point = point._replace(flags=sorted({*point.flags, "bulk"}))
        out.append(point)
    return out


Tick = tuple[float, float]  # obs_lo_at, obs_hi_at


def _bulky(track: str, inside: dict[Tick, list[Point]], frame: Frame) -> set[Tick]:
    """The ticks of a track in which, alone or with the next, most of its points came."""
    total, most_s = sum(map(len, inside.values())), BULK_TICK_SHARE * frame.length_s()
    buffer_b = BLOCK_B if track.startswith("wandb:") else BUFFER_B
    found: set[Tick] = set()
    if total < BULK_LEAST:
        return found
    order = sorted(inside)
    for tick, after in zip(order, [*order[1:], None], strict=True):
        groups = [[tick]] if after is None or after[0] != tick[1] else [[tick], [tick, after]]
        for group in groups:
            come = [point for one in group for point in inside[one]]
            short = group[-1][1] - group[0][0] < most_s
            if short and len(come) > BULK_SHARE * total and _size_b(come) > buffer_b:
                found.update(group)
    return found


def _size_b(points: list[Point]) -> int:
    """Bytes from the first of these records to the last, in each file."""
    ends: dict[int, list[int]] = {}
    for point in points:
        ends.setdefault(point.file, []).append(point.offset or 0)
    return sum(max(offsets) - min(offsets) for offsets in ends.values())

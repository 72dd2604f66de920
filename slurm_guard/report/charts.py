"""The timeline as data: work by account, power, progress and events on one time axis; templates only loop."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from slurm_guard.model import Timeline
from slurm_guard.report import words
from slurm_guard.report.axes import Scale, Tick, px, round_top, time_ticks, value_ticks
from slurm_guard.report.safe import SHORT, clean
from slurm_guard.report.series import Columns, ordered_events, resample

_LEFT, _RIGHT, _GAP, _TOP = 66, 24, 30, 18  # left: the longest name of a lane is whole in a picture
_LANES = (("work", 96), ("power", 56), ("rate", 56))


@dataclass(frozen=True, slots=True)
class Area:
    """One account's stacked steps."""

    account: str
    path: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A band of the chart with its own vertical axis."""

    slug: str
    title: str
    title_y: str
    top: str
    bottom: str
    ticks: tuple[Tick, ...]
    areas: tuple[Area, ...]
    line: str
    empty: str  # what to say when nothing was observed


@dataclass(frozen=True, slots=True)
class Shade:
    """An unexplained stretch across all lanes."""

    x: str
    width: str
    title: str


@dataclass(frozen=True, slots=True)
class MarkLane:
    """A row of events; `empty` says that it has none."""

    at: str
    label: str
    empty: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One event: a numbered point, with a bar to its end when it lasted."""

    n: int
    lane: str
    x: str
    y: str
    bar_y: str
    text_y: str
    width: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing at one width."""

    width: int
    height: int
    left: int
    right: str
    plot_top: str
    plot_bottom: str
    shade_height: str
    axis_y: str
    zone: str
    lanes: tuple[Lane, ...]
    shades: tuple[Shade, ...]
    x_ticks: tuple[Tick, ...]
    mark_lanes: tuple[MarkLane, ...]
    marks: tuple[Mark, ...]
    alt: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What the axes speak: the zone, the unit of GPU time, and of progress."""

    times: words.Times
    unit: words.Unit
    rate_unit: str  # empty: no progress was logged


def build_chart(
    timeline: Timeline, width: int, frame: Frame, shaded: Sequence[tuple[float, float, int]]
) -> Chart:
    """The whole drawing at `width` pixels, about three a column at least. `shaded`: (from, until, GPU-ms)."""
    times, unit = frame.times, frame.unit
    columns = resample(timeline, (width - _LEFT - _RIGHT) // 3)
    x = Scale(columns.start_at, max(columns.until_at, columns.start_at + 1), _LEFT, width - _RIGHT)
    tops = [24 + sum(height + _GAP for _, height in _LANES[:i]) for i in range(len(_LANES))]
    lanes = (
        _work_lane(columns, x, tops[0], _LANES[0][1]),
        _line_lane("power", "Power of all GPUs, W", columns.power_w, (columns, x), (tops[1], _LANES[1][1])),
        _line_lane(
            "rate",
            f"Progress, {frame.rate_unit}/s" if frame.rate_unit else "Progress",
            columns.progress_per_s,
            (columns, x),
            (tops[2], _LANES[2][1]),
        ),
    )
    y = tops[-1] + _LANES[-1][1] + 10
    mark_lanes, marks, y = _marks(timeline, x, y)
    shades = tuple(
        Shade(px(x(a)), px(x(b) - x(a)), f"{times.span(a, b)}: {unit.full(part)} unexplained")
        for a, b, part in shaded
    )
    return Chart(
        width,
        y + 34,
        _LEFT,
        px(width - _RIGHT),
        px(_TOP),
        px(y),
        px(y - _TOP),
        px(y + 16),
        times.zone_name(timeline.start_at),
        lanes,
        shades,
        time_ticks(x, times, most=max(3, width // 110)),
        mark_lanes,
        marks,
        _alt(columns, times, len(shades)),
    )


def _alt(columns: Columns, times: words.Times, n_shades: int) -> str:
    return (
        "GPU work by account, power, progress and events from "
        f"{times.span(columns.start_at, columns.until_at)}; "
        f"{words.plural(n_shades, 'unexplained stretch', 'unexplained stretches')} shaded"
    )


def _work_lane(columns: Columns, x: Scale, top: int, height: int) -> Lane:
    slot_ms = columns.slot_s * 1000
    totals = [sum(values[i] or 0 for values in columns.accounts.values()) / slot_ms for i in range(columns.n)]
    most, step = round_top(max(totals, default=0), 2)
    y = Scale(0, most, top + height, top)
    base = [0.0] * columns.n
    areas = []
    for account in words.BAR_ORDER:
        values = columns.accounts.get(account, [])
        over = [b + (v or 0) / slot_ms for b, v in zip(base, values, strict=False)] or base
        if any(v is not None and v > 0 for v in values):
            areas.append(Area(account, _steps(base, over, (columns, x), y)))
        base = over
    title = "GPU time by account, GPUs"
    return Lane(
        "work",
        title,
        px(top - 7),
        px(top),
        px(top + height),
        value_ticks(y, step),
        tuple(areas),
        "",
        "" if areas else "no GPU time in this stretch",
    )


def _steps(base: list[float], over: list[float], frame: tuple[Columns, Scale], y: Scale) -> str:
    """A closed path for every stretch where the account holds something."""
    columns, x = frame
    parts, i = [], 0
    while i < columns.n:
        if over[i] <= base[i]:
            i += 1
            continue
        first = i
        while i < columns.n and over[i] > base[i]:
            i += 1
        there = [_flat(columns, x, k, y(over[k])) for k in range(first, i)]
        back = [_flat(columns, x, k, y(base[k]))[::-1] for k in range(i - 1, first - 1, -1)]
        points = _thin([point for pair in (*there, *back) for point in pair])
        parts.append("M" + "L".join(f"{px(a)} {px(b)}" for a, b in points) + "Z")
    return "".join(parts)


def _flat(columns: Columns, x: Scale, i: int, y: float) -> list[tuple[float, float]]:
    from_at = columns.start_at + i * columns.slot_s
    return [(x(from_at), y), (x(from_at + columns.slot_s), y)]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the points in the middle of a level stretch: an eighth of the bytes on a steady run."""
    kept = points[:1]
    for here, after in itertools.pairwise(points[1:]):
        if not (round(kept[-1][1], 1) == round(here[1], 1) == round(after[1], 1)):
            kept.append(here)
    return kept + points[-1:]


def _line_lane(
    slug: str, title: str, values: list[float | None], frame: tuple[Columns, Scale], place: tuple[int, int]
) -> Lane:
    columns, x = frame
    top, height = place
    seen = [v for v in values if v is not None]
    most, step = round_top(max(seen, default=0), 2)
    y = Scale(0, most, top + height, top)
    parts: list[str] = []
    pen_down = False
    for i, value in enumerate(values):
        if value is None:
            pen_down = False
            continue
        (x1, y1), (x2, _) = _flat(columns, x, i, y(value))
        parts.append(f"{'L' if pen_down else 'M'}{px(x1)} {px(y1)}H{px(x2)}")
        pen_down = True
    return Lane(
        slug,
        title,
        px(top - 7),
        px(top),
        px(top + height),
        value_ticks(y, step) if seen else (),
        (),
        "".join(parts),
        "" if seen else "not observed" if slug != "rate" else "none logged",
    )


def _marks(timeline: Timeline, x: Scale, y: int) -> tuple[tuple[MarkLane, ...], tuple[Mark, ...], int]:
    """Events numbered in time order, one row a lane; rows double where marks would cover each other."""
    events = ordered_events(timeline)
    rows: list[MarkLane] = []
    marks: list[Mark] = []
    for lane in sorted({"network", *(event.lane for event in events)}):
        ends: list[float] = []  # per row of this lane: where its last mark ends
        for n, event in enumerate(events, 1):
            if event.lane != lane:
                continue
            at = min(max(x(event.at), x.out_from), x.out_until)
            until = at if event.until_at is None else min(max(x(event.until_at), at), x.out_until)
            row = next((i for i, end in enumerate(ends) if end < at - 9), len(ends))
            ends[row : row + 1] = [max(until, at + 9)]
            middle = y + 12 + 20 * row
            marks.append(
                Mark(
                    n,
                    _slug(lane),
                    px(at),
                    px(middle),
                    px(middle - 1.5),
                    px(middle + 4),
                    px(until - at),
                    clean(event.text),
                )
            )
        rows.append(MarkLane(px(y + 16), clean(lane, SHORT)[:8], "" if ends else "no connection to show"))
        y += 20 * max(1, len(ends)) + 4
    return tuple(rows), tuple(sorted(marks, key=lambda mark: mark.n)), y


def _slug(lane: str) -> str:
    return lane if lane in ("process", "network", "run") else "other"

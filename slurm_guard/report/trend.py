"""The last nights in one drawing and one table: where the GPU time went, what was called."""

from collections.abc import Sequence
from dataclasses import dataclass

from slurm_guard import sums
from slurm_guard.report import words
from slurm_guard.report.axes import Scale, Tick, px, round_top, value_ticks
from slurm_guard.report.view import Line, Table, TrendChart, TrendLane, TrendRect, TrendView
from slurm_guard.report.words import Times, Unit
from slurm_guard.summodel import NightSum

WIDE_PX, NARROW_PX = 980, 340
_LEFT, _RIGHT, _TOP, _GAP = 60, 14, 26, 32
_DAY_S = 86_400.0
# (colour, field) from the axis up, in the order of a bar; a night has no account finer than these.
_STACK = (
    ("progress", "explained_gpu_ms"),
    ("idle", "idle_gpu_ms"),
    ("unobserved", "unobserved_gpu_ms"),
    ("unmatched", "unmatched_gpu_ms"),
    ("residual", "unexplained_gpu_ms"),
)
_NAMES = dict(
    zip((c for c, _ in _STACK), ("explained", *(c for c, _ in _STACK[1:4]), "unexplained"), strict=True)
)
_HEADS = ("Night", "Allocated", "Explained", "Idle", "Unobserved", "Unexplained", "Alerts", "Reviews", "Runs")

COUNTED = "Alerts and reviews are counted without those that the site explained."  # as everywhere else


def build_trend(nights: Sequence[NightSum], times: Times, unit: Unit) -> TrendView | None:
    """Null where the document has none (an earlier release's, or a part of a night)."""
    if not nights:
        return None
    if len(nights) == 1:
        said = (
            "This is the first night that is remembered; from the next one on the nights stand side by side."
        )
        return TrendView(said, None, None, (), Table((), (), ""))
    places = _places(nights)
    n_missing = places[-1] + 1 - len(nights)
    gaps = (
        f"; {words.plural(n_missing, 'night')} between them {'was' if n_missing == 1 else 'were'} not audited"
    )
    first, last = (times.full(n.from_at)[:10] for n in (nights[0], nights[-1]))
    said = (
        f"{words.plural(len(nights), 'night')} from {first} to {last}{gaps if n_missing else ''}. {COUNTED}"
    )
    frame = _Frame(nights, places, times, unit)
    shown = tuple(
        (color, name)
        for color, name in _NAMES.items()
        if any(getattr(n, dict(_STACK)[color]) for n in nights)
    )
    lines = tuple(_line(n, times, unit) for n in reversed(nights))
    table = Table(
        _HEADS, lines, f"GPU time in {unit.name}; unexplained: central estimate, and the sum of lower bounds."
    )
    return TrendView(said, _draw(frame, WIDE_PX), _draw(frame, NARROW_PX), shown, table)


def _places(nights: Sequence[NightSum]) -> list[int]:
    """A column a night; a day that was not audited keeps its column empty, unless the nights are no days."""
    places = [round((n.from_at - nights[0].from_at) / _DAY_S) for n in nights]
    is_daily = len(set(places)) == len(places) and places == sorted(places) and places[-1] < 2 * sums.NIGHTS
    return places if is_daily else list(range(len(nights)))


def _line(night: NightSum, times: Times, unit: Unit) -> Line:
    whole = night.allocated_gpu_ms
    low = night.unexplained_lo_gpu_ms
    return Line(
        (
            times.full(night.from_at)[:10],
            unit.show(whole),
            words.percent(night.explained_gpu_ms, whole),
            words.percent(night.idle_gpu_ms, whole),
            words.percent(night.unobserved_gpu_ms, whole),
            f"{unit.show(night.unexplained_gpu_ms)} (≥ {unit.show(low)})",
            f"{night.n_alert:,}",
            f"{night.n_review:,}",
            f"{night.n_runs:,}",
        )
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    nights: Sequence[NightSum]
    places: Sequence[int]
    times: Times
    unit: Unit


@dataclass(frozen=True, slots=True)
class _Columns:
    """From a night's place to pixels."""

    left: float
    step: float

    def x(self, place: int) -> float:
        return self.left + place * self.step

    @property
    def width(self) -> float:
        return max(1.0, self.step * 0.8)


def _draw(frame: _Frame, width: int) -> TrendChart:
    n = frame.places[-1] + 1
    columns = _Columns(_LEFT, min(36.0, (width - _LEFT - _RIGHT) / n))
    name, size = frame.unit.name, frame.unit.gpu_ms
    stack = [[getattr(night, field) / size for _, field in _STACK] for night in frame.nights]
    low = [[night.unexplained_lo_gpu_ms / size] for night in frame.nights]
    calls = [[float(night.n_alert), float(night.n_review)] for night in frame.nights]
    bands = (
        (f"Allocated, {name} a night", stack, [c for c, _ in _STACK], 110),
        (f"Unexplained at least, {name}", low, ["residual"], 48),
        ("Alerts and, above them, reviews; runs", calls, ["alert", "review"], 48),
    )
    lanes, top = [], _TOP
    for title, values, colors, height in bands:
        lanes.append(_lane(frame, columns, title, (values, colors), (top, height)))
        top += height + _GAP
    bottom = top - _GAP
    every = max(1, round(54 / columns.step))
    ticks = tuple(
        Tick(px(columns.x(place) + columns.width / 2), frame.times.full(night.from_at)[5:10])
        for place, night in zip(frame.places, frame.nights, strict=True)
        if (frame.places[-1] - place) % every == 0
    )
    right = columns.x(n)
    return TrendChart(width, bottom + 38, _LEFT, px(right), px(bottom + 17), tuple(lanes), ticks, _alt(frame))


def _alt(frame: _Frame) -> str:
    last = frame.nights[-1]
    low = [n.unexplained_lo_gpu_ms for n in frame.nights]
    return (
        f"Allocated GPU time of {words.plural(len(frame.nights), 'night')} by account, unexplained at least, "
        f"and runs called, without those that the site explained; at least {frame.unit.full(low[-1])} "
        f"unexplained in the last one, {frame.unit.full(max(low))} in the highest; "
        f"{words.plural(last.n_alert, 'alert')} in the last one"
    )


def _lane(
    frame: _Frame,
    columns: _Columns,
    title: str,
    data: tuple[list[list[float]], list[str]],
    place: tuple[int, int],
) -> TrendLane:
    (values, colors), (top, height) = data, place
    most, step = round_top(max((sum(v) for v in values), default=0), 2)
    y = Scale(0, most, top + height, top)
    rects = []
    for k, night, parts in zip(frame.places, frame.nights, values, strict=True):
        base = 0.0
        for color, part in zip(colors, parts, strict=True):
            if part > 0:
                box = (px(columns.x(k)), px(y(base + part)), px(columns.width), px(y(base) - y(base + part)))
                rects.append(TrendRect(color, *box, frame.times.full(night.from_at)[:10]))
            base += part
    return TrendLane(title, px(top - 8), px(top + height), value_ticks(y, step), tuple(rects))

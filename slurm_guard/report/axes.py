"""Scales and ticks: numbers to coordinates, with round labels."""

from dataclasses import dataclass
from datetime import datetime

from slurm_guard.report.words import Times, number

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


# Slots are rounded to whole milliseconds: a full one may be a thousandth over. An axis twice as high for that
# would leave half of it empty.
ROUNDING = 2e-3


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear, from a value range to pixels; y scales run downwards with `out_from` at the bottom."""

    in_from: float
    in_until: float
    out_from: float
    out_until: float

    def __call__(self, value: float) -> float:
        share = (value - self.in_from) / (self.in_until - self.in_from)
        return self.out_from + share * (self.out_until - self.out_from)


def px(value: float) -> str:
    """A coordinate with one decimal, without a trailing zero."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def round_top(value: float, n_steps: int = 2) -> tuple[float, float]:
    """(top of the axis, step): the smallest round axis of about `n_steps` steps that holds `value`."""
    if value <= 0:
        return 1.0, 1.0
    value *= 1 - ROUNDING
    step = 1.0
    while step * n_steps < value:
        step *= 10
    while step / 10 * n_steps >= value:
        step /= 10
    step = next(step * s / 10 for s in (2, 3, 4, 5, 10) if step * s / 10 * n_steps >= value)
    return step * n_steps, step


def value_ticks(scale: Scale, step: float) -> tuple[Tick, ...]:
    """Labels at every step of a scale that begins at zero."""
    n_steps = round((scale.in_until - scale.in_from) / step)
    return tuple(Tick(px(scale(i * step)), _label(i * step)) for i in range(n_steps + 1))


_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))


def _label(value: float) -> str:
    """At most seven characters, so that it fits beside its axis."""
    for least, prefix in _PREFIXES:
        if value >= least:
            return f"{value / (1000.0 if prefix == 'k' else least):g}{prefix}"
    return f"{value:,.0f}" if value == int(value) else f"{value:g}" if value >= 0.001 else number(value)


def time_ticks(scale: Scale, times: Times, most: int) -> tuple[Tick, ...]:
    """At most about `most` labels at round moments of the page's zone; midnight shows its date."""
    span_s = scale.in_until - scale.in_from
    step_s = next((s for s in _STEPS_S if span_s / s <= most), 86400 * max(1, round(span_s / 86400 / most)))
    first = times.moment(scale.in_from)
    if first is None:
        return ()
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    ticks: list[Tick] = []
    at = _first_at_or_after(midnight, scale.in_from, step_s)
    while at <= scale.in_until + 1e-6 and len(ticks) <= 2 * most:
        moment = times.moment(at)
        if moment is None:
            break
        ticks.append(Tick(px(scale(at)), _time_label(moment, step_s)))
        at += step_s
    return tuple(ticks)


def _first_at_or_after(midnight: datetime, at: float, step_s: int) -> float:
    base = midnight.timestamp()
    return base + step_s * -((base - at) // step_s) if at > base else base


def _time_label(moment: datetime, step_s: int) -> str:
    if moment == moment.replace(hour=0, minute=0, second=0) and step_s >= 60:
        return f"{moment:%b} {moment.day}"
    return moment.strftime("%H:%M:%S" if step_s < 60 else "%H:%M")

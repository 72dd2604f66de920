"""An hour of readings: every metric by name, a range of raw readings each, halved where it is too much.

Raw readings (`metric[1h]`), not `query_range`: that one repeats a value for five minutes where none came, and
a hole would look like a reading.
"""

from collections.abc import Callable

from slurm_guard.prometheus.answer import Answer, BadAnswer, Names, read_holders, read_values
from slurm_guard.prometheus.client import NoAnswer, TooMuch
from slurm_guard.prometheus.dialects import HOLDINGS, INSTEAD, JOB_LABELS, VALUES, Holding, Metric
from slurm_guard.readings import Hour, Series

HOUR_S = 3600.0
LEAD_S = (
    300.0  # asked for before the hour, for the interval that ends in it: readings are at most this far apart
)
LEAST_SPAN_S = 300.0  # a range that is too much although it is this short is given up

Ask = Callable[[str, float], bytes]


class HourFailed(Exception):
    """Why nothing of an hour is taken."""


def fetch_hour(ask: Ask, from_at: float, names: Names, match: str = "") -> Hour:
    """All or nothing: with a metric missing, work would look like none. `match`: label matchers that every
    series must fit. Raises HourFailed, and what `ask` raises when nothing can be answered."""
    hour = Hour(from_at)
    for metric in VALUES:
        found = _values(ask, metric, hour, names, match)
        if not found and metric.name in INSTEAD:
            found = _values(ask, INSTEAD[metric.name], hour, names, match)
        if found:
            hour.values[metric.source, metric.field] = found
    for holding in HOLDINGS if hour.values else ():
        parts = _holders(ask, holding, hour, names, match)
        if parts:
            hour.holders.setdefault(holding.source, []).extend(parts)
    return hour


def _values(ask: Ask, metric: Metric, hour: Hour, names: Names, match: str) -> list[Series]:
    label = JOB_LABELS.get(metric.source, "")
    return _ranges(
        ask,
        _selector(metric.name, match),
        hour,
        lambda body, span: read_values(body, metric, names, span, label),
    )


def _holders(ask: Ask, holding: Holding, hour: Hour, names: Names, match: str) -> list[Series]:
    return _ranges(
        ask,
        _selector(holding.name, match),
        hour,
        lambda body, span: read_holders(body, holding.label, names, span),
    )


def _selector(name: str, match: str) -> str:
    return f"{name}{{{match}}}" if match else name


def _ranges(
    ask: Ask, selector: str, hour: Hour, read: Callable[[bytes, tuple[float, float]], Answer]
) -> list[Series]:
    """Of [from_at - LEAD_S, from_at + HOUR_S], in one range or in as many halves as it takes."""
    open_spans = [(hour.from_at - LEAD_S, hour.from_at + HOUR_S)]
    found: list[Series] = []
    while open_spans:
        since, until = open_spans.pop()
        try:
            answer = read(ask(f"{selector}[{int(until - since)}s]", until), (since, until))
        except TooMuch as error:
            if until - since <= LEAST_SPAN_S:
                raise HourFailed(f"{selector}: {error}, in {until - since:.0f} s alone") from None
            middle = float(int((since + until) / 2))
            open_spans += [(middle, until), (since, middle)]
            continue
        except (NoAnswer, BadAnswer) as error:
            raise HourFailed(f"{selector}: {error}") from None
        found += answer.series
        hour.left_out += answer.left_out
        hour.split_nodes |= answer.split_nodes
        hour.warnings += [said for said in answer.warnings if said not in hour.warnings]
    return [series for series in found if len(series.at)]

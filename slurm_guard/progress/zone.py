"""Times without a zone: the node's own zone, else UTC (containers), else the whole quarter hours that fit."""

import time
from collections.abc import Callable

QUARTER_S = 900
WIDEST_S = 14 * 3600  # the farthest zone from UTC
ENOUGH = 0.9  # share of records that must fall into their brackets (judgement)

Record = tuple[float, float, float]  # local time as if UTC, obs_lo_at, obs_hi_at


def node_zone(local: float) -> float:
    """The instant of a local wall time in this machine's zone (`local`: that time read as if it were UTC)."""
    parts = time.gmtime(int(local))
    try:
        return time.mktime((*parts[:6], 0, 0, -1)) + (local - int(local))
    except (OverflowError, ValueError):
        return local


def resolve(records: list[Record], slack_s: float) -> Callable[[float], float]:
    """The first of node zone, UTC and a fitted offset under which the records lie where they were seen."""
    if not records:
        return node_zone
    choices: list[Callable[[float], float]] = [node_zone, float]
    fitted = _fitted(records)
    if fitted is not None:
        choices.append(fitted)
    for choice in choices:
        inside = sum(lo - slack_s <= choice(at) <= hi + slack_s for at, lo, hi in records)
        if inside >= ENOUGH * len(records):
            return choice
    return node_zone


def _fitted(records: list[Record]) -> Callable[[float], float] | None:
    """A constant offset in whole quarter hours by the median record; null when no zone is that far."""
    differences = sorted(at - hi for at, _, hi in records)
    offset = round(differences[len(differences) // 2] / QUARTER_S) * QUARTER_S
    if abs(offset) > WIDEST_S:
        return None
    return lambda local: local - offset

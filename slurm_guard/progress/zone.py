"""Times without a zone: the node's own zone, else UTC (containers), else a zone of the world that fits."""

import time
from collections.abc import Callable
from functools import partial

# Offsets in use (IANA's tz database of 2024): whole hours, and these. A log of this morning that is played
# again looks like a program of another zone only if it is as many hours old as that zone is away.
_HOUR_S = 3600
ZONES_S = tuple(
    sorted(
        [hour * _HOUR_S for hour in range(-12, 15)]
        + [
            round(hours * _HOUR_S)
            for hours in (-9.5, -3.5, -2.5, 3.5, 4.5, 5.5, 5.75, 6.5, 8.75, 9.5, 10.5, 12.75, 13.75)
        ]
    )
)
# How far a record may lie outside its bracket where the zone is only guessed: what TensorBoard and a late
# buffer hold back, and two nodes' clocks (judgement).
EARLY_S, LATE_S = 150.0, 60.0
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
    for choice in (node_zone, float):
        if _fits(choice, records, slack_s, slack_s):
            return choice
    for offset in _nearest(records):
        choice = partial(_moved, offset)
        if _fits(choice, records, min(slack_s, EARLY_S), LATE_S):
            return choice
    return node_zone


def is_guessed(choice: Callable[[float], float]) -> bool:
    """Whether a zone of `resolve` is one that only the records themselves tell of."""
    return isinstance(choice, partial)


def _fits(choice: Callable[[float], float], records: list[Record], early_s: float, late_s: float) -> bool:
    inside = sum(lo - early_s <= choice(at) <= hi + late_s for at, lo, hi in records)
    return inside >= ENOUGH * len(records)


def _moved(offset: float, local: float) -> float:
    return local - offset


def _nearest(records: list[Record]) -> list[int]:
    """The two zones nearest to what the median record claims, in seconds east of UTC."""
    differences = sorted(at - hi for at, _, hi in records)
    middle = differences[len(differences) // 2]
    return sorted(ZONES_S, key=lambda zone: abs(zone - middle))[:2]

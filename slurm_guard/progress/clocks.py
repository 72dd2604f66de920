"""Times that are none: `"time": 1712345678` may be a step's length or an uptime in ns as well as a date.

A wall clock goes forward, as fast as the run does. A field that jumps back and forth is a duration; one that
runs thousands of times faster is a clock in a finer unit. Its times are taken away and the records stay: what
they claim about when is then left to the brackets, as in a log without times.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from slurm_guard.progress.protocol import Claim

LEAST = 8  # times of a series before it is judged (judgement)
FAR_S = 600.0  # a record is not this much older than the one before it, in a log that was written in turn …
FAR_SHARE = 0.1  # … but where a file of several writers or a resume does so now and then (judgement)
SLOW_S = 86_400.0  # records in the middle this far apart are no training's (judgement)
FEW_SHARE = 0.1  # of a series' records with a time: fewer are what a number happened to look like (judgement)
LEAST_ALL = 20  # records, before that share is asked (judgement)
UNITS = (1e3, 1e6, 1e9)  # how much too fast a clock in ms, µs or ns is
NEAR = (0.5, 1.25)  # of the time in which the records came to disk: start-up, and a late buffer (judgement)
LEAST_S = 300.0  # of that time: a copied file's came at once (judgement)


def believed(claims: list[Claim]) -> list[Claim]:
    """The claims of one series in file order; without their times where these are no wall clock's.

    Calendar stamps without a zone stay: nothing else looks like one.
    """
    if all(claim.at is None for claim in claims):
        return claims  # most logs
    times = [claim.at for claim in claims if claim.at is not None and not claim.naive]
    few = len(claims) >= LEAST_ALL and 0 < len(times) < FEW_SHARE * len(claims)
    return _without_times(claims) if few or _is_none(times) else claims


def _without_times(claims: Iterable[Claim]) -> list[Claim]:
    """The same records; those with a zone or a number for their time have none."""
    return [claim if claim.at is None or claim.naive else claim._replace(at=None) for claim in claims]


def _is_none(times: Sequence[float]) -> bool:
    """Whether the times jump back and forth, or lie days apart."""
    if len(times) < LEAST:
        return False
    gaps = [after - before for before, after in pairwise(times)]
    if sum(gap < -FAR_S for gap in gaps) > FAR_SHARE * len(gaps):
        return True
    return sorted(map(abs, gaps))[len(gaps) // 2] > SLOW_S


def is_finer(times: Sequence[float], came_s: float) -> bool:
    """Whether times in the order of their records span what these took to come to disk (`came_s` seconds), in
    a finer unit than they were read in: a clock that counts from the node's start, not a date."""
    if len(times) < LEAST or came_s < LEAST_S:
        return False
    span_s = times[-1] - times[0]
    return any(NEAR[0] * came_s <= span_s / unit <= NEAR[1] * came_s for unit in UNITS)

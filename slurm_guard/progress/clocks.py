"""Times that are none: `"time": 1712345678` may be a step's length or an uptime in ns as well as a date.

A wall clock goes forward, as fast as the run does. A field that jumps back and forth is a duration; one that
runs thousands of times faster is a clock in a finer unit. Its times are taken away and the records stay: what
they claim about when is then left to the brackets, as in a log without times.
"""

from collections import Counter
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
DAY_S = 86_400.0  # zones differ by as much: stamps without one jump no further (judgement)
STILL_SHARE = (
    0.9  # of the records whose stamp is that of others, seen to come long before or after (judgement)
)
EVEN_SHARE = 0.25  # of the records that may come at one sight, in a log that grows evenly (judgement)
DRIFTS = (
    0.1  # of the time in which the records came: a time ahead of them that moves less is an end (judgement)
)
ALIKE = 0.9  # of the strides of a data's or model's dates (judgement)
OTHER_PACE = (0.5, 2.0)  # of the clock's: beyond, no log is played again at its own pace (judgement)
LONG_AGO_S = 30 * DAY_S  # before the run, or after it: a log of these days is no model's (judgement)
LEAST_S = 300.0  # of that time: a copied file's came at once (judgement)


def believed(claims: list[Claim]) -> list[Claim]:
    """The claims of one series in file order; without their times where these are no wall clock's.

    Calendar stamps without a zone go only where they jump by days, as those of samples do.
    """
    if all(claim.at is None for claim in claims):
        return claims  # most logs
    if _is_none([claim.at for claim in claims if claim.at is not None and claim.naive], DAY_S):
        claims = [claim._replace(at=None, naive=False) if claim.naive else claim for claim in claims]
    times = [claim.at for claim in claims if claim.at is not None and not claim.naive]
    few = len(claims) >= LEAST_ALL and 0 < len(times) < FEW_SHARE * len(claims)
    return _without_times(claims) if few or _is_none(times) else claims


def _without_times(claims: Iterable[Claim]) -> list[Claim]:
    """The same records; those with a zone or a number for their time have none."""
    return [claim if claim.at is None or claim.naive else claim._replace(at=None) for claim in claims]


def _is_none(times: Sequence[float], far_s: float = FAR_S) -> bool:
    """Whether the times jump back and forth, or lie days apart."""
    if len(times) < LEAST:
        return False
    gaps = [after - before for before, after in pairwise(times)]
    if sum(gap < -far_s for gap in gaps) > FAR_SHARE * len(gaps):
        return True
    return sorted(map(abs, gaps))[len(gaps) // 2] > SLOW_S


def is_finer(times: Sequence[float], came_s: float) -> bool:
    """Whether times in the order of their records span what these took to come to disk (`came_s` seconds), in
    a finer unit than they were read in: a clock that counts from the node's start, not a date."""
    if len(times) < LEAST or came_s < LEAST_S:
        return False
    span_s = times[-1] - times[0]
    return any(NEAR[0] * came_s <= span_s / unit <= NEAR[1] * came_s for unit in UNITS)


Stamped = tuple[float, float, float]  # what a record claims, and between which sights it came to disk


def why_none(records: Sequence[Stamped], slack_s: float, run: tuple[float, float]) -> str:
    """Why the stamps of records, in their order, are no clock's by what was seen of these; "": they may be.

    Only what no writer's clock does, and no log that is played again: stamps that stand still while the
    records come, an end that is foreseen, dates of a model or of data long before or after the run (`run`:
    its begin and end) at another pace than the clock's.
    """
    if len(records) < LEAST:
        return ""
    came_s = records[-1][1] - records[0][2]
    if came_s < LEAST_S or came_s < slack_s:
        return ""
    if _stand_still(records, slack_s):
        return "its stamps stand still while its records come"
    sights = Counter(hi for _, _, hi in records)
    if max(sights.values()) > EVEN_SHARE * len(records):
        return ""
    times = [at for at, _, _ in records]
    if all(at > hi + slack_s for at, _, hi in records) and max(times) - min(times) < DRIFTS * came_s:
        return "its stamps are of a time to come that hardly moves"
    far = max(times) < run[0] - LONG_AGO_S or min(times) > run[1] + LONG_AGO_S
    stride, n = Counter(after - before for before, after in pairwise(times)).most_common(1)[0]
    pace = (times[-1] - times[0]) / came_s
    if far and stride > 0 and n >= ALIKE * (len(times) - 1) and not OTHER_PACE[0] <= pace <= OTHER_PACE[1]:
        return f"its stamps are long before or after the run, at even strides of {stride:.6g} s"
    return ""


def _stand_still(records: Sequence[Stamped], slack_s: float) -> bool:
    """Whether most records share their stamp with some that surely came more than the slack apart."""
    groups: dict[
        float, tuple[int, float, float]
    ] = {}  # n, the first one's latest moment, the last's earliest
    for at, lo, hi in records:
        n, first, _ = groups.get(at, (0, hi, lo))
        groups[at] = (n + 1, first, lo)
    return sum(n for n, first, last in groups.values() if last - first > slack_s) >= STILL_SHARE * len(
        records
    )

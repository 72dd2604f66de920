"""The generator's spreads beside those of the real logs: realism is shown, not assumed."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from statistics import fmean, pstdev
from typing import Any

from bench.detect.equip import ORDINARY
from bench.detect.figures import quantile
from bench.detect.replay import RealLog, counted
from bench.detect.scenarios import scenarios
from bench.world.draw import at
from bench.world.spec import Spec

_DRAWN = 20  # runs of each honest family
Row = dict[str, Any]


def rows(logs: Sequence[RealLog], seed: str) -> list[Row]:
    """Median, tenth and ninth decile of what both have, in percent."""
    drawn = list(_drawn(seed))
    pairs = {
        "start-up, of the run's time": (
            [100 * min(1.0, spec.stages[0].length_s / spec.length_s) for spec in drawn],
            [100 * _start_up(log) for log in logs if log.is_parsed],
        ),
        "pace of neighbouring records, scatter": (
            [100 * spec.step_cv / spec.log_every**0.5 for spec in drawn if spec.has_log],
            [100 * _scatter(log) for log in logs if len(counted(log.points)) >= 12],
        ),
    }
    return [
        _row(f"{what}: {who}", values)
        for what, (made, real) in pairs.items()
        for who, values in (("generator, honest families", made), ("real logs", real))
    ]


def _drawn(seed: str) -> list[Spec]:
    found = []
    with at(ORDINARY):
        for scenario in scenarios():
            if scenario.is_honest:
                found += [
                    scenario.draw(Random(f"{seed}/realism/{scenario.name}/{k}"), 0.0) for k in range(_DRAWN)
                ]
    return found


def _start_up(log: RealLog) -> float:
    times = log.times()
    return (counted(log.points)[0][0] - min(times)) / max(1e-9, max(times) - min(times))


def _scatter(log: RealLog) -> float:
    """Of the rates of records, about their own mean, without the slowest quarter (evaluations)."""
    marks = counted(log.points)
    rates = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(marks))
    quick = rates[len(rates) // 4 :]
    return pstdev(quick) / fmean(quick)


def _row(what: str, values: Sequence[float]) -> Row:
    return {
        "table": "the generator beside real logs (10 and 90 % in brackets)", "what": what, "n": len(values),
        "hits": None, "value": quantile(values, 0.5), "unit": "% (median)", "lo": quantile(values, 0.1),
        "hi": quantile(values, 0.9), "goal": None, "met": None,
    }  # fmt: skip

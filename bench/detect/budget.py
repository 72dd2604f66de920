"""What the alarm budget does to the ALERTs of a benchmark whose honest runs are the references.

A site's references are its own earlier runs. Here they are the other honest runs of the benchmark, of the
run's class where there are enough. Its families weigh the same, however rare they are on a site: runs that
look like a diversion are commoner here than anywhere.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Any

from bench.detect.figures import clopper_pearson
from bench.detect.night import Record
from slurm_guard.audit.alarms import OWN_MODEL, Calls, References

Row = dict[str, Any]
RATE = 0.001  # false alerts a run that are accepted: the goal of the issue
_HOWS = ("process", "inside", "phase", "log", "network")


def spent(honest: Sequence[Record], diverting: Sequence[Record], rate: float = RATE) -> list[Row]:
    """ALERTs before and after a budget of `rate` false ones a run; every honest run is a user of its own."""
    known = _references(honest)
    table = f"ALERTs within a budget of {rate:g} false ones a run (REVIEW beyond it)"
    found = [
        _row(table, "honest runs, before", (r["verdict"] == "ALERT" for r in honest)),
        _row(table, "honest runs", (_stays(r, i, known, rate) for i, r in enumerate(honest)), 100 * rate),
    ]
    for how in _HOWS:
        flagged = [r for r in diverting if r["how"] == how and r["verdict"] in ("ALERT", "REVIEW")]
        if flagged:
            found.append(
                _row(table, f"{how}, of what is flagged, before", (r["verdict"] == "ALERT" for r in flagged))
            )
            found.append(
                _row(table, f"{how}, of what is flagged", (_stays(r, -1, known, rate) for r in flagged))
            )
    return found


def _references(honest: Sequence[Record]) -> References:
    known = References(Calls(), {})
    for i, record in enumerate(honest):
        if record["hard"]:
            continue
        for calls in (known.every, known.models.setdefault(record["gpu"], Calls())):
            calls.n[str(i)] = 1
            if record["verdict"] == "ALERT":
                calls.scores[str(i)] = [record["score"]]
                insort(calls.every, record["score"])
    return known


def _stays(record: Record, i: int, known: References, rate: float) -> bool:
    """Whether it is an ALERT that the budget leaves one. `i`: the honest run's number, -1: none of them."""
    if record["verdict"] != "ALERT" or record["hard"]:
        return bool(record["verdict"] == "ALERT")
    own = known.models.get(record["gpu"])
    calls = own if own is not None and own.total >= OWN_MODEL else known.every
    # Too few references to reach the budget at all: nothing can be said, and the audit changes nothing.
    return (calls.without(str(i)) + 1) * rate < 1 or calls.p_value(record["score"], str(i)) <= rate


def _row(table: str, what: str, of: Iterable[bool], goal: float | None = None) -> Row:
    cases = list(of)
    low, high = clopper_pearson(sum(cases), len(cases))
    value = 100 * sum(cases) / len(cases) if cases else None
    met = None if goal is None or value is None else value <= goal
    return {
        "table": table, "what": what, "n": len(cases), "hits": sum(cases), "value": value, "unit": "%",
        "lo": 100 * low, "hi": 100 * high, "goal": goal, "met": met,
    }  # fmt: skip

"""What the alarm budget does to the ALERTs of a benchmark whose honest runs are the references.

A site's references are its own earlier runs. Here they are the other honest runs of the benchmark, of the
run's class where there are enough. Its families weigh the same, however rare they are on a site: runs that
look like a diversion are commoner here than anywhere.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from bench.detect import past
from bench.detect.figures import clopper_pearson
from bench.detect.night import Record

Row = dict[str, Any]
RATE = 0.001  # false alerts a run that are accepted: the goal of the issue
_HOWS = ("process", "inside", "phase", "log", "network")


def spent(honest: Sequence[Record], diverting: Sequence[Record], rate: float = RATE) -> list[Row]:
    """ALERTs before and after a budget of `rate` false ones a run; every honest run is a user of its own."""
    known = past.references(
        (str(i), r["gpu"], r["score"] if r["verdict"] == "ALERT" else None)
        for i, r in enumerate(honest)
        if not r["hard"]
    )
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


def _stays(record: Record, i: int, known: past.Known, rate: float) -> bool:
    """Whether it is an ALERT that the budget leaves one. `i`: the honest run's number, -1: none of them."""
    if record["verdict"] != "ALERT" or record["hard"]:
        return bool(record["verdict"] == "ALERT")
    return past.is_within(known, (str(i), record["gpu"]), record["score"], rate)


def _row(table: str, what: str, of: Iterable[bool], goal: float | None = None) -> Row:
    cases = list(of)
    low, high = clopper_pearson(sum(cases), len(cases))
    value = 100 * sum(cases) / len(cases) if cases else None
    met = None if goal is None or value is None else value <= goal
    return {
        "table": table, "what": what, "n": len(cases), "hits": sum(cases), "value": value, "unit": "%",
        "lo": 100 * low, "hi": 100 * high, "goal": goal, "met": met,
    }  # fmt: skip

"""From records to figures: one row each, with its interval, its goal, and whether the goal is met."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from bench.detect import budget, compare
from bench.detect.classes import NAMES, is_instance
from bench.detect.figures import clopper_pearson, quantile, winkler
from bench.detect.night import Record
from bench.detect.scenarios import scenarios
from bench.detect.violations import VIOLATIONS
from slurm_guard.config import AuditConfig

Row = dict[str, Any]
FLAGGED = ("ALERT", "REVIEW")
_TENTH, _QUARTER, _HOUR = 0.1, 0.25, 1.0
_TOLERANCE = 0.01  # of the allocation
_LEAST_SHARE = AuditConfig().least_share
# Per-process times add up to 70 to 100 % of the truth here (equip.py): no figure made of them can be nearer.
_RIGHT = 0.3
_POWER = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, float("inf"))
_GUEST = "foreign_uid"  # the family in which another user diverts
_HOWS = ("process", "inside", "phase", "log")


def rows(records: Sequence[Record], seed: str) -> list[Row]:
    """Every table of simulated runs, in order."""
    judged = [record for record in records if record["verdict"] is not None]
    honest = [record for record in judged if record["part"] == "honest"]
    diverting = [record for record in judged if record["part"] == "diverting"]
    violated = [record for record in judged if record["part"] == "violated"]
    told = {scenario.name for scenario in scenarios() if scenario.is_told}
    own = {scenario.name for scenario in scenarios() if scenario.is_own}
    slow = {scenario.name for scenario in scenarios() if scenario.is_slow}
    found = _faults(records)
    found += _recall(diverting, told) + _held_out([r for r in diverting if r["family"] in own])
    found += _alerts(honest, told, slow)
    found += budget.spent(honest, diverting)
    found += _unexplained(honest, diverting, told)
    found += _power([r for r in diverting if r["family"] in told])
    found += compare.baselines(honest, diverting, seed)
    found += compare.ablations(honest, diverting)
    found += _violations(violated)
    return found + _families(honest, diverting)


def share(record: Record) -> float:
    """Part of the run's work that was diverted."""
    return float(record["diverted_h"] / record["work_h"]) if record["work_h"] > 0 else 0.0


def is_flagged(record: Record) -> bool:
    """Somebody is asked to look at it."""
    return record["verdict"] in FLAGGED


def is_named(record: Record) -> bool:
    """Another user's work that the document lists outside all ledgers, with its GPU-hours within 30 %. It is
    not the run's doing: the run is not flagged, and whoever reads the document still has it."""
    return record["family"] == _GUEST and abs(_guest_error(record)) <= _RIGHT


def is_found(record: Record) -> bool:
    """Flagged, or another user's and named."""
    return is_flagged(record) or is_named(record)


def _guest_error(record: Record) -> float:
    """Of the GPU-hours that are listed as other users', relative to what they really did."""
    return float(record["guests_h"] / record["diverted_h"] - 1) if record["diverted_h"] > 0 else 0.0


def rate(
    table: str, what: str, of: Iterable[bool], goal: float | None = None, *, at_most: bool = False
) -> Row:
    """A share in percent with its exact interval; the goal is in percent."""
    cases = list(of)
    low, high = clopper_pearson(sum(cases), len(cases))
    value = 100 * sum(cases) / len(cases) if cases else None
    met = None if goal is None or value is None else (value <= goal if at_most else value >= goal)
    return {
        "table": table, "what": what, "n": len(cases), "hits": sum(cases), "value": value, "unit": "%",
        "lo": 100 * low, "hi": 100 * high, "goal": goal, "met": met,
    }  # fmt: skip


def number(
    table: str, what: str, values: Sequence[float], goal: float | None = None, *, how: str = "median"
) -> Row:
    """A median (with its quartiles) or a mean of numbers in percent; the goal is a most."""
    middle = quantile(values, 0.5) if how == "median" else (fmean(values) if values else None)
    met = None if goal is None or middle is None else middle <= goal
    return {
        "table": table, "what": what, "n": len(values), "hits": None, "value": middle, "unit": f"% ({how})",
        "lo": quantile(values, 0.25), "hi": quantile(values, 0.75), "goal": goal, "met": met,
    }  # fmt: skip


def _true_h(record: Record) -> float:
    """What was diverted while the GPUs were looked at: U is of that time, what was not observed stands beside
    it and is never added."""
    return float(record["diverted_h"] - record["unseen_h"])


def _faults(records: Sequence[Record]) -> list[Row]:
    return [
        rate("faults", "runs with a fault of the audit", (r["faults"] > 0 for r in records), 0, at_most=True)
    ]


def _is_visible(record: Record) -> bool:
    """More was diverted than what the audit says that it could have seen."""
    smallest = record["smallest_h"]
    return smallest is not None and record["diverted_h"] >= smallest > 0


def _recall(diverting: list[Record], told: set[str]) -> list[Row]:
    name = "recall above the printed smallest visible diversion"
    found = []
    for how in _HOWS:
        of_how = [r for r in diverting if r["how"] == how]
        seen = [r for r in of_how if _is_visible(r)]
        found.append(rate(name, how, map(is_flagged, seen), 97))
        can = [r for r in seen if r["family"] in told]
        found.append(rate(name, f"{how}, families that can be told", map(is_found, can), 97))
        worth = [r for r in can if r["diverted_h"] >= _LEAST_SHARE * r["allocated_h"]]
        said = f"{how}, the same, and {100 * _LEAST_SHARE:g} % of the allocation (the configured least)"
        found.append(rate(name, said, map(is_found, worth), 97))
        for gpu in NAMES:
            found += [rate(name, f"{how}, {gpu}", (is_flagged(r) for r in seen if r["gpu"] == gpu), 97)]
        for hardship in sorted({r["hardship"] for r in seen}):
            cases = (is_flagged(r) for r in seen if r["hardship"] == hardship)
            found.append(rate(name, f"{how}, hardship {hardship}", cases, 97))
        without = [r for r in of_how if r["smallest_h"] is None]
        found.append(rate(name, f"{how}, runs for which none is printed", map(is_flagged, without)))
    name = "recall of separate processes, a tenth of the work and more"
    tenth = [r for r in diverting if r["how"] == "process" and share(r) >= _TENTH]
    found.append(rate(name, "all: flagged", map(is_flagged, tenth), 97))
    told_of = [r for r in tenth if r["family"] in told]
    found.append(rate(name, "families that can be told: flagged", map(is_flagged, told_of), 97))
    what = "families that can be told: flagged, or another user's and named"
    found.append(rate(name, what, map(is_found, told_of), 97))
    guests = [r for r in told_of if r["family"] == _GUEST]
    found.append(rate(name, "… of these another user's: named with its GPU-hours", map(is_named, guests)))
    timed = [100 * abs(_guest_error(r)) for r in guests if not is_instance(r["gpu"])]
    found.append(number(name, "… error of those GPU-hours, classes with per-process times", timed))
    for gpu in NAMES:
        found.append(rate(name, gpu, (is_found(r) for r in told_of if r["gpu"] == gpu), 97))
    found += _by_theta(diverting)
    name = "recall by diverted share (families that can be told, classes with counters)"
    shares = (0.02, 0.05, 0.1, 0.25, 0.5)
    counted = [r for r in diverting if r["family"] in told and r["gpu"] != "MIG"]
    for how in ("process", "inside", "phase"):
        for part in shares:
            cases = (is_flagged(r) for r in counted if r["how"] == how and r["share"] == part)
            found.append(rate(name, f"{how}, {100 * part:.0f} %", cases))
    return [*found, rate(name, "log, 100 %", (is_flagged(r) for r in counted if r["how"] == "log"))]


def _by_theta(diverting: list[Record]) -> list[Row]:
    """A tenth and more by the source of θ that the audit printed, and by channels."""
    found = []
    tenth = [r for r in diverting if share(r) >= _TENTH and r["how"] in ("process", "inside")]
    for how in ("process", "inside"):
        for theta in sorted({r["theta"] for r in tenth}):
            for channels in sorted({"+".join(r["channels"]) for r in tenth}):
                cases = [
                    r
                    for r in tenth
                    if (r["how"], r["theta"], "+".join(r["channels"])) == (how, theta, channels)
                ]
                if cases:
                    what = f"{how}, θ {theta}, {channels}"
                    found.append(
                        rate(
                            "recall by source of θ and channels, a tenth and more",
                            what,
                            map(is_flagged, cases),
                        )
                    )
    return found


def _held_out(diverting: list[Record]) -> list[Row]:
    name = "held-out families, a quarter of the work and more"
    cases = [r for r in diverting if share(r) >= _QUARTER and r["gpu"] != "MIG"]
    found = [rate(name, "all (classes with counters)", map(is_flagged, cases), 90)]
    families = sorted({r["family"] for r in cases})
    return found + [rate(name, f, (is_flagged(r) for r in cases if r["family"] == f), 90) for f in families]


def _alerts(honest: list[Record], told: set[str], slow: set[str]) -> list[Row]:
    name = "honest runs that are called ALERT"
    found = [rate(name, "all", (r["verdict"] == "ALERT" for r in honest), 0.1, at_most=True)]
    for gpu in NAMES:
        cases = (r["verdict"] == "ALERT" for r in honest if r["gpu"] == gpu)
        found.append(rate(name, gpu, cases, 0.1, at_most=True))
    failing = [r for r in honest if r["family"] in slow]
    found.append(rate(name, "slow by a fault", (r["verdict"] == "ALERT" for r in failing), 0, at_most=True))
    name = "honest runs that are called ALERT or REVIEW"
    found.append(rate(name, "all", map(is_flagged, honest)))
    found += [rate(name, gpu, (is_flagged(r) for r in honest if r["gpu"] == gpu)) for gpu in NAMES]
    found.append(rate(name, "slow by a fault", map(is_flagged, failing)))
    can = [r for r in honest if r["family"] in told]
    found.append(rate(name, "families that can be told", map(is_flagged, can)))
    return [*found, compare.reweighted(honest)]


def _unexplained(honest: list[Record], diverting: list[Record], told: set[str]) -> list[Row]:
    name = "U, the unexplained GPU time"
    seen = [r for r in diverting if r["gpu"] != "MIG" and r["how"] != "network"]
    found = []
    for what, cases in [
        ("all", seen),
        ("families that can be told", [r for r in seen if r["family"] in told]),
        *[(how, [r for r in seen if r["how"] == how]) for how in _HOWS],
        *[(gpu, [r for r in seen if r["gpu"] == gpu]) for gpu in NAMES if gpu != "MIG"],
    ]:
        hours = [r for r in cases if _true_h(r) >= _HOUR]
        errors = [100 * abs(r["mid_h"] - _true_h(r)) / _true_h(r) for r in hours]
        found.append(number(name, f"error for U of an hour and more: {what}", errors, 10))
    none = [r for r in honest if r["gpu"] != "MIG"]
    for what, cases in [
        ("U > 0", seen),
        ("U = 0", none),
        *[(how, [r for r in seen if r["how"] == how]) for how in _HOWS],
    ]:
        found.append(rate(name, f"truth inside the interval: {what}", (_covers(r, 0.0) for r in cases), 93))
        near = (_covers(r, _TOLERANCE) for r in cases)
        found.append(rate(name, f"… or within 1 % of the allocation: {what}", near))
        below = (r["lo_h"] > _true_h(r) + _TOLERANCE * r["allocated_h"] for r in cases)
        found.append(rate(name, f"lower bound too high, beyond that 1 %: {what}", below))
        widths = [100 * (r["hi_h"] - r["lo_h"]) / r["allocated_h"] for r in cases]
        found.append(number(name, f"width, of the allocation: {what}", widths))
        scores = [100 * winkler(r["lo_h"], r["hi_h"], _true_h(r)) / r["allocated_h"] for r in cases]
        found.append(number(name, f"interval score, of the allocation: {what}", scores, how="mean"))
        whole = [100 * winkler(0.0, r["allocated_h"], _true_h(r)) / r["allocated_h"] for r in cases]
        found.append(number(name, f"… of an interval from nothing to all: {what}", whole, how="mean"))
    return found


def _covers(record: Record, slack: float) -> bool:
    slack_h = slack * record["allocated_h"] + 1e-6
    return bool(record["lo_h"] - slack_h <= _true_h(record) <= record["hi_h"] + slack_h)


def _power(diverting: list[Record]) -> list[Row]:
    """How often a diversion is flagged that is so many times the printed smallest visible one."""
    found = []
    for how in ("inside", "process"):
        cases = [r for r in diverting if r["how"] == how and r["smallest_h"]]
        for low, high in pairwise(_POWER):
            inside = [r for r in cases if low <= r["diverted_h"] / r["smallest_h"] < high]
            goal = 90 if low >= 1 else None
            what = (
                f"{how}, {low:g} to {high:g} times"
                if high < float("inf")
                else f"{how}, {low:g} times and more"
            )
            found.append(
                rate("power of the printed smallest visible diversion", what, map(is_flagged, inside), goal)
            )
    return found


def _violations(violated: list[Record]) -> list[Row]:
    found = []
    for violation in VIOLATIONS:
        of = [r for r in violated if r["violation"] == violation.name]
        if not of:
            continue
        table = "violated assumptions"
        honest = [r for r in of if r["how"] == "honest"]
        tenth = [r for r in of if r["how"] != "honest" and share(r) >= _TENTH]
        found.append(
            rate(
                table,
                f"{violation.name}: honest, ALERT",
                (r["verdict"] == "ALERT" for r in honest),
                0.1,
                at_most=True,
            )
        )
        found.append(rate(table, f"{violation.name}: honest, ALERT or REVIEW", map(is_flagged, honest)))
        found.append(rate(table, f"{violation.name}: a tenth and more, flagged", map(is_flagged, tenth)))
        found.append(
            rate(
                table,
                f"{violation.name}: truth inside the interval, or within 1 %",
                (_covers(r, _TOLERANCE) for r in of),
            )
        )
    return found


def _families(honest: list[Record], diverting: list[Record]) -> list[Row]:
    """Each family on classes with counters: what of it is flagged."""
    found = []
    tests: dict[str, Callable[[Record], bool]] = {
        "honest": lambda _: True,
        "diverting": lambda r: share(r) >= _TENTH or r["how"] == "network",
    }
    for name, of in (("honest", honest), ("diverting", diverting)):
        table = f"families, {name}: ALERT or REVIEW" + ("" if name == "honest" else " at a tenth and more")
        for scenario in scenarios():
            cases = [r for r in of if r["family"] == scenario.name and r["gpu"] != "MIG" and tests[name](r)]
            if cases:
                found.append(rate(table, scenario.name, map(is_flagged, cases)))
    return found

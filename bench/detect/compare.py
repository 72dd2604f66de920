"""Baselines at the audit's own false-alarm rate, what each family of evidence is worth, and prevalence."""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

from bench.detect import forests
from bench.detect.classes import is_instance
from bench.detect.figures import clopper_pearson
from bench.detect.night import Record

Row = dict[str, Any]
_FLAGGED = ("ALERT", "REVIEW")
_TENTH = 0.1
_LONGER = 0.1
_SILENT_S = 900.0

# How common kinds of runs are on a site, in parts of all runs; families that stand nowhere share the last.
# Judgement, leaning on what is published: two thirds of large runs are slowed by faults at some time
# (Greyhound), most runs are small, and few log nothing. Shares within a line are equal.
_PREVALENCE: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.25, ("plain", "ddp_stdout_all", "short_job", "buffered", "no_clock_log")),
    (0.20, ("eval_named", "eval_unnamed", "eval_short_unnamed", "final_eval", "checkpoints",
            "checkpoints_short")),
    (0.15, ("slow_link", "slow_link_comes_and_goes", "slow_gpu", "slow_storage", "thermal",
            "fail_slow_comm")),
    (0.10, ("loader_slow", "loader_stalls", "loader_cpu_bound", "slow_steps", "warm_up", "noisy_pace")),
    (0.08, ("interactive", "interactive_log", "hpc_nolog", "parked")),
    (0.05, ("sweep", "hpo_concurrent", "two_trainings_one_gpu")),
    (0.02, ("curriculum_steps", "load_change_ema", "seq_buckets", "profiler")),
)  # fmt: skip


def baselines(honest: list[Record], diverting: list[Record], seed: str) -> list[Row]:
    """Recall of a tenth and more, on classes with counters, at the audit's rate of false alarms."""
    table = "against baselines, a tenth of the work and more"
    clean = [r for r in honest if not is_instance(r["gpu"])]
    tenth = [
        r
        for r in diverting
        if not is_instance(r["gpu"]) and r["how"] != "network" and r["diverted_h"] >= _TENTH * r["work_h"] > 0
    ]
    if not clean or not tenth:
        return []
    budget = sum(r["verdict"] in _FLAGGED for r in clean) / len(clean)
    rows = [
        _row(table, "audit: honest runs flagged", sum(r["verdict"] in _FLAGGED for r in clean), len(clean)),
        _row(table, "audit: recall", sum(r["verdict"] in _FLAGGED for r in tenth), len(tenth)),
    ]
    rules: dict[str, tuple[Callable[[Record], float], float]] = {
        "names and ports": (lambda r: float(r["names"]), 0.5),
        "busy while the log is silent": (lambda r: float(r["silent_s"]), _SILENT_S),
        "steps longer": (lambda r: float(r["longer"]), _LONGER),
    }
    for name, (score, limit) in rules.items():
        rows.append(
            _row(
                table, f"{name}: recall at its usual limit", sum(score(r) >= limit for r in tenth), len(tenth)
            )
        )
        false = sum(score(r) >= limit for r in clean)
        rows.append(_row(table, f"{name}: honest runs flagged at that limit", false, len(clean)))
        rows.append(_at_budget(table, name, [score(r) for r in clean], [score(r) for r in tenth], budget))
    rows += _learnt(table, (clean, tenth), budget, seed)
    return rows + _fewer_misses(table, rows)


def _learnt(table: str, runs: tuple[list[Record], list[Record]], budget: float, seed: str) -> list[Row]:
    clean, tenth = runs
    if not forests.is_there():
        return [{**_row(table, "random forest, isolation forest", 0, 0), "unit": forests.MISSING}]
    rows = []
    for by, said in (("family", "no family seen in training"), ("gpu", "no GPU model seen in training")):
        scores = forests.left_out([*clean, *tenth], by, seed)
        for name, of_all in scores.items():
            honest, other = of_all[: len(clean)], of_all[len(clean) :]
            rows.append(_at_budget(table, f"{name}, {said}", honest, other, budget))
    return rows


def _at_budget(table: str, name: str, honest: Sequence[float], other: Sequence[float], budget: float) -> Row:
    """Recall at the lowest limit that flags no more honest runs than the audit does."""
    most = int(budget * len(honest) + 1e-9)
    ordered = sorted(honest, reverse=True)
    limit = ordered[most] if most < len(ordered) else float("-inf")
    return _row(
        table, f"{name}: recall at the audit's false-alarm rate", sum(s > limit for s in other), len(other)
    )


def _fewer_misses(table: str, rows: list[Row]) -> list[Row]:
    """The audit's misses beside those of the best baseline; the goal is at most half."""
    audit = next(row for row in rows if row["what"] == "audit: recall")
    others = [row for row in rows if "at the audit's" in row["what"] and row["value"] is not None]
    best = max(others, key=lambda row: float(row["value"]))
    ratio = (100 - audit["value"]) / max(1e-9, 100 - best["value"])
    what = f"misses of the audit, of those of the best ({best['what'].partition(':')[0]})"
    return [{**_row(table, what, 0, 0), "value": 100 * ratio, "n": audit["n"], "hits": None, "lo": None,
             "hi": None, "goal": 50, "met": ratio <= 0.5}]  # fmt: skip


def ablations(honest: list[Record], diverting: list[Record]) -> list[Row]:
    """The audit without per-process tables, and without connections, on runs that were judged both ways."""
    rows = []
    for column, what in (("no_process", "without processes"), ("no_network", "without the network")):
        bare = [r for r in honest if r[column] is not None]
        rows += [_rate("ablations", f"honest, as it is (beside {what})", bare, "verdict")] if bare else []
        rows += [_rate("ablations", f"honest, {what}", bare, column)] if bare else []
        for how in ("process", "inside", "phase", "log", "network"):
            cases = [
                r
                for r in diverting
                if r["how"] == how and r[column] is not None and not is_instance(r["gpu"])
                and (how == "network" or r["diverted_h"] >= _TENTH * r["work_h"] > 0)
            ]  # fmt: skip
            if cases:
                rows.append(_rate("ablations", f"{how}, as it is (beside {what})", cases, "verdict"))
                rows.append(_rate("ablations", f"{how}, {what}", cases, column))
    return rows


def _rate(table: str, what: str, records: list[Record], column: str) -> Row:
    return _row(table, what, sum(r[column] in _FLAGGED for r in records), len(records))


def reweighted(honest: list[Record]) -> Row:
    """ALERT or REVIEW among honest runs, as common as they are judged to be; the interval is approximate."""
    by_family: dict[str, list[bool]] = {}
    for record in honest:
        if not is_instance(record["gpu"]):
            by_family.setdefault(record["family"], []).append(record["verdict"] in _FLAGGED)
    named = {family: part / len(of) for part, of in _PREVALENCE for family in of}
    rest = [family for family in by_family if family not in named]
    left = 1 - sum(part for part, _ in _PREVALENCE)
    weights = {family: named.get(family, left / max(1, len(rest))) for family in by_family}
    total = sum(weights.values())
    value = variance = 0.0
    for family, cases in by_family.items():
        weight = weights[family] / total if total > 0 else 0.0
        value += weight * sum(cases) / len(cases)
        shrunk = (sum(cases) + 2) / (len(cases) + 4)  # Agresti and Coull: no family is sure of ten runs
        variance += weight**2 * shrunk * (1 - shrunk) / (len(cases) + 4)
    low, high = max(0.0, value - 1.96 * sqrt(variance)), min(1.0, value + 1.96 * sqrt(variance))
    what = "as common as kinds of runs are (judgement), classes with counters"
    row = _row("honest runs that are called ALERT or REVIEW", what, 0, 0)
    n = sum(map(len, by_family.values()))
    return {**row, "n": n, "hits": None, "value": 100 * value, "lo": 100 * low, "hi": 100 * high}


def _row(table: str, what: str, hits: int, n: int) -> Row:
    low, high = clopper_pearson(hits, n)
    return {
        "table": table, "what": what, "n": n, "hits": hits, "value": 100 * hits / n if n else None,
        "unit": "%", "lo": 100 * low, "hi": 100 * high, "goal": None, "met": None,
    }  # fmt: skip

"""Several nights with other seeds, and the table of how they went (docs/rig-nights.md)."""

import os
import platform
import statistics
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from tests.rig import procs
from tests.rig.judge import MAX_WIDTH_PCT, Case, is_inside, worst_sum_ms
from tests.rig.layout import RigError
from tests.rig.night import NIGHTS, Plan, Result, run_night
from tests.rig.scenarios import load_expected


class Night(NamedTuple):
    """One row. `result` null: the night itself failed, `failure` says how."""

    seed: int
    result: Result | None
    failure: str


def run_nights(folder: Path, out: Path, table: Path, plan: Plan, n: int) -> bool:
    """`n` nights, each on a fresh rig; the table is written after each. True if all were as expected."""
    nights: list[Night] = []
    for seed in range(plan.seed, plan.seed + n):
        print(f"\n=== night {seed} ===", flush=True)
        try:
            result = run_night(folder, out / f"night-{seed}", plan._replace(seed=seed))
            nights.append(Night(seed, result, ""))
        except RigError as error:
            print(f"night {seed}: {error}", flush=True)
            nights.append(Night(seed, None, str(error)))
        table.write_text(render_table(nights, plan, n), "utf-8")
    return all(night.result is not None and not night.result.faults for night in nights)


def render_table(nights: list[Night], plan: Plan, n: int) -> str:
    """The page in Markdown: how it was made, a row a night, the spread, and every fault in words."""
    parts = [
        _head(plan, n),
        *_rows(nights),
        "",
        *_spread(nights),
        "",
        *_verdicts(nights, plan.of),
        *_faults(nights),
    ]
    return "\n".join(parts) + "\n"


_HEAD = """\
# Nights on the rig

Real Slurm, real processes of ordinary users, *simulated* GPUs. Each night submits the {jobs} jobs of
`tests/rig/scenarios.py` with durations, step times, shares and kinds of load drawn from its seed; the boards
are drawn anew as well. What the audit must say stands in `tests/rig/expected.toml`; the processes that run
the audit can read neither that file, nor the loads, nor the boards' own record.

Made by `python -m tests.rig nights --n {n} --seed {seed}{scale}{of}` on {day}: {system}, {cores} cores,
Python {python}, {slurm}.

Shares are in per cent of the co-tenant run's allocation. *Asked*: of the board's time while it runs; *true*:
its time on the board by the board's own record; *bounds*: what the report prints; *moved off*: middle less
true. *Sum*: the largest difference between a run's accounts and accounting's GPU-seconds, milliseconds a GPU.
"""
_COLUMNS = "seed | as expected | load | asked | true | bounds | width | inside | moved off | sum | wall"


def _head(plan: Plan, n: int) -> str:
    return _HEAD.format(
        n=n,
        seed=plan.seed,
        jobs=len(NIGHTS[plan.of](plan.seed, plan.share, 1.0)),
        of="" if plan.of == "whole" else f" --of {plan.of}",
        scale="" if plan.scale == "rig" else f" --time-scale {plan.scale}",
        day=datetime.now(timezone.utc).date().isoformat(),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        cores=os.cpu_count(),
        python=platform.python_version(),
        slurm=procs.version(["slurmctld", "-V"]),
    )


def _rows(nights: list[Night]) -> list[str]:
    lines = [f"| {_COLUMNS} |", "|" + " --- |" * len(_COLUMNS.split("|"))]
    for night in nights:
        if night.result is None:
            lines.append(f"| {night.seed} | night failed: {night.failure[:80]} | | | | | | | | | |")
            continue
        case, result = _cotenant(night.result), night.result
        low, mid, high = case.bounds_pct()
        kind = case.scenario.env["RIG_HOLD"].split()[1]
        good = "yes" if not result.faults else f"no ({len(result.faults)})"
        inside = "yes" if low <= case.true_pct <= high else "no"
        cells = [
            str(night.seed),
            good,
            kind,
            f"{100 * (case.scenario.share or 0):.0f}",
            f"{case.true_pct:.1f}",
        ]
        cells += [f"{low:.1f} – {high:.1f}", f"{high - low:.1f}", inside, f"{mid - case.true_pct:+.1f}"]
        cells += [f"{worst_sum_ms(result.cases):.0f}", f"{result.wall_s:.0f} s"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _spread(nights: list[Night]) -> list[str]:
    cases = [_cotenant(night.result) for night in nights if night.result is not None]
    if not cases:
        return ["No night came to an end."]
    widths = [case.bounds_pct()[2] - case.bounds_pct()[0] for case in cases]
    off = sorted(case.bounds_pct()[1] - case.true_pct for case in cases)
    inside = sum(case.bounds_pct()[0] <= case.true_pct <= case.bounds_pct()[2] for case in cases)
    middle, widest = statistics.median(widths), max(widths)
    return [
        f"Inside the bounds: {inside} of {len(cases)}.",
        f"Width: median {middle:.1f}, most {widest:.1f} points ({MAX_WIDTH_PCT:.0f} allowed).",
        f"Middle less true: median {statistics.median(off):+.1f}, {off[0]:+.1f} to {off[-1]:+.1f} points.",
    ]


def _verdicts(nights: list[Night], of: str) -> list[str]:
    counts: dict[str, Counter[str]] = {}
    spread: dict[str, list[Case]] = {}
    for night in nights:
        for case in night.result.cases if night.result is not None else []:
            said = case.judgement.verdict.value if case.judgement is not None else "no such run"
            counts.setdefault(case.scenario.name, Counter())[said] += 1
            spread.setdefault(case.scenario.name, []).append(case)
    lines = ["| scenario | expected | said | truth inside |", "| --- | --- | --- | --- |"]
    for name, row in load_expected(of).items():
        said = ", ".join(
            f"{number} × {verdict}" for verdict, number in counts.get(name, Counter()).most_common()
        )
        cases = spread.get(name, [])
        held = sum(is_inside(case) for case in cases)
        lines.append(f"| {name} | {' or '.join(row.verdicts)} | {said} | {held} of {len(cases)} |")
    return lines


def _faults(nights: list[Night]) -> list[str]:
    lines = []
    for night in nights:
        faults = night.result.faults if night.result is not None else [f"the night failed: {night.failure}"]
        lines += [f"- seed {night.seed}: {fault}" for fault in faults]
    return ["", *lines] if lines else []


def _cotenant(result: Result) -> Case:
    return next(case for case in result.cases if case.scenario.share is not None)

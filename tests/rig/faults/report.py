"""The table of faults as text for the terminal and as the committed page."""

import os
import platform
import statistics
import time
from collections.abc import Sequence

from tests.rig import procs
from tests.rig.faults.judge import EDGE_S, MOST_DELAY_S, Outcome

_PAGE = """# Faults on the real cluster

Written by `{command}` on {date} ({wall_s:.0f} s): {machine}.

Each row is a fault on the rig's Slurm (docs/rig.md) while an ordinary user's training of 20 s runs on
the same node. It passes when the job ended COMPLETED with exit 0:0, its own last line right and its
start at most {delay:.0f} s after the allocation; when the node was not drained; when the run lost at
most the open window (5 s here) and the time in which nobody could see its GPU; when what was lost stands
in the audit's ledger as `unobserved` and no honest run is called ALERT or REVIEW; and when a trace is
there: an event, a line of syslog, a seal, a word of `collect`.

*Lost* are GPU-seconds of the allocation without a reading; *allowed* is the open window per
interruption, the time without a sampler (seen from outside) or with the fault in the way, and {edge:.0f}
s for the edges, because accounting counts whole seconds. A row without any fault (`nothing`) shows what
the edges come to.

{n_passed} of {n_all} faults passed. Without a fault {control}. Over all rows: start after {delays}; lost
{losts}.

| fault | node | where | what is done | start s | lost / allowed GPU-s | unobserved | verdict | trace | |
| --- | --- | --- | --- | ---: | ---: | ---: | --- | --- | --- |
{rows}
"""


def render_text(outcomes: Sequence[Outcome]) -> str:
    """A line a fault, what is wrong below it."""
    lines = [f"{'fault':18} node  start    lost allowed unobserved  verdict  passed"]
    for one in outcomes:
        numbers = f"{_s(one.delay_s):>5}  {_s(one.lost_s):>6} {one.allowed_s:7.1f} {_s(one.unobserved_s):>10}"
        mark = "yes" if not one.problems else "NO"
        lines.append(f"{one.case.fault.name:18} {one.case.bench.node:4} {numbers}  {one.verdict:8} {mark}")
        lines += [f"    {problem}" for problem in one.problems]
    return "\n".join(lines)


def render_page(outcomes: Sequence[Outcome], command: str, wall_s: float, slurm: str) -> str:
    """docs/faults.md."""
    faults = [one for one in outcomes if one.case.fault.where != "nowhere"]
    control = [one for one in outcomes if one.case.fault.where == "nowhere" and one.lost_s is not None]
    losts = ", ".join(f"{one.lost_s:.1f}" for one in control if one.lost_s is not None)
    return _PAGE.format(
        command=command,
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        wall_s=wall_s,
        machine=_machine(slurm),
        delay=MOST_DELAY_S,
        edge=EDGE_S,
        n_passed=sum(not one.problems for one in faults),
        n_all=len(faults),
        control=f"{losts} GPU-s are lost" if losts else "nothing was measured",
        delays=_spread([one.delay_s for one in outcomes if one.delay_s is not None]),
        losts=_spread([one.lost_s for one in outcomes if one.lost_s is not None]),
        rows="\n".join(_row(one) for one in outcomes),
    )


def _machine(slurm: str) -> str:
    kernel = platform.release().partition("-")[0]
    return f"{os.cpu_count()} cores, {platform.machine()}, Linux {kernel}, {slurm}"


def slurm_version() -> str:
    """As slurmd names itself."""
    return procs.version(["slurmd", "-V"])


def _row(one: Outcome) -> str:
    fault = one.case.fault
    passed = (
        "passed" if not one.problems else "**failed**: " + "; ".join(_cell(text) for text in one.problems)
    )
    cells = [
        fault.name, one.case.bench.node, _cell(fault.where), _cell(fault.does), _s(one.delay_s),
        f"{_s(one.lost_s)} / {one.allowed_s:.1f}", _s(one.unobserved_s), one.verdict, _cell(one.trace),
        passed,
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    """Plain text in a cell: what a job or a file says may be anything."""
    kept = "".join(c if c.isprintable() and c not in "|`<>\\" else " " for c in text)
    return " ".join(kept.split())[:140]


def _s(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _spread(values: list[float]) -> str:
    if not values:
        return "–"
    return (
        f"{min(values):.1f} to {max(values):.1f} s (median {statistics.median(values):.1f}, n {len(values)})"
    )

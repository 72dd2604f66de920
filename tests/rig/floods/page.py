"""The table of a run, as docs/floods.md shows it."""

import json
import os
import platform
import time
from collections.abc import Iterable
from typing import Any

from tests.rig.floods.run import SECONDS
from tests.rig.floods.table import FLOODS

_HEAD = f"""# Floods: what a job can do to the node half

An ordinary user's job does its worst for {SECONDS:.0f} s on a node of the [rig](rig.md#floods), beside
an honest training of another user and four jobs of a moment, at production time scales (1 Hz, tables
every 10 s, windows of 60 s). `python -m tests.rig.floods` runs them; a row stands only if every job
ended as it should, no node was drained, the same sampler lived on, each job has its seal, each hook took
less than 2.5 s, the honest job was seen for at least 85 % of its time, and what could not be followed
was said.

*CPU* is the sampler's with all its children, of one core, over the flood, and in its worst 10 s. *Look*
is the CPU time of the longest stretch of work between two sleeps. *Written* is all that the flood's run
left in the spool. *Hooks* is the longest prolog or epilog of the six jobs; the flood had its part of the
machine's cores.
"""
_COLUMNS = (
    "flood", "what", "CPU, %", "worst 10 s", "PSS, MiB", "look, s", "written, KiB", "hooks, s", "honest seen",
    "said", "result",
)  # fmt: skip
_NOT_SAID = ("process records", "flow records", "sampler-started", "gpu-found", "gpu-untouched")


def render(lines: Iterable[str]) -> str:
    """The page of all outcomes, a JSON object a line; of one flood the last one."""
    outcomes = {body["flood"]: body for body in map(json.loads, lines)}
    rows = [_row(flood.does, outcomes[flood.name]) for flood in FLOODS if flood.name in outcomes]
    table = ["| " + " | ".join(cells) + " |" for cells in (_COLUMNS, ["---"] * len(_COLUMNS), *rows)]
    where = (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Linux {platform.release().split('-')[0]}, CPython {platform.python_version()}; GPUs simulated."
    )
    return "\n".join([_HEAD, *table, "", where, ""])


def _row(does: str, body: dict[str, Any]) -> list[str]:
    cost, told = body["cost"], body["told"]
    said = [f"`{name}`" for name in sorted(told) if name not in _NOT_SAID]
    return [
        body["flood"],
        does,
        f"{cost['cpu_pct']:.1f}",
        f"{cost['worst_10s_pct']:.1f}",
        f"{cost['pss_mib']:.0f}",
        f"{cost['longest_cpu_s']:.2f}",
        f"{body['kib']:.0f}",
        f"{max(body['hooks_s'], default=0.0):.2f}",
        f"{100 * body['seen']:.0f} %",
        ", ".join(said) or "–",
        "; ".join(body["problems"]) or "stood",
    ]

"""The same night on several releases of Slurm, and the table of how it went (docs/slurm-versions.md)."""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from tests.rig import root
from tests.rig.layout import CHECKOUT

_HEAD = """\
# slurm-guard on several releases of Slurm

The same night (`docs/rig.md`, seed {seed}) on each: real Slurm, MariaDB, munge and processes of ordinary
users; *simulated* GPUs. Made by `make slurms` on {day}: {system}, {cores} cores. All but {own} run inside
a folder that `tools/slurm-root` makes of that Debian: hooks, sampler and audit with that Debian's Python.

*As expected*: verdicts as `tests/rig/expected.toml` says, with the truth inside the bounds. *Sum*: the
largest difference between a run's accounts and accounting's GPU-seconds. *Control groups*: v1 is
`proctrack/cgroup` with the freezer; v2 the same with `cgroup/v2`, whose slurmd is not told that the kernel
has v1 too, where it has both (`tests/rig/unified.c`); none is `proctrack/linuxproc`.

| Debian | Slurm | Python | MariaDB | control groups | as expected | sum | node drained | wall |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
_FACTS = Path(__file__).with_suffix(".md")  # what differs between the releases, in words
_GROUPS = {"cgroup": "v1", "cgroup2": "v2", "linuxproc": "none"}


class Night(NamedTuple):
    """One row. `summary` null: the night did not come to an end, `words` says how."""

    suite: str
    proctrack: str
    summary: dict[str, Any] | None
    wall_s: float
    words: str


def run_slurms(
    roots: Path, out: Path, table: Path, suites: list[str], proctracks: list[str], seed: int
) -> bool:
    """A night for each suite and way of tracking; the table is written after each. True if all went well."""
    nights: list[Night] = []
    for suite in suites:
        for proctrack in proctracks:
            print(f"\n=== {suite}, proctrack {proctrack} ===", flush=True)
            nights.append(_run(roots, out / f"{suite}-{proctrack}", suite, proctrack, seed))
            table.write_text(render(nights, seed), "utf-8")
    return all(night.summary is not None and not night.summary["faults"] for night in nights)


def _run(roots: Path, out: Path, suite: str, proctrack: str, seed: int) -> Night:
    """In a process of its own, since the root's rig has another Python."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "night.json").unlink(missing_ok=True)
    where = [] if suite == own_suite() else ["--slurm-root", str(roots / suite)]
    command = [sys.executable, "-m", "tests.rig", *where]
    if suite == own_suite():
        command += ["--dir", str(out.resolve().parent / "r")]
    command += ["night", "--out", str(out), "--seed", str(seed), "--proctrack", proctrack]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True, check=False)
    wall_s = time.monotonic() - begun
    print(done.stderr, end="", flush=True)
    try:
        return Night(suite, proctrack, json.loads((out / "night.json").read_text("utf-8")), wall_s, "")
    except FileNotFoundError:
        return Night(suite, proctrack, None, wall_s, (done.stderr.strip().splitlines() or ["no words"])[-1])


def render(nights: list[Night], seed: int) -> str:
    """The page in Markdown."""
    head = _HEAD.format(
        seed=seed,
        own=own_suite(),
        day=datetime.now(timezone.utc).date().isoformat(),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        cores=os.cpu_count(),
    )
    faults = [
        f"- {night.suite}, {_GROUPS[night.proctrack]}: {fault}"
        for night in nights
        for fault in (night.summary["faults"] if night.summary is not None else [night.words])
    ]
    page = head + "".join(_row(night) for night in sorted(nights, key=_release))
    if faults:
        page += "\n" + "\n".join(faults) + "\n"
    return page + "\n" + _FACTS.read_text("utf-8")


def _release(night: Night) -> tuple[str, str]:
    return night.summary["slurm"] if night.summary is not None else "", night.proctrack


def _row(night: Night) -> str:
    found = night.summary
    if found is None:
        return (
            f"| {night.suite} | the night failed: {night.words[:120]} | | | | | | | {night.wall_s:.0f} s |\n"
        )
    drained = sum(fault.startswith("node out of service") for fault in found["faults"])
    cells = [night.suite, found["slurm"], found["python"], found["mariadb"], _GROUPS[found["proctrack"]]]
    cells += [f"{found['as_expected']} of {found['runs']}", f"{found['worst_sum_ms']:.0f} ms"]
    return f"| {' | '.join([*cells, str(drained) if drained else 'no', f'{night.wall_s:.0f} s'])} |\n"


def own_suite() -> str:
    """This machine's Debian by its code name."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "this machine")


def made_roots(roots: Path) -> list[str]:
    """Names of the finished roots."""
    return sorted(path.name for path in roots.glob("*") if root.is_made(path)) if roots.is_dir() else []

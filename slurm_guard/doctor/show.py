"""An examination as text for a terminal and as JSON (docs/schema/doctor-1.schema.json)."""

import json
from collections.abc import Iterator
from dataclasses import replace

from slurm_guard.doctor.examine import Examination
from slurm_guard.doctor.finding import Finding, Level
from slurm_guard.report.safe import clean

KIND, FORMAT = "slurm-guard-doctor", 1
_WORST_FIRST = (Level.PROBLEM, Level.WARNING, Level.UNSEEN)
_MOST = 400  # characters of a sentence or a remedy


def render_text(examination: Examination, *, everything: bool = False) -> Iterator[str]:
    """Problems first; what is well only with `everything`. Every text is made harmless."""
    for level in (*_WORST_FIRST, *([Level.OK] if everything else [])):
        found = [finding for finding in examination.findings if finding.level is level]
        for finding in found if everything else _together(found):
            yield from _lines(finding)
    roles = " and ".join(role.value for role in examination.roles)
    counts = ", ".join(
        f"{examination.count(level)} {_plural(level, examination.count(level))}" for level in _WORST_FIRST
    )
    yield f"{clean(examination.host)}, as {roles}: {counts}, {examination.count(Level.OK)} in order"


def _together(found: list[Finding]) -> list[Finding]:
    """Those that could not look for the same reason as one; what was found stays one by one."""
    alike: dict[object, list[Finding]] = {}
    for finding in found:
        same = (finding.where, finding.sentence, finding.remedy)
        alike.setdefault(same if finding.level is Level.UNSEEN else finding, []).append(finding)
    return [
        replace(first, check=f"{first.check} and {len(more)} more") if more else first
        for first, *more in alike.values()
    ]


def _plural(level: Level, n: int) -> str:
    return "could not be looked at" if level is Level.UNSEEN else f"{level.value}{'' if n == 1 else 's'}"


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.level.value:<14}  {finding.check}  {clean(finding.where, 80)}"
    yield f"    {clean(finding.sentence, _MOST)}"
    if finding.remedy:
        yield f"    → {clean(finding.remedy, _MOST)}"


def render_json(examination: Examination) -> str:
    """Sorted, one object."""
    body = {
        "kind": KIND,
        "format": FORMAT,
        "at": examination.at,
        "host": examination.host,
        "release": examination.release,
        "roles": [role.value for role in examination.roles],
        "counts": {level.value: examination.count(level) for level in Level},
        "findings": [
            {
                "check": finding.check,
                "where": finding.where,
                "level": finding.level.value,
                "sentence": finding.sentence,
                "remedy": finding.remedy,
            }
            for finding in examination.findings
        ],
    }
    return json.dumps(body, indent=1, sort_keys=True)

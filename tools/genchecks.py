"""docs/checks.md from the checks' own prose, parameters and examples."""

import dataclasses
import textwrap

from slurm_guard.attack import spell
from slurm_guard.audit.check import Check
from slurm_guard.audit.registry import CHECKS

_HEAD = """# Checks

Each check looks at one run and says what it found, with evidence that a stranger can verify. A *hard* finding
needs no second witness; a *soft* one never makes an ALERT alone. How findings, bounds and verdicts go
together stands in [method.md](method.md). This page is generated from `slurm_guard/audit/checks/`.
"""


def checks() -> str:
    """The whole page."""
    index = ["| check | family | what it looks for |", "| --- | --- | --- |"]
    index += [f"| [`{c.id}`](#{c.id}) | {c.family.name}, {c.family.value} | {c.title} |" for c in CHECKS]
    return _HEAD + "\n" + "\n".join(index) + "\n" + "".join(_section(c) for c in CHECKS)


def _section(check: Check) -> str:
    """One check's part of the page."""
    parts = [
        f"\n## {check.id}\n",
        f"**{check.title}.** Family {check.family.name} ({check.family.value})"
        + (f"; {spell(check.attack)}" if check.attack else "")
        + ".\n",
    ]
    for name in ("detects", "does_not_detect", "false_alarms", "remedy"):
        label = name.replace("_", " ").capitalize()
        parts.append(_wrap(f"*{label}.* {getattr(check, name)}") + "\n")
    values = [f"`{f.name}` = {getattr(check.params, f.name)}" for f in dataclasses.fields(check.params)]
    if values:
        parts.append(_wrap(f"*Thresholds* (origins in the source): {', '.join(values)}.") + "\n")
    parts.append("*Examples* (each is a test):\n")
    examples = [("not held against the run", e) for e in check.explained]
    examples += [("found", e) for e in check.flagged]
    parts.append("\n".join(f"- {what}: {e.why}" for what, e in examples) + "\n")
    return "\n".join(parts)


def _wrap(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False))

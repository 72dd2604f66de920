"""A plan as a person reads it: a line for each file, a diff for each file of the site's; or as JSON."""

import difflib
import json
from collections.abc import Sequence

from slurm_guard.install.change import Change, Plan
from slurm_guard.install.disk import Disk

FORMAT = 1


def plan_text(disk: Disk, plan: Plan, changes: Sequence[Change]) -> str:
    """What would be done. `changes`: those of the plan that are not done already."""
    out = [f"{_verb(disk, change)} {disk.at(change.path)} ({change.why})" for change in changes]
    if not changes:
        out.append("all files are as they are to be")
    for change in changes:
        out += diff(disk, change)
    for action in plan.actions:
        out.append(f"run {' '.join(action.argv)} ({action.why})")
    if plan.by_hand:
        out += ["", "by hand:", *(f"    {line}" for line in plan.by_hand)]
    out += [f"note: {note}" for note in plan.notes]
    out += [f"warning: {warning}" for warning in plan.warnings]
    for problem in plan.problems:
        out.append(f"problem: {problem.sentence}")
        out += [f"  hint: {problem.hint}"] if problem.hint else []
    return "\n".join(map(plain, out))


def plan_json(disk: Disk, plan: Plan, changes: Sequence[Change]) -> str:
    """The same for programs."""
    data = {
        "format": FORMAT,
        "role": plan.role,
        "changes": [
            {
                "path": disk.at(change.path),
                "does": _verb(disk, change),
                "mode": f"{change.mode:04o}",
                "why": change.why,
                "diff": "\n".join(diff(disk, change)),
            }
            for change in changes
        ],
        "actions": [{"argv": list(action.argv), "why": action.why} for action in plan.actions],
        "by_hand": list(plan.by_hand),
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
        "problems": [{"sentence": one.sentence, "hint": one.hint} for one in plan.problems],
    }
    return json.dumps(data, indent=2, ensure_ascii=True)


def diff(disk: Disk, change: Change) -> list[str]:
    """A unified diff where a file is there already; control characters are shown as such."""
    if disk.look(change.path).kind != "file" or change.content is None:
        return []
    old, new = _lines(disk.read(change.path)), _lines(change.content)
    where = disk.at(change.path)
    return [plain(line) for line in difflib.unified_diff(old, new, where, where, lineterm="")]


def _lines(content: bytes) -> list[str]:
    text = content.decode("utf-8", "backslashreplace")
    lines = text.split("\n")
    if lines[-1]:
        lines[-1] += "\\ no newline"
        return lines
    return lines[:-1]


def plain(text: str) -> str:
    """Fit for a terminal, whatever a file holds."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)


def _verb(disk: Disk, change: Change) -> str:
    return "change" if disk.look(change.path).kind == "file" else "write"

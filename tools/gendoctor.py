"""docs/doctor.md from the checks themselves; what else the page says stands in doctor.md beside this file."""

from pathlib import Path

from slurm_guard.doctor.finding import Check
from slurm_guard.doctor.registry import CHECKS

PROSE = Path(__file__).with_name("doctor.md")  # the page's beginning, written by hand


def doctor() -> str:
    """The whole page."""
    head = [
        "",
        "| check | on | what is looked at | why it matters | remedy |",
        "| --- | --- | --- | --- | --- |",
    ]
    return PROSE.read_text(encoding="utf-8") + "\n".join([*head, *map(_row, CHECKS)]) + "\n"


def _row(check: Check) -> str:
    on = " and ".join(role.value for role in check.roles)
    return f"| `{check.id}` | {on} | {check.what} | {check.why} | {check.remedy} |"

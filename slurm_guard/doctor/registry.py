"""All checks, in the order of the report: Slurm, hooks, node, head, mail."""

import difflib

from slurm_guard.doctor.checks import (
    accounting,
    bare,
    head,
    heard,
    hooks,
    mail,
    node,
    programs,
    slurmconf,
    store,
    upkeep,
)
from slurm_guard.doctor.finding import Check
from slurm_guard.errors import EXIT_USAGE, GuardError

CHECKS: tuple[Check, ...] = (
    *bare.CHECKS,
    *slurmconf.CHECKS,
    *accounting.CHECKS,
    *hooks.CHECKS,
    *programs.CHECKS,
    *node.CHECKS,
    *head.CHECKS,
    *store.CHECKS,
    *heard.CHECKS,
    *upkeep.CHECKS,
    *mail.CHECKS,
)


def choose(names: list[str]) -> tuple[Check, ...]:
    """The named checks, else all. Raises GuardError doctor-check."""
    known = [check.id for check in CHECKS]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            raise GuardError(
                "doctor-check",
                f"doctor has no check {name!a}",
                f"did you mean {near[0]}?" if near else "slurm-guard doctor --list names them",
                EXIT_USAGE,
            )
    return tuple(check for check in CHECKS if not names or check.id in names)

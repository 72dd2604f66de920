"""Runs checks over facts: each gives at least one finding, whatever happens in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slurm_guard.doctor.checks.bare import MADE, REMEDY, is_bare
from slurm_guard.doctor.facts import Facts
from slurm_guard.doctor.finding import Check, Finding, Level, NotSeenError, Role, Said, ok, unseen

_BARE = "slurm-guard is not installed here, which another check says"


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found on one machine. `at`: epoch seconds."""

    at: float
    host: str
    release: str
    roles: tuple[Role, ...]
    findings: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        """How many findings have this level."""
        return sum(finding.level is level for finding in self.findings)


def examine(facts: Facts, checks: Sequence[Check], roles: Iterable[Role]) -> Examination:
    """Every check that belongs to one of the roles."""
    wanted = frozenset(roles)
    chosen = [check for check in checks if wanted & set(check.roles)]
    found = [finding for check in chosen for finding in run_check(check, facts)]
    ordered = tuple(role for role in Role if role in wanted)
    return Examination(facts.now_at, facts.host, facts.release, ordered, tuple(found))


def run_check(check: Check, facts: Facts) -> list[Finding]:
    """Its findings; one of `ok` where it has nothing to say, one of `could not look` where it cannot."""
    said: list[Said] = []
    if check.id in MADE and is_bare(facts):
        return [_finding(check, unseen(_BARE, REMEDY), facts.host)]
    try:
        said.extend(check.find(facts))
    except NotSeenError as error:
        said.append(unseen(str(error)))
    except Exception as error:  # noqa: BLE001  a fault in one check must not hide what the others found
        said.append(unseen(f"this check failed, which is a fault of ours: {type(error).__name__}: {error}"))
    if not said:
        said.append(ok(check.healthy))
    return [_finding(check, each, facts.host) for each in said]


def _finding(check: Check, said: Said, host: str) -> Finding:
    remedy = said.remedy or (check.looker if said.level is Level.UNSEEN else "")
    return Finding(check.id, said.where or host, said.level, said.sentence, remedy)

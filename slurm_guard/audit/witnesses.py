"""Which soft findings of one run confirm each other: those that speak of the same work.

Two harmless things in one run (an unnamed evaluation and a curriculum, a buffered log, an idle session on a
login node) are commoner than one diversion that shows in two ways, and no evidence of it.
"""

from slurm_guard.audit.case import Case
from slurm_guard.audit.check import SPEAKS
from slurm_guard.audit.checks import (
    address_scan,
    busy_while_silent,
    dearer_than_peers,
    forward_proxy,
    impossible_rate,
    log_integrity,
    lone_connection,
    losses_seen_before,
    reverse_tunnel,
    second_program,
    slower_beside,
    unequal_siblings,
)
from slurm_guard.model import Family, Finding

# These ask and confirm nothing: a process of another program may be part of the training, and then whatever
# else is odd about the run has one witness; a count that cannot be is mostly a mistake in counting.
ASK_ALONE = frozenset({second_program.CHECK.id, impossible_rate.CHECK.id})
# It speaks of hours in which nothing was logged; work residuals and strangers, of hours in which something
# was. A tunnel speaks of all hours.
_SILENCE = busy_while_silent.CHECK.id
# Idle sessions, proxies and scans say nothing of the GPUs, but beside a stranger who works on them.
_ASIDE = frozenset({lone_connection.CHECK.id, forward_proxy.CHECK.id, address_scan.CHECK.id})
# Buffers, copies and clocks make odd records, one seed the same losses twice: they confirm that the GPU
# denies the log, and nothing else.
_RECORDS = frozenset({log_integrity.CHECK.id, losses_seen_before.CHECK.id})
THERE = 0.05  # of a block's GPU work by strangers, from which they are there. Judgement (slower-beside).
MORE = 1.1  # times their usual share, in the blocks that progress leaves over. Judgement.
_COST = frozenset(
    c.CHECK.id for c in (dearer_than_peers, slower_beside, unequal_siblings, reverse_tunnel)
)  # beside A and C, they say that a rise of cost is no change of settings


def agreeing(case: Case, findings: tuple[Finding, ...]) -> set[Family]:
    """Families whose findings speak against the run and of the same work; one alone confirms nothing."""
    said = {f.check: f.family for f in findings if f.weight >= SPEAKS and f.check not in ASK_ALONE}
    weak = _ASIDE | _RECORDS | {_SILENCE}
    found = {family for check, family in said.items() if check not in weak}
    if found == {Family.A, Family.B} and not _together(case, said):
        found = {Family.B}
    if Family.A in found and _ASIDE.intersection(said):
        found.add(Family.F)
    if Family.C in found and _RECORDS.intersection(said):
        found.add(Family.D)
    if _SILENCE in said and (Family.F in found or not found):
        found.add(Family.C)
    return found


def lifts(finding: Finding) -> bool:
    """Whether it makes the kind reading of a lasting rise (dearer steps) unlikely, so that the lower bound
    holds it."""
    if finding.weight < SPEAKS:
        return False
    of_work = finding.family in (Family.A, Family.C) and finding.check not in ASK_ALONE | {_SILENCE}
    return of_work or finding.check in _COST


def _together(case: Case, said: dict[str, Family]) -> bool:
    """Whether what progress leaves over lies where the strangers worked."""
    if slower_beside.CHECK.id in said:
        return True
    fit = case.study.device.get(case.study.channel)
    if fit is None or fit.theta is None:
        return True  # nothing tells one hour from another
    over = [max(0.0, part) * b.work for part, b in zip(fit.over(apart=False), fit.blocks, strict=True)]
    theirs = [b.stray_ms / b.active_ms if b.active_ms > 0 else 0.0 for b in fit.blocks]
    total, n = sum(over), len(over)
    if total <= 0 or n == 0:
        return True
    # Alike in all blocks, they explain no rise that came in some.
    there = sum(o * t for o, t in zip(over, theirs, strict=True)) / total
    return there >= THERE and there >= MORE * sum(theirs) / n

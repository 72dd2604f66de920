"""From findings and bounds to one verdict per run, one plain sentence, and the classes beside it."""

from dataclasses import dataclass

from slurm_guard.audit.amounts import lasting, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, SPEAKS
from slurm_guard.audit.checks import hearing
from slurm_guard.audit.spans import PAUSE, Kind, usual_gap_s
from slurm_guard.audit.witnesses import agreeing
from slurm_guard.model import Account, Bounds, Family, Finding, Verdict
from slurm_guard.sitemodel import BURN_IN
from slurm_guard.sums import NO_SOURCE, NOT_READ

PRIOR = -7.0  # about one run in a thousand (ledger notes 7.4). Documented.
# Hard facts come from these; D, E, G and H raise the cost of forging and give context, never a list
# entry alone.
HARD = frozenset({Family.A, Family.C, Family.F})
ALONE = frozenset({Family.A, Family.B, Family.C, Family.F})
_WORK = frozenset({Family.A, Family.B, Family.C})  # families that speak of work on the GPUs


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the audit says of a run."""

    verdict: Verdict
    classes: tuple[str, ...]
    sentence: str
    score: float


def families(findings: tuple[Finding, ...]) -> dict[Family, float]:
    """The heaviest finding of each family that speaks against the run."""
    found: dict[Family, float] = {}
    for f in findings:
        if f.weight >= SPEAKS:
            found[f.family] = max(found.get(f.family, 0.0), f.weight)
    return found


def score(findings: tuple[Finding, ...]) -> float:
    """Log-odds: prior, plus the maximum within each family, sums across; what speaks for the run counts
    too.
    """
    against = families(findings)
    favour = {f.family: f.weight for f in findings if f.weight < 0 and f.family not in against}
    return round(PRIOR + sum(against.values()) + sum(favour.values()), 6)


def rule(
    case: Case, findings: tuple[Finding, ...], bounds: Bounds, mine: Bounds, ledger: dict[str, int]
) -> Ruling:
    """The verdict. `bounds` of the run, `mine` the same without what others did on its GPUs."""
    classes = _classes(case, findings, ledger)
    asked = asks_for(case, findings, mine)
    if asked is not None:
        verdict = asked
    elif _unauditable(case, findings):
        verdict = Verdict.NOT_AUDITABLE
    elif _noteworthy(case, findings, classes, ledger):
        verdict = Verdict.NOTE
    else:
        verdict = Verdict.CLEAR
    sentence = _sentence(verdict, case, (findings, bounds, ledger))
    return Ruling(verdict, classes, _both_halves(case, findings, mine) or sentence, score(findings))


def asks_for(case: Case, findings: tuple[Finding, ...], mine: Bounds) -> Verdict | None:
    """ALERT or REVIEW where the findings ask for a look; null: they do not."""
    against = families(findings)
    hard = [f for f in findings if f.hard and f.family in HARD and f.weight > 0]
    enough = 1000.0 * mine.lo_gpu_ms >= case.least_us and case.allocated_us > 0
    witnesses = agreeing(case, findings)
    if hard or (enough and len(witnesses) >= 2 and ALONE.intersection(witnesses)):
        return Verdict.ALERT
    return Verdict.REVIEW if any(against.get(family, 0.0) >= ASKS for family in ALONE) else None


def _both_halves(case: Case, findings: tuple[Finding, ...], mine: Bounds) -> str:
    """A way to outside and GPU work that nothing explains, in one run: said together. Empty: not both."""
    order = sorted(findings, key=lambda f: (not f.hard, -f.weight, f.check))
    net = next((f for f in order if f.family is Family.F and f.weight >= ASKS), None)
    work = next((f for f in order if f.family in _WORK and f.weight >= SPEAKS), None)
    if net is None or 1000.0 * mine.lo_gpu_ms < max(1.0, case.worth_us):
        return ""
    beside = f" {work.sentence}" if work is not None else ""
    least = spoken(1000.0 * mine.lo_gpu_ms)
    same = f"In the same run at least {least} of GPU work are not explained by logged progress."
    return f"{net.sentence} {same}{beside}"


def _unauditable(case: Case, findings: tuple[Finding, ...]) -> bool:
    nothing_seen = case.sums.total("cov") <= case.sums.total("blind")
    no_source = any(f.check == hearing.NO_PROGRESS_SOURCE.id for f in findings)
    return nothing_seen or no_source or _refused(case)


def _refused(case: Case) -> bool:
    """More than a fifth of the windows contradict themselves. Judgement."""
    return case.hearing.refused_windows > 0.2 * max(1, case.hearing.n_windows)


def _noteworthy(
    case: Case, findings: tuple[Finding, ...], classes: tuple[str, ...], ledger: dict[str, int]
) -> bool:
    unobserved = ledger[Account.UNOBSERVED.value] > case.config.unobserved_share * max(
        1, case.run.allocated_gpu_ms
    )
    # What the middle or the upper bound holds for want of an explanation: a run is not CLEAR over that.
    open_us = (1000 * sum(case.slots.doubt), left_open(case, ledger), slow_us(case))
    ambiguous = any(us > case.worth_us for us in open_us)
    heard = {hearing.RUN_WITHOUT_TICKET.id, hearing.HOOK_SILENT.id}
    context = [f for f in findings if f.weight != 0.0 or f.check in heard]
    if case.hearing.imported:  # half of what would have to be seen was not looked at
        return True
    if case.net.cut:  # what was left out may have been the tunnel, and a job can see to that
        return True
    return unobserved or ambiguous or bool(context) or bool({"parked", "hang"}.intersection(classes))


def left_open(case: Case, ledger: dict[str, int]) -> float:
    """GPU-µs that the ledger books as residual, or that worked on long after the last record."""
    return 1000.0 * ledger[Account.RESIDUAL.value] + _late_us(case)


def _late_us(case: Case) -> float:
    """Own work of a tail that is no usual interval any more, in the slots that begin after the last record: a
    slot that holds both tells nothing of which of them the work was."""
    gap = usual_gap_s(case.track.arcs) or 0.0
    begins = [s.from_at for s in case.study.spans if s.kind is Kind.TAIL and s.length_s > PAUSE * gap]
    if not begins:
        return 0.0
    slots, kinds = case.slots, case.study.kinds
    late = [k for k in range(len(kinds)) if slots.at(k) >= begins[0]]
    return 1000.0 * sum(slots.own[k] * kinds[k].get(Kind.TAIL, 0.0) for k in late)


def slow_us(case: Case) -> float:
    """GPU-µs by which steps took longer than in the run's best stretch, at the power of waiting."""
    return case.left.wait * case.sums.get(Kind.TRAIN, "own")


def _unread(case: Case) -> str:
    """That the log was not read to the end, where that may be why."""
    read_until = case.track.read_until
    end_s = 0.0 if read_until is None else case.run.until_at - read_until
    if end_s <= case.config.slack_s or not any(s.kind is Kind.NONE for s in case.study.spans):
        return ""
    return f" Its log was last read {lasting(end_s)} before the end of that."


_CLASS_OF = {
    "parked-allocation": "parked",
    "no-progress-source": NO_SOURCE,
    "run-without-ticket": "run-without-ticket",
    "hook-silent": "silent",
    "unsealed": "unsealed",
    "progress-without-gpu": "progress-without-gpu",
    "leftover-process": "leftover-process",
}
# Every class that a run may have; those of family F are its checks' ids. Owners are told of each.
CLASSES = frozenset(_CLASS_OF.values()) | {
    *("switched-off", "hang", "fail-slow", "guest-on-gpu", "refused", "running", "beyond-budget"),
    *("maintenance", BURN_IN, NOT_READ),
}


def _classes(case: Case, findings: tuple[Finding, ...], ledger: dict[str, int]) -> tuple[str, ...]:
    found = {_CLASS_OF[f.check] for f in findings if f.check in _CLASS_OF}
    if NO_SOURCE in found and case.is_log_unread:
        found.remove(NO_SOURCE)
        found.add(NOT_READ)
    found |= {f.check for f in findings if f.family is Family.F and f.weight >= ASKS}
    if case.hearing.switched_off:
        found.add("switched-off")
        found.discard("silent")
    deaf = set(case.hearing.deaf_nodes) - set(case.hearing.read_nodes)  # what others read was observed
    if "silent" in found and deaf <= set(case.hearing.upkeep):
        found.discard("silent")
        found |= {"maintenance"} if deaf else set()
    if ledger[Account.WAIT.value] > 0 and any(s.kind is Kind.WAIT for s in case.study.spans):
        found.add("hang")
    if slow_us(case) > case.worth_us:
        found.add("fail-slow")
    if ledger[Account.FOREIGN.value] > 0:
        found.add("guest-on-gpu")
    if _refused(case):
        found.add("refused")
    if case.run.end_at is None:
        found.add("running")
    return tuple(sorted(found))


def _sentence(verdict: Verdict, case: Case, said: tuple[tuple[Finding, ...], Bounds, dict[str, int]]) -> str:
    findings, _, ledger = said
    allocated = spoken(case.allocated_us)
    heaviest = sorted(findings, key=lambda f: (not f.hard, -f.weight, f.check))
    first = heaviest[0].sentence if heaviest else ""
    if verdict in (Verdict.ALERT, Verdict.REVIEW):
        return first  # what is unexplained stands beside it, with its bounds, wherever it is shown
    if verdict is Verdict.NOT_AUDITABLE:
        return first or f"Nothing was observed of {allocated}: no statement on this run is possible."
    if verdict is Verdict.NOTE and first:
        return first
    waited = spoken(float(case.sums.get(Kind.WAIT, "own")))
    if verdict is Verdict.NOTE and any(s.kind is Kind.WAIT for s in case.study.spans):
        return (
            f"The log fell silent and the GPUs stayed busy at the power of waiting for {waited}: a hang "
            "looks like this."
        )
    doubt = 1000 * sum(case.slots.doubt)
    if verdict is Verdict.NOTE and doubt > case.worth_us:
        return f"{spoken(doubt)} were by processes that may or may not be part of the training."
    if verdict is Verdict.NOTE and left_open(case, ledger) > case.worth_us:
        work = spoken(left_open(case, ledger))
        return f"{work} of GPU work have no logged progress beside them.{_unread(case)}"
    if verdict is Verdict.NOTE and slow_us(case) > case.worth_us:
        return (
            f"Steps took longer than in the run's best stretch, {spoken(slow_us(case))} in all at the power "
            "of waiting: a slow link, peer or loader looks like this, and a light load of another kind too."
        )
    if verdict is Verdict.NOTE and case.hearing.imported:
        idle = spoken(1000.0 * ledger[Account.IDLE.value])
        whose = case.hearing.imported
        return f"Its GPUs were read by another monitor alone ({whose}): {idle} of {allocated} idle."
    if verdict is Verdict.NOTE and case.net.cut:
        return "The run had more connections than a node follows: what the others carried is not known."
    if verdict is Verdict.NOTE:
        unseen = spoken(1000.0 * ledger[Account.UNOBSERVED.value])
        return f"{unseen} of {allocated} were not observed; what was seen shows nothing that needs a look."
    idle = spoken(1000.0 * ledger[Account.IDLE.value])
    if not case.track.arcs:
        return f"Nothing worked on the GPUs: {idle} of {allocated} idle."
    return f"Logged progress accounts for the GPU work seen; {idle} of {allocated} idle."

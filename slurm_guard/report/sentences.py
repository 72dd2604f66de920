"""The sentences of a run's card: what is unexplained, what could have hidden, what would help."""

import re

from slurm_guard.model import Account, Judgement, Verdict
from slurm_guard.report import bars, words
from slurm_guard.report.safe import clean, shorten
from slurm_guard.report.words import Unit

MOST_REMARKS = 4  # judgement: the document has them all
# `path: slug: detail`, as the audit writes it; what does not look like it is shown as it is.
_PROBLEM = re.compile(r"(.*?): ([a-z][a-z0-9-]*)(?:: (.*))?", re.DOTALL)
_LOG = (
    "Log a line per step or so to the job's output (key=value, JSON, or a known trainer's format), write "
    "TensorBoard event files, or append to the file named in $SLURM_GUARD_PROGRESS."
)
_HOOK = "Name the prolog in slurm.conf on every GPU node, and look for slurm-guard in the node's syslog."
# What would make the next run auditable, by the class that says why this one was not.
_SAMPLER = "Make sure that the sampler runs on the job's nodes for the whole job; the nodes are listed below."
REMEDIES = {
    "switched-off": "Remove the file that switches slurm-guard off on these nodes.",
    "run-without-ticket": _HOOK,
    "silent": _SAMPLER,
    "refused": "Find out why the node's own records contradict each other: its clock and its driver first.",
    words.NOT_READ: "Run slurm-guard's hooks and sampler on their nodes: the sampler reads what a job logs. "
    "No other monitor does.",
    words.NO_SOURCE: _LOG,
}

# Why a run was not auditable, by the same classes.
REASONS = {
    "switched-off": "slurm-guard was switched off on its nodes",
    "run-without-ticket": "the prolog left no ticket of it",
    "silent": "nothing was heard from its nodes",
    "refused": "its nodes' records contradict each other",
    words.NOT_READ: "another monitor read its GPUs, and nobody its logs",
    words.NO_SOURCE: "no training progress was found in its files",
}


def reason(judgement: Judgement) -> str:
    """Why it was not auditable, in a few words that many runs share."""
    known = next((said for name, said in REASONS.items() if name in judgement.classes), "")
    return known or (
        "nothing was observed" if is_unseen(judgement) else "another reason: its line says which"
    )


def is_unseen(judgement: Judgement) -> bool:
    """Nobody saw any of it: an idle time or an unexplained one of zero would then be an invention."""
    allocated = judgement.run.allocated_gpu_ms
    return allocated > 0 and bars.of(judgement.ledger_gpu_ms, Account.UNOBSERVED.value) >= allocated


def unexplained(judgement: Judgement, unit: Unit, beyond: str = "") -> str:
    """The bounds in words; `beyond`: a sentence on what was done outside the allocation, empty: nothing."""
    return " ".join(filter(None, (_within(judgement, unit, beyond), beyond)))


def _within(judgement: Judgement, unit: Unit, beyond: str) -> str:
    bounds = judgement.unexplained
    if bars.is_unmatched(judgement):
        amount = bars.of(bars.shown_ledger(judgement), words.UNMATCHED)
        if is_unseen(judgement):
            return f"Nothing of {unit.full(judgement.run.allocated_gpu_ms)} was observed."
        return f"There is nothing to set {unit.full(amount)} of GPU work against; that says nothing about it."
    if bounds.hi_gpu_ms == 0:
        said = f"Nothing of {unit.full(judgement.run.allocated_gpu_ms)} is unexplained"
        fact = any(f.hard for f in judgement.findings) and judgement.asks and not beyond
        return f"{said}; what needs a look is the fact below, not an amount." if fact else f"{said}."
    return (
        f"At least {unit.show(bounds.lo_gpu_ms)}, at most {unit.show(bounds.hi_gpu_ms)} of "
        f"{unit.full(judgement.run.allocated_gpu_ms)} are not explained by logged progress "
        f"(central estimate {unit.show(bounds.mid_gpu_ms)}, "
        f"{words.percent(bounds.mid_gpu_ms, judgement.run.allocated_gpu_ms)}).{_rise(judgement)}"
    )


def _rise(judgement: Judgement) -> str:
    """Why the bounds begin at 0 below a sentence that names an amount: each holds on another condition."""
    said = any(f.check == "work-residual" for f in judgement.findings)
    if judgement.unexplained.lo_gpu_ms > 0 or not said:
        return ""
    return (
        " The 0 holds if the rise in cost is the training's own, the amount that would not have been needed "
        "if it is not."
    )


def imbalance(judgement: Judgement, unit: Unit) -> str:
    """The law of conservation, said aloud where a document breaks it by more than a second a GPU."""
    run, total = judgement.run, sum(judgement.ledger_gpu_ms.values())
    if abs(total - run.allocated_gpu_ms) <= 1000 * max(1, run.n_gpus):
        return ""
    return f"The accounts sum to {unit.full(total)}, accounting charged {unit.full(run.allocated_gpu_ms)}."


def smallest(judgement: Judgement, unit: Unit) -> str:
    """What could have hidden in this run: its noise decides only where something agrees with the log."""
    trust, least = judgement.progress.trust, judgement.smallest_visible_gpu_ms
    if trust == words.NO_LOG:
        return _without_log(judgement, unit)
    if trust == words.CONTRADICTED:
        return "The log is denied, so it cannot say how small a diversion would have shown."
    if least is None:
        return "Too little work or progress to learn its price: no diversion beside it could have been told."
    share = words.percent(least, judgement.run.allocated_gpu_ms)
    if trust != words.CLAIMED:
        return f"The smallest diversion that would have shown here: {unit.full(least)} ({share})."
    most = judgement.unexplained.hi_gpu_ms
    return (
        "Nothing outside the job confirmed its log, so other work could stand behind all that was credited "
        f"to it: up to {unit.full(most)} ({words.percent(most, judgement.run.allocated_gpu_ms)}). Only if "
        f"the log is true would a diversion have shown from {unit.full(least)} ({share}) on."
    )


def _without_log(judgement: Judgement, unit: Unit) -> str:
    ledger = judgement.ledger_gpu_ms
    unseen = bars.of(ledger, Account.UNOBSERVED.value)
    work = sum(ledger.values()) - bars.of(ledger, Account.IDLE.value) - unseen
    if is_unseen(judgement):
        return "Nothing was observed, so nothing could have shown."
    if bars.is_unmatched(judgement):
        return "Without logged progress, training and any other work of the run look alike here."
    return f"No training was logged; all work that was seen on these GPUs is {unit.full(work)}."


def remedy(judgement: Judgement) -> str:
    """The one thing that would make the run auditable; empty for runs that were."""
    if judgement.verdict is not Verdict.NOT_AUDITABLE:
        return ""
    for name, helps in REMEDIES.items():  # what hinders most comes first
        if name in judgement.classes:
            return helps
    if judgement.coverage_pct == 0:
        return _SAMPLER
    said = next((e.clears for f in judgement.findings for e in f.evidence if e.clears), "")
    return clean(said) if said else _LOG


def remarks(judgement: Judgement) -> tuple[str, ...]:
    """What the reader said of the run's files; forty files with the same remark are one line that counts."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for problem in judgement.progress.problems:
        match = _PROBLEM.fullmatch(problem)
        path, slug, detail = match.groups(default="") if match is not None else ("", problem, "")
        groups.setdefault(slug, []).append((path.rpartition("/")[2] or path, detail))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    more = len(ordered) - MOST_REMARKS
    shown = [_remark(slug, files) for slug, files in ordered[:MOST_REMARKS]]
    return (*shown, *([f"{words.plural(more, 'other kind')} of remarks in the document"] if more > 0 else []))


def _remark(slug: str, files: list[tuple[str, str]]) -> str:
    name, detail = files[0]
    others = f" and {words.plural(len(files) - 1, 'other file')}" if len(files) > 1 else ""
    where = f"{shorten(name, 60)}{others}: " if name else ""
    return f"{where}{shorten(slug, 160)}" + (f" ({shorten(detail, 160)})" if detail else "")
